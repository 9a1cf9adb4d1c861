"""The times of prompts, and the windows of a long video."""

import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.request import TimedPrompt
from filmstrip.jobs.windows import Windows, last_frame, parse_time, plan_long_video


@pytest.mark.parametrize(
    ("time", "second"),
    [
        ("4s", 4),
        ("2.5", 2.5),
        (".5s", 0.5),
        ("1m30s", 90),
        ("2m", 120),
        ("1m2.5", 62.5),
        ("96f", 4),
        ("0", 0),
    ],
)
def test_times_are_in_seconds_minutes_or_frames(time: str, second: float) -> None:
    assert parse_time(TimedPrompt(time, "a  cat "), fps=24) == second


@pytest.mark.parametrize("time", ["", "s", "m", "4h", "-4s", "4sec", "f", "1.5f", "nan"])
def test_bad_times_are_refused(time: str) -> None:
    with pytest.raises(
        InputError, match=f"--prompt-at '{time}': a time is written as 4s, 1m30s, 2.5"
    ):
        parse_time(TimedPrompt(time, "a cat"), fps=24)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="--prompt-at 4s: the prompt is empty"):
        parse_time(TimedPrompt("4s", "  "), fps=24)


def plan(prompts: list[TimedPrompt], window: int, snap: bool = True) -> Adjusted[Windows]:
    return plan_long_video("a", prompts, 75, 25, window=window, stride=4, snap_window=snap)


def test_the_windows_of_a_long_video_overlap() -> None:
    prompts = [TimedPrompt("1s", "b"), TimedPrompt("50f", "c")]
    assert last_frame(prompts, 25) == 50
    assert last_frame([], 25) == 0
    windows = plan(prompts, 24)
    assert windows.value == Windows(((1.0, "b"), (2.0, "c")), window=25, overlap=9, num_windows=5)
    assert windows.adjustments == (
        "--window 24 is not 4 * k + 1: using 25.",
        "The video is made in 5 windows of up to 25 frames, one after the other.",
    )
    with pytest.raises(InputError, match="--window 24 is not 4"):
        plan(prompts, 24, snap=False)
    with pytest.raises(InputError, match="A prompt begins at 3 s, where the video ends"):
        plan([TimedPrompt("3s", "d")], 25)
    with pytest.raises(InputError, match="a window must be longer"):
        plan([], 1)
