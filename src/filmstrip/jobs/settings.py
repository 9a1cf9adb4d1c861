"""The settings of a job: those of the request, checked, and else the preset's."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from filmstrip.errors import InputError
from filmstrip.jobs.families import P
from filmstrip.svd.limits import MOTION_BUCKET_RANGE

MAX_SEED = 2**63 - 1
LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(  # both ends included
    {
        "width": (1, math.inf),
        "height": (1, math.inf),
        "frames": (1, math.inf),
        "steps": (1, math.inf),
        "guidance": (0, math.inf),
        "guidance_min": (0, math.inf),
        "guidance_max": (0, math.inf),
        "noise_aug": (0, math.inf),
        "motion": MOTION_BUCKET_RANGE,
        "strength": (0, 1),
        "seconds": (0.001, math.inf),
        "fps": (0.1, 1000),
        "count": (1, 9999),
        "seed": (0, MAX_SEED),
    }
)


def override(preset: P, **requested: Any) -> P:
    """Replace settings of a preset by those of a request.

    Args:
        preset: the preset.
        requested: settings by name; None keeps the preset's.

    Raises:
        InputError: a number is outside its `LIMITS`.
    """
    values = {name: value for name, value in requested.items() if value is not None}
    for name, value in values.items():
        if not isinstance(value, str):
            check_range(name, value)
    fps = values.get("fps", preset.fps)
    values["fps"] = int(fps) if fps == int(fps) else fps
    return replace(preset, **values)


def check_range(name: str, value: float) -> None:
    """Check that a setting is a finite number within its limits.

    Args:
        name: the setting, one of `LIMITS`.
        value: its value.

    Raises:
        InputError: it is not.
    """
    low, high = LIMITS[name]
    if low <= value <= high and value != math.inf:
        return
    text = f"{value:g}" if isinstance(value, float) else value
    bounds = f"{low:g} or more" if high == math.inf else f"from {low} to {high}"
    raise InputError(f"--{name.replace('_', '-')} is {text}, but it must be {bounds}.")


def seeds_from(first: int | None, count: int) -> tuple[int, ...]:
    """The seeds of a job's videos, which are consecutive.

    Args:
        first: the first seed; None: a random one.
        count: the number of videos.

    Raises:
        InputError: the count or a seed is outside its `LIMITS`.
    """
    check_range("count", count)
    if first is None:
        first = random.SystemRandom().randrange(2**32)
    check_range("seed", first)
    if first + count - 1 > MAX_SEED:
        raise InputError(
            f"--seed is {first}, but for {count} videos it must be from 0 to "
            f"{MAX_SEED - count + 1}."
        )
    return tuple(range(first, first + count))
