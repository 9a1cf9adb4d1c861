"""`FILE@FRAME:STRENGTH`, the values of `--image` and `--video`."""

from pathlib import Path

import pytest

from filmstrip.cli.conditions import parse_condition, parse_conditions
from filmstrip.errors import InputError
from filmstrip.jobs.request import ConditionRequest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png", ("a.png", 0, 1.0)),
        ("a.png@96", ("a.png", 96, 1.0)),
        ("a.png@-1:0.8", ("a.png", -1, 0.8)),
        ("me@home.png@3:.5", ("me@home.png", 3, 0.5)),
        (
            "https://me:secret@example.org:80/a@2x.png",
            ("https://me:secret@example.org:80/a@2x.png", 0, 1.0),
        ),
        ("https://example.org:80/a.png?at=1:2@8", ("https://example.org:80/a.png?at=1:2", 8, 1.0)),
        (r"C:\pictures\a.png", (r"C:\pictures\a.png", 0, 1.0)),
        (r"C:\pictures\a.png@8:1", (r"C:\pictures\a.png", 8, 1.0)),
        ("odd@4", ("odd@4", 0, 1.0)),
        ("odd@4@8", ("odd@4", 8, 1.0)),
    ],
)
def test_a_frame_and_a_strength_may_follow_the_file(
    text: str,
    expected: tuple[str, int, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd@4").touch()
    assert parse_condition("image", text) == ConditionRequest("image", *expected)


@pytest.mark.parametrize(
    "text", ["a.png@0:", "a.png@0:1.1", "a.png@0:-1", "a.png@0:much", "a.png@0:nan"]
)
def test_a_strength_that_is_no_number_from_0_to_1_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=f"--image {text}: the strength, after the colon, is a number from 0"
    ):
        parse_condition("image", text)


def test_pictures_come_before_clips() -> None:
    assert parse_conditions(["a.png"], ["b.mp4@8"]) == (
        ConditionRequest("image", "a.png"),
        ConditionRequest("video", "b.mp4", 8),
    )
    assert parse_conditions(None, None) == ()
