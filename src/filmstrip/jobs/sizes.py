"""Sizes and lengths: from those of a request to those that a model can make."""

import math
from pathlib import Path

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.formatting import plural
from filmstrip.jobs.output_files import DEFAULT_STEM, DEFAULT_SUFFIX
from filmstrip.jobs.settings import check_range


def snap(requested: int, first: int, step: int, problem: str, allowed: bool) -> Adjusted[int]:
    """The `first + step * k` nearest to `requested`, with k at least 0; halves are rounded up.

    Args:
        problem: what is wrong with `requested`, for the message.
        allowed: whether the value may be changed.

    Raises:
        InputError: the value must be changed and may not.
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
    """The multiple of `multiple` that is nearest to a width or height in pixels.

    Args:
        name: "width" or "height".
        allowed: whether the value may be changed.

    Raises:
        InputError: the value must be changed and may not.
    """
    problem = f"--{name} {requested} is not a multiple of {multiple}"
    return snap(requested, multiple, multiple, problem, allowed)


def snap_frames(
    frames: int, seconds: float | None, fps: float, stride: int, allowed: bool
) -> Adjusted[int]:
    """The number of frames, `stride * k + 1`, that is nearest to the requested length.

    Args:
        frames: the length in frames.
        seconds: the length in seconds, instead of `frames`.
        allowed: whether the length may be changed.

    Raises:
        InputError: the length must be changed and may not.
    """
    source = f"--frames {frames}"
    if seconds is not None:
        check_range("seconds", seconds)
        frames = max(1, round(seconds * fps))
        source = f"--seconds {seconds:g} at {fps:g} fps ({frames} frames)"
    return snap(frames, 1, stride, f"{source} is not {stride} * k + 1", allowed)


def cut_clip(
    name: str, num_frames: int, max_frames: int, stride: int, allowed: bool
) -> Adjusted[int]:
    """How many of a clip's first frames are used: `stride * k + 1`, at most `max_frames`.

    Args:
        name: what messages call the clip.
        num_frames: the length of the clip.
        allowed: whether frames may be cut.

    Raises:
        InputError: frames must be cut and `allowed` is false.
    """
    from filmstrip.ltx.video_shape import round_down_frames

    kept = round_down_frames(min(num_frames, max_frames), stride)
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
    """A sentence about an odd width or height, which H.264 in 4:2:0 cannot have.

    Args:
        output: the file to write; None: an mp4 file.
        allowed: whether the file may have another size.

    Returns:
        One sentence, or none if the size is even or the format is another.

    Raises:
        InputError: the file must have another size and may not.
    """
    from filmstrip.media.export import format_of

    path = Path(DEFAULT_STEM + DEFAULT_SUFFIX if output is None else output)
    if not format_of(path).even_size or (width % 2 == 0 and height % 2 == 0):
        return ()
    even = f"{width + width % 2}x{height + height % 2}"
    problem = (
        f"{width}x{height} has an odd width or height, and {path.suffix.lower()} files (4:2:0) "
        "need even ones"
    )
    if not allowed:
        raise InputError(f"{problem}. Use {even}, another format, or leave out --no-snap.")
    return (f"{problem}: the last row or column is repeated, {even}.",)
