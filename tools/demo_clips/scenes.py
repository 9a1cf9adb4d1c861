"""Scenes of the demo clips: a coloured shape that moves and changes over a plain background.

A scene is six attributes. One scene is a `Scene`; many are one row of indices each, in the order of
`ATTRIBUTES`, so that they are drawn, sampled and judged in batches. Some *pairs* of attributes are
held out of training; the adherence of the embedded model is measured on them.
"""

from __future__ import annotations

import itertools
from dataclasses import astuple, dataclass
from functools import cache

import torch

from filmstrip.errors import InputError

# sRGB, chosen well apart: the closest two are 109 of 255 apart.
PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 40),
    "orange": (255, 130, 10),
    "yellow": (255, 235, 70),
    "green": (35, 155, 65),
    "blue": (40, 75, 215),
    "purple": (160, 45, 190),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "black": (20, 20, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
DIRECTIONS = ("still", "left", "right", "up", "down")
CHANGES = ("steady", "grows", "shrinks", "rotates")
SIZES = ("small", "medium", "large")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(PALETTE),
    "shape": SHAPES,
    "background": tuple(PALETTE),
    "direction": DIRECTIONS,
    "change": CHANGES,
    "size": SIZES,
}

HELD_OUT_COLOUR_SHAPE = (
    ("red", "cross"),
    ("orange", "triangle"),
    ("yellow", "square"),
    ("green", "circle"),
    ("blue", "star"),
    ("purple", "cross"),
    ("white", "triangle"),
    ("black", "square"),
)
HELD_OUT_SHAPE_MOTION = (
    ("circle", "down", "steady"),
    ("circle", "up", "grows"),
    ("square", "right", "steady"),
    ("square", "left", "rotates"),
    ("triangle", "still", "grows"),
    ("triangle", "up", "rotates"),
    ("star", "left", "steady"),
    ("star", "down", "shrinks"),
    ("cross", "still", "rotates"),
    ("cross", "right", "grows"),
)


@dataclass(frozen=True)
class Scene:
    """One clip in words. Each field is one of the names listed in `ATTRIBUTES`.

    Raises:
        InputError: for a name that is not listed, an object of the background's colour, or a
            rotating circle, whose rotation nobody could see.
    """

    colour: str
    shape: str
    background: str
    direction: str = "still"
    change: str = "steady"
    size: str = "medium"

    def __post_init__(self) -> None:
        for (name, allowed), value in zip(ATTRIBUTES.items(), astuple(self), strict=True):
            if value not in allowed:
                raise InputError(
                    f"A scene's {name} cannot be {value!r}. Choose one of: {', '.join(allowed)}."
                )
        if self.colour == self.background:
            raise InputError(
                f"A {self.colour} shape cannot be seen on a {self.background} background. Choose "
                "two colours."
            )
        if self.shape == "circle" and self.change == "rotates":
            raise InputError(
                "A circle that rotates looks like one that does not. Choose another shape or "
                "change."
            )

    @property
    def held_out(self) -> bool:
        """Whether training leaves this scene out because of one of its attribute pairs."""
        return (self.colour, self.shape) in HELD_OUT_COLOUR_SHAPE or (
            self.shape,
            self.direction,
            self.change,
        ) in HELD_OUT_SHAPE_MOTION


def to_indices(scenes: list[Scene]) -> torch.Tensor:
    """Convert scenes to rows of attribute indices, (B, 6) int64."""
    rows = [
        [
            allowed.index(value)
            for allowed, value in zip(ATTRIBUTES.values(), astuple(scene), strict=True)
        ]
        for scene in scenes
    ]
    return torch.tensor(rows, dtype=torch.long).reshape(len(scenes), len(ATTRIBUTES))


def from_indices(indices: torch.Tensor) -> list[Scene]:
    """Convert rows of attribute indices (B, 6) to scenes."""
    return [
        Scene(*(allowed[i] for allowed, i in zip(ATTRIBUTES.values(), row, strict=True)))
        for row in indices.tolist()
    ]


@cache
def _every_scene() -> tuple[Scene, ...]:
    combinations = itertools.product(*ATTRIBUTES.values())
    return tuple(
        Scene(*names)
        for names in combinations
        if names[0] != names[2] and not (names[1] == "circle" and names[4] == "rotates")
    )


@cache
def all_scenes(held_out: bool) -> torch.Tensor:
    """Every scene that is held out of training, or every other one, as indices (N, 6)."""
    return to_indices([scene for scene in _every_scene() if scene.held_out is held_out])


def sample_scenes(count: int, generator: torch.Generator, held_out: bool = False) -> torch.Tensor:
    """Draw `count` scenes evenly from `all_scenes(held_out)`: indices (count, 6) on the CPU."""
    table = all_scenes(held_out)
    return table[torch.randint(len(table), (count,), generator=generator)]
