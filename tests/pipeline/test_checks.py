"""The checks of a call accept values at the limits and refuse those just beyond."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.pipeline import checks


@pytest.mark.parametrize("value", [1, 2, np.int64(3)])
def test_a_count_is_accepted(value: Any) -> None:
    checks.check_count(value, "num_frames")


@pytest.mark.parametrize("value", [0, -1, 1.0, True, False, None, "2", math.nan])
def test_a_value_that_is_not_a_count_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"num_frames is .*; give a whole number above 0\."):
        checks.check_count(value, "num_frames")


@pytest.mark.parametrize("value", [0, -2.5, np.float32(1.5), 7])
def test_a_number_is_accepted(value: Any) -> None:
    checks.check_numbers({"fps": 1, "scale": value})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, True, "1", None, 1j])
def test_a_value_that_is_not_a_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"scale is .*; give a number\."):
        checks.check_numbers({"fps": 1, "scale": value})


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1, 1.0])
def test_a_fraction_is_accepted(value: Any) -> None:
    checks.check_fraction(value, "strength")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1e-9, "strength is -1e-09; it must be from 0 to 1"),
        (1.0001, "strength is 1.0001; it must be from 0 to 1"),
        (True, "strength is True; give a number"),
        ("half", "strength is 'half'; give a number"),
    ],
)
def test_a_value_that_is_not_a_fraction_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checks.check_fraction(value, "strength")


def test_latents_of_another_shape_are_refused() -> None:
    checks.check_shape(None, (1, 2))
    checks.check_shape(torch.zeros(1, 2), (1, 2))
    for shape in [(2, 1), (1, 2, 1), (1, 3), (2,)]:
        with pytest.raises(InputError, match=r"\(1, 2\) is needed"):
            checks.check_shape(torch.zeros(shape), (1, 2))


def test_a_schedule_or_a_number_of_steps_is_needed() -> None:
    checks.check_schedule(1, None, "sigmas")
    checks.check_schedule(0, [1.0], "sigmas")
    checks.check_schedule(0, np.array([1.0, 0.5]), "sigmas")
    with pytest.raises(InputError, match="num_inference_steps is 0"):
        checks.check_schedule(0, None, "sigmas")
    with pytest.raises(InputError, match="sigmas is empty"):
        checks.check_schedule(1, [], "sigmas")


def test_an_unknown_output_type_is_refused() -> None:
    for output_type in ("pil", "np", "pt", "latent"):
        checks.check_output_type(output_type)
    with pytest.raises(InputError, match="output_type is 'mp4'; choose one of pil, np, pt, latent"):
        checks.check_output_type("mp4")


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 32), (32, 96)])
def test_a_multiple_is_accepted(height: int, width: int) -> None:
    checks.check_multiple(height, width, 32)


@pytest.mark.parametrize(
    ("height", "width", "nearest"),
    [
        (33, 64, "32 and 64"),
        (64, 63, "64 and 64"),
        (50, 81, "64 and 96"),
        (1, 15, "32 and 32"),
    ],
)
def test_a_size_that_is_not_a_multiple_is_refused(height: int, width: int, nearest: str) -> None:
    message = f"divisible by 32 but are {height} and {width}; the nearest that are: {nearest}"
    with pytest.raises(InputError, match=message):
        checks.check_multiple(height, width, 32)


def test_a_size_below_1_is_refused() -> None:
    with pytest.raises(InputError, match="height is 0"):
        checks.check_multiple(0, 32, 32)
    with pytest.raises(InputError, match="width is -32"):
        checks.check_multiple(32, -32, 32)


def test_one_generator_or_one_for_each_video_is_accepted() -> None:
    generator = torch.Generator()
    for generators in (None, generator, [generator], [generator] * 3):
        checks.check_generators(generators, 3)
    for count in (0, 2, 4):
        with pytest.raises(InputError, match=f"{count} generators were given for 3 videos"):
            checks.check_generators([generator] * count, 3)


def test_a_positive_number_is_accepted() -> None:
    checks.check_positive(0.5, "frame_rate")


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "25", None])
def test_a_value_that_is_not_a_positive_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="frame_rate is"):
        checks.check_positive(value, "frame_rate")
