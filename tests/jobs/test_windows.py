"""Prompts over time: how a time is written, and how a long video is parted."""

from typing import Any

import pytest

from filmstrip.cli.windows import last, parse, split
from filmstrip.errors import InputError


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
def test_a_time_is_in_seconds_minutes_or_frames(time: str, second: float) -> None:
    assert parse(f"{time} a  cat ", fps=24) == (second, "a  cat ")


@pytest.mark.parametrize("time", ["", "s", "m", "4h", "-4s", "4sec", "f", "1.5f", "nan"])
def test_other_times_are_refused(time: str) -> None:
    with pytest.raises(
        InputError, match=f"--prompt-at '{time}': a time is written as 4s, 1m30s, 2.5"
    ):
        parse(f"{time} a cat", fps=24)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="--prompt-at 4s: the prompt is empty"):
        parse("4s  ", fps=24)


def test_the_video_is_parted_into_windows_that_overlap() -> None:
    texts, notes = ["1s b", "50f c"], list[str]()
    call: dict[str, Any] = {"prompt": "a", "num_frames": 75, "frame_rate": 25}
    assert last(texts, 25) == 50
    assert split(call, texts, 24, 4, True, notes) == 5
    assert (call["window"], call["overlap"], call["prompts_at"]) == (25, 9, texts)
    assert notes == [
        "--window 24 is not 4 * k + 1: using 25.",
        "The video is made in 5 windows of up to 25 frames, one after the other.",
    ]
    with pytest.raises(InputError, match="--window 24 is not 4"):
        split(call, texts, 24, 4, False, [])
    with pytest.raises(InputError, match="A prompt begins at 3 s, where the video ends"):
        split(call, ["3s d"], 25, 4, True, [])
    with pytest.raises(InputError, match="a window must be longer"):
        split(call, [], 1, 4, True, [])
