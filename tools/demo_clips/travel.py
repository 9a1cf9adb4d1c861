"""Measure how the object of a short clip moves, and whether it keeps its shape and colour."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from filmstrip.errors import InputError
from tools.demo_clips.measure import (
    CHUNK,
    COLOUR_LIMIT,
    LEAST_AREA,
    area_and_centre,
    crop,
    separate,
)
from tools.demo_clips.pointers import HEADINGS

LEAST_WAY = 2 / 128  # frame widths over the clip; less is standing still
KEPT_OVERLAP = (
    0.75  # least overlap of the object in the last frame with that in the picture, both centred
)
CROP_REACH = 0.25  # half the compared crop's side, in frame widths: it holds the largest object


@dataclass(frozen=True)
class Travel:
    """The measurements of B clips.

    Attributes:
        velocity: (B, 2), pixels per frame to the right and down.
        direction: (B,) int64, index in `HEADINGS` nearest to the motion; -1 where nothing moves or
            no object is found.
        overlap: (B,), intersection over union of the object in the last frame and in the picture,
            both centred.
        shape_kept: (B,) bool, whether shape, size and heading persist.
        colour_kept: (B,) bool, whether the colours of object and background persist.
        psnr: (B,), of the first frame against the picture, in dB.
    """

    velocity: torch.Tensor
    direction: torch.Tensor
    overlap: torch.Tensor
    shape_kept: torch.Tensor
    colour_kept: torch.Tensor
    psnr: torch.Tensor

    @property
    def speed(self) -> torch.Tensor:
        """(B,) pixels per frame."""
        return self.velocity.norm(dim=1)


def measure_travel(videos: torch.Tensor, pictures: torch.Tensor) -> Travel:
    """Measure clips against the pictures that they were made from.

    Args:
        videos: (B, 3, T, H, W) with values in [0, 1], sides multiples of 4.
        pictures: (B, 3, H, W), the same.

    Returns:
        Tensors on the device of the videos.

    Raises:
        InputError: for tensors of another shape.
    """
    if videos.ndim != 5 or pictures.shape != (*videos.shape[:2], *videos.shape[3:]):
        raise InputError(
            "Clips to measure have shape (B, 3, T, H, W) and pictures (B, 3, H, W), not "
            f"{tuple(videos.shape)} and "
            f"{tuple(pictures.shape)}."
        )
    parts = [
        _measure(*pair) for pair in zip(videos.split(CHUNK), pictures.split(CHUNK), strict=True)
    ]
    return Travel(
        **{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Travel)}
    )


def _measure(videos: torch.Tensor, pictures: torch.Tensor) -> Travel:
    videos, pictures = videos.float(), pictures.float()
    _, _, cover = separate(videos)
    area, centre = area_and_centre(cover)
    time = torch.arange(videos.shape[2], device=centre.device) - (videos.shape[2] - 1) / 2
    step = (
        torch.einsum("btc,t->bc", centre, time) / time.square().sum()
    )  # the line that fits the centres best
    way = step.norm(dim=1) * (videos.shape[2] - 1)
    angle = torch.atan2(step[:, 1], step[:, 0]) * (len(HEADINGS) / (2 * math.pi))
    seen = (area > LEAST_AREA).float().mean(1) >= 0.8
    direction = angle.round().long() % len(HEADINGS)

    overlap = _overlap(videos[:, :, -1:], pictures[:, :, None])
    colours = [
        torch.stack(separate(clip)[:2]) for clip in (videos[:, :, -3:], pictures[:, :, None])
    ]
    error = (colours[0] - colours[1]).norm(dim=-1).amax(0)
    mean_square = (videos[:, :, 0] - pictures).square().mean((1, 2, 3))
    return Travel(
        velocity=step * videos.shape[-1],
        direction=direction.where(seen & (way > LEAST_WAY), -1),
        overlap=overlap,
        shape_kept=seen & (overlap > KEPT_OVERLAP),
        colour_kept=seen & (error < COLOUR_LIMIT),
        psnr=-10 * mean_square.clamp(min=1e-10).log10(),
    )


def _overlap(clip: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union (B,) of the objects of two clips (B, 3, 1, H, W), each moved to the
    middle.
    """
    crops = []
    for video in (clip, other):
        _, _, cover = separate(video)
        area, centre = area_and_centre(cover)
        crops.append(crop(cover, centre, torch.full_like(area, CROP_REACH))[:, 0])
    first, second = crops
    union = torch.maximum(first, second).sum((1, 2))
    return torch.minimum(first, second).sum((1, 2)) / union.clamp(min=1e-6)
