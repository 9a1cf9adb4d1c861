"""Long videos, which are made in overlapping windows, from prompts over time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.json_data import JsonData
from filmstrip.jobs.request import TimedPrompt
from filmstrip.jobs.sizes import snap
from filmstrip.jobs.words import plural

TIME = re.compile(r"(?P<frames>\d+)f|(?=.)((?P<minutes>\d+)m)?((?P<seconds>\d+\.?\d*|\.\d+)s?)?")
OVERLAP = 25  # frames that a window takes over from the one before, where it is long enough


@dataclass(frozen=True)
class Windows(JsonData):
    """How a long video is made, one window after the other."""

    prompts_at: tuple[tuple[float, str], ...]  # after the first: the second of each, and its text
    window: int  # frames that are made at once
    overlap: int  # of them, those that are taken over from the window before
    num_windows: int  # of the whole video


def parse_time(prompt: TimedPrompt, fps: float) -> float:
    """The second at which a prompt begins.

    Raises:
        InputError: the time is not written as `TimedPrompt` says, or there is no prompt.
    """
    match = TIME.fullmatch(prompt.time)
    if not match:
        raise InputError(
            f"--prompt-at {prompt.time!r}: a time is written as 4s, 1m30s, 2.5 (seconds) or 96f "
            "(frames)."
        )
    if not prompt.prompt.strip():
        raise InputError(
            f"--prompt-at {prompt.time}: the prompt is empty: say what the video should show from "
            "then on."
        )
    frames, minutes, seconds = (
        float(match[name] or 0) for name in ("frames", "minutes", "seconds")
    )
    return frames / fps + 60 * minutes + seconds


def last_frame(prompts: Sequence[TimedPrompt], fps: float) -> int:
    """The frame at which the last of these prompts begins; 0 without any."""
    return max((round(parse_time(prompt, fps) * fps) for prompt in prompts), default=0)


def plan_long_video(
    prompt: str,
    prompts_at: Sequence[TimedPrompt],
    num_frames: int,
    fps: float,
    *,
    window: int,
    stride: int,
    snap_window: bool,
) -> Adjusted[Windows]:
    """The windows of a long video.

    Args:
        prompt: what the video shows from its start.
        window: frames that are made at once; moved to the nearest `stride * k + 1`.
        snap_window: whether it may be moved.

    Raises:
        InputError: prompts or a window that cannot be.
    """
    from filmstrip.ltx.pipelines.long_video import plan_windows
    from filmstrip.ltx.video_shape import round_down_frames

    problem = f"--window {window} is not {stride} * k + 1"
    snapped = snap(window, 1, stride, problem, snap_window)
    overlap = round_down_frames(max(1, min(OVERLAP, snapped.value // 2)), stride)
    later = tuple((parse_time(timed, fps), timed.prompt) for timed in prompts_at)
    count = len(
        plan_windows(
            [(0.0, prompt), *later],
            num_frames,
            fps,
            window=snapped.value,
            overlap=overlap,
            temporal_compression_ratio=stride,
        )
    )
    sentence = (
        f"The video is made in {plural(count, 'window')} of up to {snapped.value} frames, one "
        "after the other."
    )
    windows = Windows(later, snapped.value, overlap, count)
    return Adjusted(windows, (*snapped.adjustments, sentence))
