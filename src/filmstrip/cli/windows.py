"""`--prompt-at TIME PROMPT` and `--window`: long videos, which are made in overlapping windows."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from filmstrip.cli import plan
from filmstrip.cli.run import UnfinishedError
from filmstrip.errors import InputError

if TYPE_CHECKING:
    import torch

OPTION = "--prompt-at"
TIME = re.compile(r"(?P<frames>\d+)f|(?=.)((?P<minutes>\d+)m)?((?P<seconds>\d+\.?\d*|\.\d+)s?)?")
OVERLAP = 25  # frames that a window takes over from the one before, where it is long enough


class Pairs(TyperCommand):
    """A command whose option `--prompt-at` takes two words each time, for which typer has no
    type.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two words to one."""
        end = args.index("--") if "--" in args else len(args)
        words = iter(args[:end])
        joined = [
            word if word != OPTION else f"{word}={next(words, '')} {next(words, '')}"
            for word in words
        ]
        return super().parse_args(ctx, [*joined, *args[end:]])


def parse(text: str, fps: float) -> tuple[float, str]:
    """The second and the prompt of `4s PROMPT`; also `1m30s`, `2.5`, or `96f`, which counts frames.

    Raises:
        InputError: the time is none of these, or there is no prompt.
    """
    time, _, prompt = text.partition(" ")
    found = TIME.fullmatch(time)
    if not found:
        raise InputError(
            f"{OPTION} {time!r}: a time is written as 4s, 1m30s, 2.5 (seconds) or 96f (frames)."
        )
    if not prompt.strip():
        raise InputError(
            f"{OPTION} {time}: the prompt is empty: say what the video should show from then on."
        )
    frames, minutes, seconds = (
        float(found[name] or 0) for name in ("frames", "minutes", "seconds")
    )
    return frames / fps + 60 * minutes + seconds, prompt


def last(texts: Sequence[str], fps: float) -> int:
    """The frame at which the last of these prompts begins."""
    return max(round(parse(text, fps)[0] * fps) for text in texts)


def split(
    call: dict[str, Any],
    prompts_at: list[str],
    window: int,
    stride: int,
    snap: bool,
    notes: list[str],
) -> int:
    """Put the prompts and the windows of a long video into its call; returns how many windows there
    are.

    Raises:
        InputError: prompts or windows that cannot be.
    """
    from filmstrip.ltx.pipelines.long_video import plan_windows
    from filmstrip.ltx.video_shape import round_down_frames

    window = plan.snapped(
        window, 1, stride, f"--window {window} is not {stride} * k + 1", snap, notes
    )
    sizes = {
        "window": window,
        "overlap": round_down_frames(max(1, min(OVERLAP, window // 2)), stride),
    }
    call |= {"prompts_at": prompts_at, **sizes}
    count = len(
        plan_windows(
            _prompts(call),
            call["num_frames"],
            call["frame_rate"],
            **sizes,
            temporal_compression_ratio=stride,
        )
    )
    notes.append(
        f"The video is made in {plan.plural(count, 'window')} of up to {window} frames, one after "
        "the other."
    )
    return count


def make(pipe: Any, call: Mapping[str, Any], generator: "torch.Generator") -> Any:
    """The frames `(T, H, W, 3)` of a long video, or `UnfinishedError` with those of the windows
    before an interrupt.
    """
    import numpy as np

    from filmstrip.ltx.pipelines.long_video import long_video

    options = {name: value for name, value in call.items() if name not in ("prompt", "prompts_at")}
    parts, made = [], 0
    try:
        for part in long_video(pipe, _prompts(call), **options, generator=generator):
            parts.append(part)
            made += len(part)
            if made < call["num_frames"]:
                pipe.progress.display.next_video(f"{made} of {call['num_frames']} frames are made")
    except BaseException as error:
        if not parts:
            raise
        raise UnfinishedError(np.concatenate(parts)) from error
    return np.concatenate(parts)


def _prompts(call: Mapping[str, Any]) -> list[tuple[float, str]]:
    return [
        (0.0, call["prompt"]),
        *(parse(text, call["frame_rate"]) for text in call["prompts_at"]),
    ]
