"""Checks of the arguments that all pipelines take, for use before any computation.

Each raises an `InputError` that names the argument, its value and the remedy.
"""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from filmstrip.errors import InputError

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def check_count(value: Any, name: str) -> None:
    """Refuse a value that is not a whole number above 0.

    Args:
        name: of the argument, for the error.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}; give a whole number above 0.")


def check_numbers(numbers: Mapping[str, Any]) -> None:
    """Refuse values that are not finite numbers.

    Args:
        numbers: the values, by the names of their arguments.
    """
    for name, value in numbers.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"{name} is {value!r}; give a number.")


def check_positive(value: Any, name: str) -> None:
    """Refuse a value that is not a finite number above 0.

    Args:
        name: of the argument, for the error.
    """
    check_numbers({name: value})
    if value <= 0:
        raise InputError(f"{name} is {value}; it must be above 0.")


def check_fraction(value: Any, name: str) -> None:
    """Refuse a value that is not a number from 0 to 1.

    Args:
        name: of the argument, for the error.
    """
    check_numbers({name: value})
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value}; it must be from 0 to 1.")


def check_shape(latents: Any, shape: tuple[int, ...]) -> None:
    """Refuse latents of another shape; `None` is accepted."""
    if latents is not None and tuple(latents.shape) != shape:
        raise InputError(f"latents have the shape {tuple(latents.shape)}; {shape} is needed.")


def check_schedule(num_inference_steps: int, schedule: Any, name: str) -> None:
    """Refuse a number of steps below 1, or an empty schedule in its place.

    Args:
        num_inference_steps: only checked without a schedule.
        schedule: timesteps or sigmas, or `None`.
        name: of the argument that gives the schedule, for the error.
    """
    if schedule is None:
        check_count(num_inference_steps, "num_inference_steps")
    elif not len(schedule):
        raise InputError(f"{name} is empty; give at least one, or None for the default schedule.")


def check_output_type(output_type: str) -> None:
    """Refuse an output type that is not in `OUTPUT_TYPES`."""
    if output_type not in OUTPUT_TYPES:
        raise InputError(
            f"output_type is {output_type!r}; choose one of {', '.join(OUTPUT_TYPES)}."
        )


def check_multiple(height: int, width: int, multiple: int) -> None:
    """Refuse a height or width, in pixels, that is not a positive multiple of `multiple`."""
    check_count(height, "height")
    check_count(width, "width")
    if height % multiple or width % multiple:
        nearest_height = max(1, round(height / multiple)) * multiple
        nearest_width = max(1, round(width / multiple)) * multiple
        raise InputError(
            f"`height` and `width` have to be divisible by {multiple} but are {height} and "
            f"{width}; the nearest that are: {nearest_height} and {nearest_width}."
        )


def check_generators(generator: Any, num_videos: int) -> None:
    """Refuse a list of generators whose length is neither 1 nor the number of videos."""
    if isinstance(generator, list) and len(generator) not in (1, num_videos):
        raise InputError(
            f"{len(generator)} generators were given for {num_videos} videos; give one, or one "
            "for each."
        )
