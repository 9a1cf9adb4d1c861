"""Pictures of an object that points in the direction in which it moves, over a plain background.

A picture is five attributes, one row of indices in the order of `POINTER_ATTRIBUTES`. The motion
bucket sets the speed and fps the sampling: per second an object travels `motion_bucket / 1024` of
the frame's width, so that from one frame to the next it moves `motion_bucket / (8 * fps)` pixels of
a frame 128 wide. Some combinations of colour, shape and direction are held out of training.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import torch
from PIL import Image

from filmstrip.errors import InputError
from tools.demo_clips.clips import MARGIN, RADIUS_SPREAD, SIDE, around, paint, start_in_view
from tools.demo_clips.scenes import PALETTE

POINTER_FRAMES = 14
WIDTHS_PER_SECOND = 1 / 1024  # for each unit of the motion bucket
FPS = (6, 30)  # slower ones would let the fastest objects leave the picture
HIGHEST_BUCKET = 255

Point = tuple[float, float]

# Upper halves of objects that point to the right; the axis mirrors them. Each part is convex in
# this half, and its corners run from the front over the top to the back.
OUTLINES: dict[str, tuple[tuple[Point, ...], ...]] = {
    "arrow": (
        ((1.35, 0), (0.1, 1.05), (0.1, 0)),
        ((0.4, 0), (0.4, 0.38), (-1.25, 0.38), (-1.25, 0)),
    ),
    "dart": (((1.4, 0), (-1.1, 1.0), (-0.4, 0)),),
    "rocket": (((1.4, 0), (0.35, 0.62), (-1.15, 0.62), (-1.15, 0)),),
    "truck": (
        ((0.4, 0), (0.4, 0.85), (-1.15, 0.85), (-1.15, 0)),
        ((1.25, 0), (1.25, 0.42), (0.2, 0.42), (0.2, 0)),
    ),
    "triangle": (((1.4, 0), (-0.8, 1.0), (-0.8, 0)),),
}
POINTERS = tuple(OUTLINES)
EXTENTS = tuple(
    max(math.hypot(*p) for part in outline for p in part) for outline in OUTLINES.values()
)
HEADINGS = (
    "right",
    "down-right",
    "down",
    "down-left",
    "left",
    "up-left",
    "up",
    "up-right",
)  # clockwise on the screen
POINTER_RADIUS = {"small": 12 / 128, "medium": 14.5 / 128, "large": 17 / 128}  # frame widths

POINTER_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(PALETTE),
    "shape": POINTERS,
    "background": tuple(PALETTE),
    "direction": HEADINGS,
    "size": tuple(POINTER_RADIUS),
}


def _lines(part: tuple[Point, ...]) -> list[tuple[float, float, float]]:
    """Three edges of a part: inside of it is `a * x + b * y < c`, with (a, b) of length 1."""
    lines = []
    for (x0, y0), (x1, y1) in itertools.pairwise(part):
        length = math.hypot(x1 - x0, y1 - y0)
        a, b = (y1 - y0) / length, (x0 - x1) / length
        lines.append((a, b, a * x0 + b * y0))
    return (lines * 2)[:3]


def pointer_distance(shape: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance to the edge of objects of unit radius that point to the right; negative
    inside.

    Args:
        shape: index in `POINTERS`, (B,).
        x, y: coordinates from the object's centre, (B, T, H, W).
    """
    parts = [(outline * 2)[:2] for outline in OUTLINES.values()]
    table = torch.tensor(
        [[_lines(part) for part in pair] for pair in parts], device=x.device
    )  # shape, part, line, abc
    lines = table[shape][..., None, None, None]
    y = y.abs()

    def inside(part: int) -> torch.Tensor:
        a, b, c = lines[:, part].unbind(2)
        return torch.stack([a[:, i] * x + b[:, i] * y - c[:, i] for i in range(3)]).amax(0)

    return torch.minimum(inside(0), inside(1))


def velocity(indices: torch.Tensor, motion_bucket: torch.Tensor, fps: torch.Tensor) -> torch.Tensor:
    """Displacement from frame to frame, (B, 2) to the right and down, in frame widths."""
    angle = indices[:, list(POINTER_ATTRIBUTES).index("direction")] * (2 * math.pi / len(HEADINGS))
    speed = motion_bucket * WIDTHS_PER_SECOND / fps
    return torch.stack([angle.cos(), angle.sin()], dim=1) * speed[:, None]


def draw_pointers(
    indices: torch.Tensor,
    motion_bucket: torch.Tensor,
    fps: torch.Tensor,
    generator: torch.Generator,
    *,
    frames: int = POINTER_FRAMES,
    shown: int | None = None,
    side: int = SIDE,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Draw one clip of each picture; its first frame is the picture.

    Args:
        indices: pictures, (B, 5) int64, on the device to draw on.
        motion_bucket, fps: (B,), 0 to 255 and at least 6, the values that a pipeline is called
            with.
        generator: a generator of that device; it decides places, from which the whole way is in
            view, and exact sizes.
        frames: how long objects stay in view.
        shown: the number T of frames to draw; all by default, 1 for the pictures alone.
        side: height and width in pixels.
        dtype: a float type for values in [0, 1], or `torch.uint8` for 0 to 255.

    Returns:
        Videos (B, 3, T, side, side) in sRGB.

    Raises:
        InputError: for a speed at which an object would not stay in view.
    """
    device = indices.device
    colour, shape, background, direction, size = indices.unbind(1)
    unit = torch.rand(len(indices), 3, generator=generator, device=device)
    spread = 1 + RADIUS_SPREAD * (2 * unit[:, 0] - 1)
    radius = torch.tensor(list(POINTER_RADIUS.values()), device=device)[size] * spread
    extent = (radius * torch.tensor(EXTENTS, device=device)[shape])[:, None]
    step = velocity(indices, motion_bucket, fps)
    way = step * (frames - 1)
    if (way.abs() > 1 - 2 * MARGIN - 2 * extent).any():
        raise InputError(
            f"Objects would leave the picture: {frames} frames are too long for this speed. Draw "
            "fewer."
        )
    ends = torch.stack([torch.zeros_like(way), way], dim=1)
    start = start_in_view(extent[:, None], ends, unit[:, 1:])

    time = torch.arange(shown or frames, device=device)[:, None]
    x, y = around(start[:, None] + step[:, None] * time, side)
    angle = (direction * (2 * math.pi / len(HEADINGS)))[:, None, None, None]
    radius = radius[:, None, None, None]
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    return paint(
        pointer_distance(shape, along / radius, across / radius) * radius, colour, background, dtype
    )


def draw_picture(
    colour: str = "red",
    shape: str = "arrow",
    background: str = "white",
    direction: str = "right",
    size: str = "large",
    seed: int = 0,
) -> Image.Image:
    """One picture, 128 wide and high, of the kind that the embedded SVD model animates.

    Args:
        colour, shape, background, direction, size: names listed in `POINTER_ATTRIBUTES`.
        seed: of the position, from which even the fastest object stays in view at 7 frames a
            second.

    Raises:
        InputError: for a name that is not listed.
    """
    row = []
    names = (colour, shape, background, direction, size)
    for (attribute, allowed), name in zip(POINTER_ATTRIBUTES.items(), names, strict=True):
        if name not in allowed:
            raise InputError(
                f"A picture's {attribute} cannot be {name!r}. Choose one of: {', '.join(allowed)}."
            )
        row.append(allowed.index(name))
    generator = torch.Generator().manual_seed(seed)
    speed = torch.tensor([HIGHEST_BUCKET]), torch.tensor([7])
    clip = draw_pointers(torch.tensor([row]), *speed, generator, shown=1, dtype=torch.uint8)
    return Image.fromarray(clip[0, :, 0].permute(1, 2, 0).numpy())


@cache
def all_pointers(held_out: bool) -> torch.Tensor:
    """Every picture that is held out of training, or every other one, as indices (N, 5).

    An eighth of the combinations of colour, shape and direction is held out, so that training meets
    each pair.
    """
    rows = torch.cartesian_prod(
        *(torch.arange(len(names)) for names in POINTER_ATTRIBUTES.values())
    )
    colour, shape, background, direction, _ = rows.unbind(1)
    kept_back = (colour + 3 * shape + direction) % len(HEADINGS) == 0
    return rows[(colour != background) & (kept_back == held_out)]


def sample_pointers(count: int, generator: torch.Generator, held_out: bool = False) -> torch.Tensor:
    """Draw `count` pictures evenly from `all_pointers(held_out)`: indices (count, 5) on the CPU."""
    table = all_pointers(held_out)
    return table[torch.randint(len(table), (count,), generator=generator)]
