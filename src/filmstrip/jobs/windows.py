"""Long videos: prompts over time, and the overlapping windows in which they are made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.formatting import plural
from filmstrip.jobs.json_dataclass import JsonDataclass
from filmstrip.jobs.request import TimedPrompt
from filmstrip.jobs.sizes import snap

TIME = re.compile(r"(?P<frames>\d+)f|(?=.)((?P<minutes>\d+)m)?((?P<seconds>\d+\.?\d*|\.\d+)s?)?")
OVERLAP = 25  # frames that a window shares with the previous one, at most half of the window


@dataclass(frozen=True)
class Windows(JsonDataclass):
    """The windows of a long video, which are made one after the other."""

    prompts_at: tuple[tuple[float, str], ...]  # seconds and text, without the first prompt
    window: int  # frames in a window
    overlap: int  # frames that a window shares with the previous one
    num_windows: int


def parse_time(prompt: TimedPrompt, fps: float) -> float:
    """The time in seconds at which a prompt begins.

    Args:
        prompt: a prompt and its time, in one of the forms that `TimedPrompt` lists.
        fps: frames per second of the video.

    Raises:
        InputError: the time has another form, or the prompt is empty.
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
    """The frame at which the last of the prompts begins; 0 without prompts."""
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
    """Plan the windows of a long video.

    Args:
        prompt: the first prompt.
        prompts_at: the later prompts.
        num_frames: the length of the video.
        fps: frames per second.
        window: frames in a window; changed to the nearest `stride * k + 1`.
        stride: frames of the video for each frame of the latents.
        snap_window: whether `window` may be changed.

    Raises:
        InputError: a prompt begins after the end, or the window cannot be made.
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
