"""Sizes and lengths that a model can make, from those of a request."""

import math
from pathlib import Path

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.settings import check_range
from filmstrip.jobs.words import plural


def snap(requested: int, first: int, step: int, problem: str, allowed: bool) -> Adjusted[int]:
    """The `first + step * k` nearest to `requested`, with k at least 0; the larger of two as near.

    Args:
        problem: what is wrong with `requested`, for the sentence.
        allowed: whether the value may be moved.

    Raises:
        InputError: the value must be moved and may not.
    """
    steps = max(0, math.floor((requested - first) / step + 0.5))
    nearest = first + steps * step
    if nearest == requested:
        return Adjusted(requested)
    if not allowed:
        raise InputError(
            f"{problem}, which this model needs; the nearest is {nearest}. Use that, or leave out "
            "--no-snap."
        )
    return Adjusted(nearest, (f"{problem}: using {nearest}.",))


def snap_size(name: str, requested: int, multiple: int, allowed: bool) -> Adjusted[int]:
    """The multiple of `multiple` nearest to a width or height in pixels; as `snap`."""
    problem = f"--{name} {requested} is not a multiple of {multiple}"
    return snap(requested, multiple, multiple, problem, allowed)


def snap_frames(
    frames: int, seconds: float | None, fps: float, stride: int, allowed: bool
) -> Adjusted[int]:
    """The `stride * k + 1` nearest to `frames`, or to `seconds` if they are given; as `snap`."""
    source = f"--frames {frames}"
    if seconds is not None:
        check_range("seconds", seconds)
        frames = max(1, round(seconds * fps))
        source = f"--seconds {seconds:g} at {fps:g} fps ({frames} frames)"
    return snap(frames, 1, stride, f"{source} is not {stride} * k + 1", allowed)


def cut_clip(name: str, num_frames: int, room: int, stride: int, allowed: bool) -> Adjusted[int]:
    """How many of a clip's first frames are used: `stride * k + 1`, no more than `room`.

    Raises:
        InputError: frames must be cut and `allowed` is false.
    """
    from filmstrip.ltx.video_shape import round_down_frames

    kept = round_down_frames(min(num_frames, room), stride)
    if kept == num_frames:
        return Adjusted(kept)
    problem = (
        f"{name} has {plural(num_frames, 'frame')}, of which the first {kept} can be used "
        f"({stride} * k + 1)"
    )
    if not allowed:
        raise InputError(f"{problem}. Cut it to these, or leave out --no-snap.")
    return Adjusted(kept, (f"{problem}: the others are cut.",))


def odd_size(width: int, height: int, output: str | None, allowed: bool) -> tuple[str, ...]:
    """What a video file makes of an odd width or height, which H.264 in 4:2:0 cannot have.

    Raises:
        InputError: the file cannot have that size and `allowed` is false.
    """
    from filmstrip.media.export import MOVFLAGS

    suffix = ".mp4" if output is None else Path(output).suffix.lower()
    if suffix not in MOVFLAGS or (width % 2 == 0 and height % 2 == 0):
        return ()
    even = f"{width + width % 2}x{height + height % 2}"
    problem = f"{width}x{height} has an odd side, and {suffix} files (H.264, 4:2:0) have even ones"
    if not allowed:
        raise InputError(f"{problem}. Use {even}, another format, or leave out --no-snap.")
    return (f"{problem}: the last line is written twice, {even}.",)
