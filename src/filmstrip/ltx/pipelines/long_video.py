"""Long videos from several prompts over time, one window after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, zip_longest
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filmstrip.errors import InputError
from filmstrip.ltx.latents import adain
from filmstrip.ltx.pipelines.check_inputs import fitting, round_down_frames
from filmstrip.ltx.pipelines.conditions import (
    ConditioningPixels,
    LTXVideoCondition,
    check_conditions,
)
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline, crop, round_up_shape
from filmstrip.media.frames import Video, as_frames, cross_fade, to_uint8
from filmstrip.nn.noise import Generators
from filmstrip.pipeline import checks

Frames = NDArray[np.uint8]  # (T, H, W, 3)


@dataclass(frozen=True)
class Window:
    """A part of a long video that is made at once. It begins with the last frames of the part
    before.
    """

    start: int  # its first frame, in the whole video
    held: int  # how many frames the part before has made; 0 in the first window
    frames: int  # all of them, `ratio * k + 1`
    prompt: str

    @property
    def new(self) -> range:
        """The frames of the whole video that it adds."""
        return range(self.start + self.held, self.start + self.frames)


def plan_windows(
    prompts: Sequence[tuple[float, str]],
    num_frames: int,
    frame_rate: float,
    window: int = 121,
    overlap: int = 25,
    temporal_ratio: int = 8,
) -> list[Window]:
    """Part a video so that each prompt begins with a window's first new frame, and the parts of a
    prompt are even.

    The windows make `num_frames` frames or up to `ratio - 1` more. A prompt begins at most `ratio /
    2` frames from its time, since windows begin at every `ratio`-th frame. The arguments and the
    errors are those of `long_video`.
    """
    checks.check_count(num_frames, "num_frames")
    for name, frames in (("window", window), ("overlap", overlap)):
        checks.check_count(frames, name)
        if (near := round_down_frames(frames, temporal_ratio)) != frames:
            raise InputError(
                f"{name} is {frames} frames, which is not {temporal_ratio} k + 1; the nearest that "
                "are: "
                f"{near} and {near + temporal_ratio}."
            )
    if overlap >= window:
        raise InputError(
            f"overlap is {overlap} frames and window {window}; a window must be longer than its "
            "overlap."
        )
    # In latent frames from here on: the first of a video stands for one frame, each other one for
    # `ratio`.
    largest, shared, whole = (
        ceil((frames - 1) / temporal_ratio) + 1 for frames in (window, overlap, num_frames)
    )
    begins = _beginnings(prompts, num_frames, frame_rate, temporal_ratio)
    windows, made = list[Window](), 0
    for (_, text), end in zip(sorted(prompts), [*begins[1:], whole], strict=True):
        while made < end:
            held, left = min(shared, made), end - made
            added = ceil(left / ceil(left / (largest - held)))
            frames, before = ((count - 1) * temporal_ratio + 1 for count in (held + added, held))
            windows.append(Window((made - held) * temporal_ratio, max(before, 0), frames, text))
            made += added
    return windows


def _beginnings(
    prompts: Sequence[tuple[float, str]], num_frames: int, frame_rate: float, temporal_ratio: int
) -> list[int]:
    """How many latent frames are before each prompt, in the order of their times."""
    checks.check_numbers({"frame_rate": frame_rate})
    for time, text in prompts:
        checks.check_numbers({f"The time of the prompt {text!r}": time})
    times = sorted(time for time, _ in prompts)
    if not times or times[0] != 0:
        begin = f"The first prompt begins at {times[0]:g} s" if times else "There are no prompts"
        raise InputError(f"{begin}; give one for 0 s.")
    begins = [0]
    for before, time in pairwise(times):
        if not time * frame_rate < num_frames - temporal_ratio / 2:
            raise InputError(
                f"A prompt begins at {time:g} s, where the video ends: {num_frames} frames at "
                f"{frame_rate:g} a second "
                f"last {num_frames / frame_rate:g} s."
            )
        begins.append(max(round((time * frame_rate - 1) / temporal_ratio), 0) + 1)
        if begins[-1] == begins[-2]:
            apart = f"give times that are at least {temporal_ratio / frame_rate:.2g} s apart"
            raise InputError(
                f"The prompts at {before:g} s and {time:g} s begin with the same frame; {apart}."
            )
    return begins


def long_video(
    pipe: LTXRecipePipeline,
    prompts: Sequence[tuple[float, str]],
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    num_frames: int = 721,
    frame_rate: float | None = None,
    conditions: Sequence[LTXVideoCondition] = (),
    reference_video: Video | None = None,
    window: int | None = None,
    overlap: int = 25,
    adain_factor: float = 0.0,
    generator: Generators = None,
    recipe: Any = None,
) -> Iterator[Frames]:
    """Make a video of any length, in memory that does not grow with it.

    Each window starts from the last frames of the one before, which are cross-faded to hide the
    seam. Frames are yielded as they are finished, so that what is made outlives an error in a later
    window or an interrupt.

    Args:
        prompts: each with the second at which it begins, the first at 0; see `plan_windows`.
        height, width, num_frames: of any size, as for the pipeline.
        conditions: pictures and clips, also longer ones than a window, by frame of the whole video.
        reference_video: as for the pipeline, from the first frame of the whole video on.
        window: frames that are made at once, `ratio * k + 1`: what the model is good at and memory
            holds. By default as the pipeline makes.
        overlap: frames that a window takes over, `ratio * k + 1`: more keep motion and scene
            better, and cost more.
        adain_factor: the share, 0 to 1, of the first window's mean and deviation in each latent
            channel of the others, against drifting colours.
        generator: of the first noise of all windows, in order.

    Yields:
        The next frames, `(T, height, width, 3)` in uint8, `num_frames` of them in all.

    Raises:
        InputError: prompts, sizes or conditions that cannot be, before any work.
    """
    ratio = pipe.vae_temporal_compression_ratio
    wanted = pipe.sized(height=height, width=width, num_frames=num_frames, frame_rate=frame_rate)
    window = pipe.clip.num_frames if window is None else window
    windows = plan_windows(prompts, num_frames, wanted.frame_rate, window, overlap, ratio)
    whole = round_up_shape(wanted, ratio)
    checks.check_share(adain_factor, "adain_factor")
    check_conditions(conditions, wanted, ratio)
    shown = []
    for item in conditions:
        kept = fitting(len(item.pictures), num_frames - item.frame_index, ratio, item.name)
        shown.append(LTXVideoCondition(None, item.pictures[kept], item.frame_index, item.strength))
    if reference_video is not None:
        as_frames(reference_video[:1])  # refuses what is no picture
        reference_video = reference_video[
            fitting(len(reference_video), num_frames, ratio, "The reference video")
        ]
    negative = pipe.negative_prompt if negative_prompt is None else negative_prompt

    def finished(video: torch.Tensor) -> Frames:
        """The wanted pixels of `(1, 3, T, H, W)` in [-1, 1]."""
        return to_uint8(crop(video, wanted)[0].movedim(0, -1) / 2 + 0.5).cpu().numpy()

    def stream() -> Iterator[Frames]:
        saved, pipe.recipe = pipe.recipe, recipe or pipe.recipe
        try:
            yield from stream_()
        finally:
            pipe.recipe = saved

    def stream_() -> Iterator[Frames]:
        texts = _embed(pipe, windows, negative)
        tail, first = torch.empty(0), None
        for one, after in zip_longest(windows, windows[1:]):
            try:
                part = replace(wanted, num_frames=min(one.frames, num_frames - one.start))
                held = [pipe.hold(item, part, whole) for item in _parts(shown, one)]
                if reference_video is not None and one.start < len(reference_video):
                    held.insert(
                        0,
                        pipe.refer(
                            reference_video[one.start : one.start + one.frames], part, whole
                        ),
                    )
                before = [ConditioningPixels(tail, 0, 1.0)] if one.held else []
                call: dict[str, Any] = (
                    asdict(replace(whole, num_frames=one.frames)) | texts[one.prompt]
                )
                call |= {
                    "conditions": [*before, *held],
                    "generator": generator,
                    "output_type": "latent",
                }
                latents: torch.Tensor = pipe(**call)[0]
                first = latents if first is None else first
                video = pipe.decode_video(
                    adain(latents, first, adain_factor) if adain_factor else latents, whole
                )
            except BaseException:
                if one.held:  # what the window before made
                    yield finished(tail)
                raise
            if one.held:
                video[:, :, : one.held] = cross_fade(tail, video[:, :, : one.held], dim=2)
            end = after.start - one.start if after else num_frames - one.start
            tail = video[:, :, end:].clone()
            if end:
                yield finished(video[:, :, :end])

    return stream()


def _parts(shown: Iterable[LTXVideoCondition], one: Window) -> Iterator[LTXVideoCondition]:
    """What falls into a window. A clip goes on at the last frame that the window before has
    made.
    """
    for item in shown:
        begin, end = item.frame_index, item.frame_index + len(item.video)
        first, last = (
            max(begin, one.new.start - 1 if len(item.video) > 1 else one.new.start),
            min(end, one.new.stop),
        )
        if last - first > (first > begin):
            yield replace(
                item, video=item.video[first - begin : last - begin], frame_index=first - one.start
            )


def _embed(
    pipe: LTXRecipePipeline, windows: list[Window], negative_prompt: str
) -> dict[str, dict[str, Any]]:
    """What the pipeline's call takes for each prompt; each text is encoded once."""
    prompts = list(dict.fromkeys(one.prompt for one in windows))
    positive: Any = pipe.encode_prompt(prompts, None, False)[:2]
    negative: Any = pipe.encode_prompt(negative_prompt, None, False)[:2]
    unwanted = {
        "negative_prompt_embeds": negative[0],
        "negative_prompt_attention_mask": negative[1],
    }
    return {
        text: {"prompt_embeds": embeds[None], "prompt_attention_mask": mask[None]} | unwanted
        for text, embeds, mask in zip(prompts, *positive, strict=True)
    }
