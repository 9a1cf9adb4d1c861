"""Drawing scenes: antialiased shapes from signed distances, many clips at once, on any device.

Every shape is symmetric under rotation by a part of a turn and under reflection. Folding the plane
into one such wedge leaves a boundary of one straight line (polygon, star, and the circle as a
polygon of very many sides) or two (the cross), so one formula draws them all. Folding is the usual
trick for symmetric distance fields (https://iquilezles.org/articles/distfunctions2d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tools.demo_clips.scenes import ATTRIBUTES, PALETTE, SHAPES

FRAMES = 25
SIDE = 128

# In frame widths; the radius is that of a clip's middle frame.
RADIUS = {"small": 13 / 128, "medium": 17.5 / 128, "large": 23 / 128}
RADIUS_SPREAD = 0.06
TRAVEL = (0.26, 0.36)
GROWTH = 1.3**2  # largest over smallest radius
TURN = (math.radians(110), math.radians(150))  # whole turn, clockwise on the screen
MARGIN = 2 / 128


@dataclass(frozen=True)
class Wedge:
    """A shape of unit radius: `folds` mirrored wedges, each bounded by lines `normal · point =
    offset`.

    In the wedge the x axis runs along the line of symmetry that `upright` turns into its place on
    the screen.
    """

    folds: int
    upright: float
    extent: float
    area: float
    lines: tuple[tuple[float, float, float], tuple[float, float, float]]


def _star(points: int, outer: float, inner: float, upright: float) -> Wedge:
    half = math.pi / points
    end = (inner * math.cos(half), inner * math.sin(half))
    normal = (end[1], outer - end[0])
    length = math.hypot(*normal)
    line = (normal[0] / length, normal[1] / length, outer * normal[0] / length)
    return Wedge(points, upright, outer, points * outer * inner * math.sin(half), (line, line))


def _polygon(sides: int, outer: float, upright: float) -> Wedge:
    return _star(sides, outer, outer * math.cos(math.pi / sides), upright)


def _cross(arm: float, half_width: float) -> Wedge:
    area = 8 * arm * half_width - 4 * half_width**2
    return Wedge(
        4, 0.0, math.hypot(arm, half_width), area, ((1.0, 0.0, arm), (0.0, 1.0, half_width))
    )


UP = -math.pi / 2
WEDGES: dict[str, Wedge] = {
    "circle": _polygon(72, 1.0, 0.0),
    "square": _polygon(4, 1.25, math.pi / 4),
    "triangle": _polygon(3, 1.45, UP),
    "star": _star(5, 1.5, 0.6, UP),
    "cross": _cross(1.2, 0.4),
}


@dataclass(frozen=True)
class Paths:
    """The path of each clip's object.

    Attributes:
        centre: (B, T, 2), x and y in frame widths.
        radius: (B, T), in frame widths.
        angle: (B, T), in radians clockwise from upright.
    """

    centre: torch.Tensor
    radius: torch.Tensor
    angle: torch.Tensor


def _uniform(
    low: torch.Tensor | float, high: torch.Tensor | float, unit: torch.Tensor
) -> torch.Tensor:
    return low + (high - low) * unit


def start_in_view(extent: torch.Tensor, way: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """Random starting points (B, 2) from which objects stay fully in view, in frame widths.

    Args:
        extent: how far the object reaches from its centre in some frames, the turning points of its
            way among them, (B, T or 1, 1).
        way: from the first centre to that in these frames, (B, T, 2).
        unit: random numbers in [0, 1) that choose the point, (B, 2).
    """
    low = (extent - way).amax(1) + MARGIN
    high = 1 - MARGIN - (extent + way).amax(1)
    return _uniform(low, high, unit)


@dataclass(frozen=True)
class Change:
    """What the objects do before the motion and change of their scenes.

    indices: the scenes of that, (B, 6); only direction and change count.
    frames: (B,) how many frames it takes; 0 for none.
    """

    indices: torch.Tensor
    frames: torch.Tensor


def plan_paths(
    indices: torch.Tensor,
    generator: torch.Generator,
    frames: int = FRAMES,
    before: Change | None = None,
) -> Paths:
    """Choose sizes, directions and positions at random so that each object stays fully in view.

    Args:
        indices: scenes, (B, 6) int64, on any device; the paths are on the same.
        generator: a generator of that device.
        frames: length T of the clips.
        before: what came first, in clips of which only the end is as the scene says.
    """
    device = indices.device
    _, shape, _, _, _, size = indices.unbind(1)
    unit = torch.rand(5, len(indices), generator=generator, device=device)
    time = torch.linspace(0, 1, frames, device=device)
    headings = torch.tensor([[0.0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], device=device)
    growths = torch.tensor([0.0, math.log(GROWTH), -math.log(GROWTH), 0.0], device=device)
    # Each moves as one scene says for its early time, and as the other says for the late time.
    before = before or Change(indices, torch.zeros(len(indices), dtype=torch.long, device=device))
    early = torch.minimum(time, before.frames[:, None] / max(frames - 1, 1))
    way, growth, turn = 0.0, 0.0, 0.0
    for scene, spent in ((before.indices, early), (indices, time - early)):
        direction, change = scene[:, 3], scene[:, 4]
        heading = headings[direction] * _uniform(*TRAVEL, unit[2])[:, None]
        way = way + heading[:, None] * spent[..., None]
        growth = growth + growths[change][:, None] * spent
        turn = turn + (_uniform(*TURN, unit[1]) * (change == 3))[:, None] * spent

    middle = torch.tensor(list(RADIUS.values()), device=device)[size] * _uniform(
        1 - RADIUS_SPREAD, 1 + RADIUS_SPREAD, unit[0]
    )
    radius = middle[:, None] * (growth - growth[:, [(frames - 1) // 2]]).exp()
    extent = (
        radius
        * torch.tensor([WEDGES[name].extent for name in SHAPES], device=device)[shape][:, None]
    )
    start = start_in_view(extent[..., None], way, unit[3:].T)
    return Paths(centre=start[:, None] + way, radius=radius, angle=turn)


def shape_distance(
    shape: torch.Tensor, x: torch.Tensor, y: torch.Tensor, angle: torch.Tensor
) -> torch.Tensor:
    """Signed distance to the edge of shapes of unit radius around the origin; negative inside.

    Args:
        shape: index in `SHAPES`, broadcastable with the rest.
        x, y: coordinates, y downwards.
        angle: turn of the shape, clockwise on the screen, in radians.
    """
    wedges = [WEDGES[name] for name in SHAPES]

    def pick(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=x.device)[shape]

    sector = pick([2 * math.pi / wedge.folds for wedge in wedges])
    direction = torch.atan2(y, x) - angle - pick([wedge.upright for wedge in wedges])
    folded = (torch.remainder(direction + sector / 2, sector) - sector / 2).abs()
    distance = torch.hypot(x, y)
    x, y = distance * folded.cos(), distance * folded.sin()
    first, second = (
        x * pick([wedge.lines[i][0] for wedge in wedges])
        + y * pick([wedge.lines[i][1] for wedge in wedges])
        - pick([wedge.lines[i][2] for wedge in wedges])
        for i in range(2)
    )
    return torch.maximum(first, second)


def draw_clips(
    indices: torch.Tensor,
    generator: torch.Generator,
    *,
    frames: int = FRAMES,
    side: int = SIDE,
    dtype: torch.dtype = torch.float32,
    before: Change | None = None,
) -> torch.Tensor:
    """Draw one clip of each scene.

    Args:
        indices: scenes, (B, 6) int64 (see `scenes.to_indices`), on the device to draw on.
        generator: a generator of that device; for sizes, positions and directions.
        frames: number of frames T.
        side: height and width in pixels.
        dtype: a float type for values in [0, 1], or `torch.uint8` for 0 to 255.
        before: what the objects do first, if anything else.

    Returns:
        Videos (B, 3, T, side, side) in sRGB.
    """
    paths = plan_paths(indices, generator, frames, before)
    column = list(ATTRIBUTES).index
    x, y = around(paths.centre, side)
    radius = paths.radius[..., None, None]
    shape = indices[:, column("shape"), None, None, None]
    distance = shape_distance(shape, x / radius, y / radius, paths.angle[..., None, None]) * radius
    return paint(distance, indices[:, column("colour")], indices[:, column("background")], dtype)


def around(centre: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres x and y relative to `centre` (B, T, 2), each (B, T, side, side)."""
    pixel = (torch.arange(side, device=centre.device) + 0.5) / side
    x, y = torch.broadcast_tensors(
        pixel - centre[..., 0, None, None], pixel[:, None] - centre[..., 1, None, None]
    )
    return x, y


def paint(
    distance: torch.Tensor,
    colour: torch.Tensor,
    background: torch.Tensor,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Videos (B, 3, T, H, W) of shapes with antialiased edges, of a dtype as in `draw_clips`.

    Args:
        distance: signed distance to the edge in frame widths, (B, T, H, W).
        colour, background: indices in `PALETTE`, (B,).
    """
    cover = (0.5 - distance * distance.shape[-1]).clamp(0, 1)[:, None]
    palette = torch.tensor(list(PALETTE.values()), device=distance.device) / 255
    inside, outside = (palette[index, :, None, None, None] for index in (colour, background))
    video = torch.lerp(outside, inside, cover)
    return (video * 255).round().to(torch.uint8) if dtype == torch.uint8 else video.to(dtype)
