"""Measure the attributes of a clip from its pixels, without a model.

The clips show one object on a plain background. The background is the colour at the border of the
picture, the object is what differs from it; then position, area and orientation of the object are
measured in each frame. An attribute that cannot be decided is unclear, and counts as wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache

import torch
import torch.nn.functional as F

from filmstrip.errors import InputError
from tools.demo_clips.clips import RADIUS, WEDGES, shape_distance
from tools.demo_clips.scenes import ATTRIBUTES, CHANGES, DIRECTIONS, PALETTE, SHAPES

JUDGED = ("colour", "shape", "background", "motion")

COLOUR_LIMIT = 0.22  # furthest that a colour may lie from its palette entry; RGB in [0, 1]
CONTRAST_LIMIT = 0.12  # an object that differs less from the background is none
SHAPE_LIMIT = 0.7  # least overlap with a template (intersection over union)
TRAVEL_LIMIT = 0.13  # frame widths; drawn clips travel 0 or at least 0.26
GROWTH_LIMIT = 1.25  # radius at the end over radius at the start; drawn clips reach 1 or 1.69
TURN_LIMIT = math.radians(45)  # drawn clips turn 0 or at least 110 degrees
LEAST_AREA = 0.003  # of the frame; below that the object has vanished from a frame
ENDS = 3  # frames averaged at either end

CANVAS = 40  # side of the templates, in samples
CANVAS_REACH = 1.9  # half a template's side, in radii of the disc of the object's area
TEMPLATE_TURNS = 12
SHAPE_FRAMES = 5
CHUNK = 16


@dataclass(frozen=True)
class Measurement:
    """The measured attributes of B clips, and the values from which they were decided.

    Attributes are indices in `ATTRIBUTES`, -1 where unclear.

    colour, background, shape, direction, change, size: (B,) int64.
    colour_error, background_error: (B,) distance to the nearest palette entry, RGB in [0, 1].
    overlap: (B, shapes) overlap with the best turned template of each shape, 0 to 1.
    travel: (B, 2) displacement of the object's centre, x to the right and y down, in frame widths.
    growth: (B,) radius at the end over radius at the start.
    turn: (B,) clockwise turn over the whole clip in radians.
    visible: (B,) fraction of frames in which there is an object.
    """

    colour: torch.Tensor
    background: torch.Tensor
    shape: torch.Tensor
    direction: torch.Tensor
    change: torch.Tensor
    size: torch.Tensor
    colour_error: torch.Tensor
    background_error: torch.Tensor
    overlap: torch.Tensor
    travel: torch.Tensor
    growth: torch.Tensor
    turn: torch.Tensor
    visible: torch.Tensor

    def indices(self) -> torch.Tensor:
        """The attributes as rows in the order of `ATTRIBUTES`, (B, 6), -1 where unclear."""
        return torch.stack([getattr(self, name) for name in ATTRIBUTES], dim=1)


def measure_clips(videos: torch.Tensor) -> Measurement:
    """Measure the attributes of clips.

    Args:
        videos: (B, 3, T, H, W), RGB, floats in [0, 1] or uint8, on any device. T is at least 7.

    Raises:
        InputError: if `videos` has another shape.
    """
    if videos.ndim != 5 or videos.shape[1] != 3 or videos.shape[2] < 2 * ENDS + 1:
        raise InputError(
            f"measure_clips reads videos of shape (B, 3, T, H, W) with at least {2 * ENDS + 1} "
            "frames, "
            f"but got {tuple(videos.shape)}."
        )
    parts = [_measure_chunk(chunk) for chunk in videos.split(CHUNK)]
    return Measurement(
        **{
            f.name: torch.cat([getattr(part, f.name) for part in parts])
            for f in fields(Measurement)
        }
    )


def judge_clips(measured: Measurement, expected: torch.Tensor) -> torch.Tensor:
    """Whether each of `JUDGED` is right, (B, 4) bool; motion needs direction and change.

    Args:
        measured: of B clips.
        expected: the scenes they should show, (B, 6) indices.
    """
    right = measured.indices() == expected.to(measured.colour.device)
    colour, shape, background, direction, change, _ = right.unbind(1)
    return torch.stack([colour, shape, background, direction & change], dim=1)


def swapped_colours(measured: Measurement, expected: torch.Tensor) -> torch.Tensor:
    """Whether the colours of object and background are swapped, (B,) bool."""
    column = list(ATTRIBUTES).index
    expected = expected.to(measured.colour.device)
    return (measured.colour == expected[:, column("background")]) & (
        measured.background == expected[:, column("colour")]
    )


def _measure_chunk(videos: torch.Tensor) -> Measurement:
    videos = videos.float() / 255 if videos.dtype == torch.uint8 else videos.float()
    background_rgb, colour_rgb, cover = separate(videos)
    colour, colour_error = _nearest_colour(colour_rgb)
    background, background_error = _nearest_colour(background_rgb)

    area, centre = area_and_centre(cover)
    visible = (area > LEAST_AREA).float().mean(1)
    seen = visible >= 0.8
    overlap = _template_overlap(cover, area, centre)
    best, shape = overlap.max(1)
    shape = shape.where(seen & (best > SHAPE_LIMIT), -1)
    travel, growth = _travel_and_growth(area, centre)
    turn = _turn(cover, centre, shape)
    disc_radius = (area.clamp(min=1e-6) / math.pi).sqrt().log().mean(1).exp()
    return Measurement(
        colour=colour.where(seen, -1),
        background=background,
        shape=shape,
        direction=_direction(travel).where(seen, -1),
        change=_change(growth, turn).where(seen, -1),
        size=_size(disc_radius, shape).where(seen, -1),
        colour_error=colour_error,
        background_error=background_error,
        overlap=overlap,
        travel=travel,
        growth=growth,
        turn=turn,
        visible=visible,
    )


def separate(videos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Background (B, 3), object colour (B, 3), and the object's coverage of pixels (B, T, H, W)."""
    edges = videos[..., :3, :], videos[..., -3:, :], videos[..., :3], videos[..., -3:]
    rim = torch.cat([edge.flatten(2) for edge in edges], dim=2)
    background = rim.median(dim=2).values
    difference = videos - background[:, :, None, None, None]
    # The mean of 4x4 pixels keeps single odd pixels from passing for an object.
    distance = F.avg_pool2d(difference.square().sum(1).sqrt(), 4)
    peak = distance.amax(dim=(1, 2, 3), keepdim=True)
    core = (distance > 0.85 * peak).float()
    blocks = F.avg_pool3d(difference, (1, 4, 4))
    mean = (blocks * core[:, None]).sum((2, 3, 4)) / core.sum((1, 2, 3))[:, None].clamp(min=1)
    axis = mean / mean.square().sum(1, keepdim=True).clamp(min=1e-6)
    cover = torch.einsum("bcthw,bc->bthw", difference, axis)
    # Steeper around one half: the edge stays in place, and faint noise on the background adds up to
    # nothing.
    cover = ((cover - 0.25) * 2).clamp(0, 1)
    return background, background + mean, cover * (peak > CONTRAST_LIMIT)


def _nearest_colour(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    palette = torch.tensor(list(PALETTE.values()), device=rgb.device) / 255
    error, index = torch.cdist(rgb, palette).min(1)
    return index.where(error < COLOUR_LIMIT, -1), error


def _grid(cover: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres x (W,) and y (H, 1) of videos (..., H, W), in frame widths."""
    height, width = cover.shape[-2:]
    x = (torch.arange(width, device=cover.device) + 0.5) / width
    y = (torch.arange(height, device=cover.device)[:, None] + 0.5) / width
    return x, y


def area_and_centre(cover: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Area (B, T) in squared frame widths and centre of mass (B, T, 2) of what is more than half
    covered.
    """
    solid = cover * (cover > 0.5)
    x, y = _grid(cover)
    mass = solid.sum((2, 3))
    columns, rows = solid.sum(2), solid.sum(3)
    moment = torch.stack([(columns * x).sum(2), (rows * y[:, 0]).sum(2)], dim=2)
    centre = moment / mass[..., None].clamp(min=1e-6)
    return cover.sum((2, 3)) / cover.shape[-1] ** 2, centre


def _travel_and_growth(
    area: torch.Tensor, centre: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacement and growth over the clip, from means of a few frames at both ends."""
    frames = area.shape[1]
    stretch = (frames - 1) / (frames - ENDS)
    travel = (centre[:, -ENDS:].mean(1) - centre[:, :ENDS].mean(1)) * stretch
    log_radius = area.clamp(min=1e-6).log() / 2
    growth = ((log_radius[:, -ENDS:].mean(1) - log_radius[:, :ENDS].mean(1)) * stretch).exp()
    return travel, growth


def _turn(cover: torch.Tensor, centre: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Clockwise turn over the clip (B,) in radians, from the phase of the shape's own angular
    harmonic.
    """
    folds = torch.tensor([WEDGES[name].folds for name in SHAPES], device=cover.device)[
        shape.clamp(min=0)
    ]
    x, y = _grid(cover)
    x = x - centre[..., 0, None, None]
    y = y - centre[..., 1, None, None]
    weight = cover * (x.square() + y.square())
    phase = folds[:, None, None, None] * torch.atan2(y, x)
    moment = torch.complex((weight * phase.cos()).sum((2, 3)), (weight * phase.sin()).sum((2, 3)))
    steps = torch.angle(moment[:, 1:] * moment[:, :-1].conj())
    turns = (shape >= 0) & (shape != SHAPES.index("circle"))
    return (steps.sum(1) / folds).where(turns, 0.0)


def _direction(travel: torch.Tensor) -> torch.Tensor:
    """Index in `DIRECTIONS`; -1 for a diagonal displacement."""
    x, y = travel.unbind(1)
    along, across = travel.abs().amax(1), travel.abs().amin(1)
    name = DIRECTIONS.index
    sideways = torch.where(x < 0, name("left"), name("right"))
    upright = torch.where(y < 0, name("up"), name("down"))
    moving = torch.where(x.abs() > y.abs(), sideways, upright).where(across < along / 2, -1)
    return moving.where(along > TRAVEL_LIMIT, name("still"))


def _change(growth: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Index in `CHANGES`; -1 for an object that turns and changes its size."""
    name = CHANGES.index
    turns = turn.abs() > TURN_LIMIT
    grows, shrinks = growth > GROWTH_LIMIT, growth < 1 / GROWTH_LIMIT
    size_change = torch.where(
        grows, name("grows"), torch.where(shrinks, name("shrinks"), name("steady"))
    )
    turning = torch.where(grows | shrinks, -1, name("rotates"))
    return torch.where(turns, turning, size_change)


def _size(disc_radius: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Nearest of `SIZES` in the mean logarithm of the radius; -1 where the shape is unclear."""
    device = disc_radius.device
    areas = torch.tensor([WEDGES[name].area for name in SHAPES], device=device)[shape.clamp(min=0)]
    radius = disc_radius * (math.pi / areas).sqrt()
    radii = torch.tensor(list(RADIUS.values()), device=device)
    return (radius[:, None] / radii).log().abs().argmin(1).where(shape >= 0, -1)


@cache
def _templates() -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of every shape at every turn, of the unit disc's area (N, CANVAS²), and whose they are
    (N,).
    """
    axis = (torch.arange(CANVAS) + 0.5) / CANVAS * 2 - 1
    masks, owners = [], []
    for index, name in enumerate(SHAPES):
        wedge = WEDGES[name]
        radius = math.sqrt(math.pi / wedge.area)
        turns = 1 if name == "circle" else TEMPLATE_TURNS
        angle = torch.arange(turns)[:, None, None] * (2 * math.pi / wedge.folds / turns)
        x, y = torch.broadcast_tensors(
            axis * CANVAS_REACH / radius, axis[:, None] * CANVAS_REACH / radius
        )
        distance = shape_distance(torch.tensor(index), x, y, angle) * radius
        masks.append((0.5 - distance * CANVAS / 2 / CANVAS_REACH).clamp(0, 1).flatten(1))
        owners += [index] * turns
    return torch.cat(masks), torch.tensor(owners)


def crop(cover: torch.Tensor, centre: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """The surroundings of an object, resampled: (B, T, CANVAS, CANVAS).

    Args:
        cover: how much the object covers each pixel, (B, T, H, W).
        centre: of the crop, (B, T, 2), in frame widths.
        reach: half the crop's side in frame widths, broadcastable to (B, T).
    """
    height, width = cover.shape[-2:]
    axis = ((torch.arange(CANVAS, device=cover.device) + 0.5) / CANVAS * 2 - 1) * reach[..., None]
    x = centre[..., 0, None, None] + axis[..., None, :]
    y = (centre[..., 1, None, None] + axis[..., None]) * width / height
    points = torch.stack(torch.broadcast_tensors(x, y), dim=-1) * 2 - 1
    seen = F.grid_sample(cover.flatten(0, 1)[:, None], points.flatten(0, 1), align_corners=False)
    return seen.view(*cover.shape[:2], CANVAS, CANVAS)


def _template_overlap(
    cover: torch.Tensor, area: torch.Tensor, centre: torch.Tensor
) -> torch.Tensor:
    """Intersection over union with each shape's best turned template, mean of a few frames: (B,
    shapes).
    """
    batch, frames = cover.shape[:2]
    picks = torch.linspace(0, frames - 1, SHAPE_FRAMES, device=cover.device).round().long()
    cover, area, centre = cover[:, picks], area[:, picks], centre[:, picks]
    reach = (area.clamp(min=1e-6) / math.pi).sqrt() * CANVAS_REACH
    seen = crop(cover, centre, reach).flatten(2).flatten(0, 1)

    templates, owners = (table.to(cover.device) for table in _templates())
    difference = torch.cdist(seen, templates, p=1)
    total = seen.sum(1, keepdim=True) + templates.sum(1)
    overlap = (total - difference) / (total + difference)
    best = torch.stack([overlap[:, owners == index].amax(1) for index in range(len(SHAPES))], dim=1)
    return best.unflatten(0, (batch, SHAPE_FRAMES)).mean(1)
