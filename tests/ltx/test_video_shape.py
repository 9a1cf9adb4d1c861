"""Shapes of videos are rounded up to what LTX can make, and refused where there is no video."""

import pytest

from filmstrip.errors import InputError
from filmstrip.ltx.video_shape import VideoShape, round_down_frames, round_up_shape


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((32, 64, 9), (32, 64, 9)),
        ((33, 63, 10), (64, 64, 17)),
        ((1, 1, 1), (32, 32, 1)),
        ((480, 720, 120), (480, 736, 121)),
    ],
)
def test_the_next_larger_shape(given: tuple[int, int, int], made: tuple[int, int, int]) -> None:
    assert round_up_shape(VideoShape(*given, 24.0), 8) == VideoShape(*made, 24.0)


@pytest.mark.parametrize("name", ["height", "width", "num_frames"])
@pytest.mark.parametrize("value", [0, -8, 1.5])
def test_a_shape_without_a_video_is_refused(name: str, value: float) -> None:
    sizes = {"height": 32, "width": 32, "num_frames": 9, "frame_rate": 24.0} | {name: value}
    with pytest.raises(InputError, match=f"{name} is {value}; give a whole number above 0"):
        round_up_shape(VideoShape(**sizes), 8)


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (8, 1), (9, 9), (16, 9), (17, 17)])
def test_frames_are_cut_to_8_k_plus_1(frames: int, kept: int) -> None:
    assert round_down_frames(frames, 8) == kept
