"""`FILE@FRAME:STRENGTH`, the values of `--image` and `--video`."""

import os
import re
from collections.abc import Sequence

from filmstrip.errors import InputError
from filmstrip.jobs.request import ConditionRequest
from filmstrip.jobs.settings import check_range

FORM = re.compile(r"(?P<file>.+)@(?P<frame>-?\d+)(:(?P<strength>[^:/\\]*))?")


def parse_condition(option: str, text: str) -> ConditionRequest:
    """Read FILE, FILE@FRAME or FILE@FRAME:STRENGTH.

    If a file of the whole name exists, FRAME and STRENGTH are parts of its name.

    Args:
        option: "image" or "video".
        text: the value of the option.

    Raises:
        InputError: the strength is no number from 0 to 1.
    """
    match = None if os.path.exists(text) else FORM.fullmatch(text)
    if match is None:
        return ConditionRequest(option, text)
    try:
        strength = 1.0 if match["strength"] is None else float(match["strength"])
        check_range("strength", strength)
    except (ValueError, InputError):
        raise InputError(
            f"--{option} {text}: the strength, after the colon, is a number from 0 (no effect) to "
            "1 (as in the file)."
        ) from None
    return ConditionRequest(option, match["file"], int(match["frame"]), strength)


def parse_conditions(
    images: Sequence[str] | None, videos: Sequence[str] | None
) -> tuple[ConditionRequest, ...]:
    """Read all values of `--image` and `--video`, pictures first."""
    pictures = [parse_condition("image", text) for text in images or ()]
    clips = [parse_condition("video", text) for text in videos or ()]
    return (*pictures, *clips)
