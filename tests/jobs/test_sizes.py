"""Sizes and lengths are moved to those that a model can make, or refused."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.jobs.sizes import odd_size, snap_frames, snap_size


@settings(deadline=None)
@given(requested=st.integers(1, 5000), multiple=st.sampled_from([8, 32, 48, 64]))
def test_a_width_is_moved_to_the_nearest_multiple_with_a_message(
    requested: int, multiple: int
) -> None:
    snapped = snap_size("width", requested, multiple, True)
    width = snapped.value
    assert width > 0
    assert width % multiple == 0
    assert all(
        abs(width - requested) <= abs(other - requested)
        for other in (width - multiple, width + multiple)
        if other > 0
    )
    sentence = f"--width {requested} is not a multiple of {multiple}: using {width}."
    assert snapped.adjustments == (() if width == requested else (sentence,))


@settings(deadline=None)
@given(requested=st.integers(1, 2000), stride=st.sampled_from([1, 4, 8]))
def test_a_length_is_moved_to_the_nearest_that_the_vae_can_decode(
    requested: int, stride: int
) -> None:
    num_frames = snap_frames(requested, None, 25, stride, True).value
    assert num_frames >= 1
    assert (num_frames - 1) % stride == 0
    assert abs(num_frames - requested) <= stride / 2


def test_halves_are_rounded_up() -> None:
    assert snap_size("width", 112, 32, True).value == 128
    assert snap_frames(13, None, 25, 8, True).value == 17


def test_seconds_are_converted_to_frames() -> None:
    longer = snap_frames(161, 5, 24, 8, True)
    shorter = snap_frames(161, 4, 24, 8, True)
    assert (longer.value, shorter.value) == (121, 97)
    assert longer.adjustments == (
        "--seconds 5 at 24 fps (120 frames) is not 8 * k + 1: using 121.",
    )
    assert shorter.adjustments == ("--seconds 4 at 24 fps (96 frames) is not 8 * k + 1: using 97.",)
    assert snap_frames(161, 0.001, 24, 8, True).value == 1


def test_only_h264_files_need_an_even_size() -> None:
    assert odd_size(40, 50, None, True) == ()
    assert odd_size(39, 51, "a.webp", True) == ()
    assert odd_size(39, 51, None, True) == (
        "39x51 has an odd width or height, and .mp4 files (4:2:0) need even ones: the last "
        "row or column is repeated, 40x52.",
    )
    with pytest.raises(InputError, match="Use 40x50, another format, or leave out --no-snap"):
        odd_size(39, 50, "A.MKV", False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: snap_size("width", 100, 32, False),
            "--width 100 is not a multiple of 32.*nearest is 96",
        ),
        (
            lambda: snap_frames(24, None, 25, 8, False),
            r"--frames 24 is not 8 \* k \+ 1.*nearest is 25",
        ),
        (lambda: snap_frames(9, -2.0, 25, 8, True), "--seconds is -2"),
    ],
)
def test_sizes_that_may_not_be_moved_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
