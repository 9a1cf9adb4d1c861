"""Long videos from several prompts over time, made in overlapping windows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from filmstrip.errors import InputError
from filmstrip.ltx.latents import adain
from filmstrip.ltx.pipelines.check_inputs import crop_frames
from filmstrip.ltx.pipelines.conditions import (
    ConditioningPixels,
    LTXVideoCondition,
    check_conditions,
)
from filmstrip.ltx.pipelines.prompts import PromptEmbeds
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.pipelines.resize import crop_video
from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.video_shape import VideoShape, round_down_frames, round_up_shape
from filmstrip.media.frames import Video, cross_fade, to_uint8, to_uint8_frames
from filmstrip.nn.noise import Generators
from filmstrip.pipeline import checks

Frames = NDArray[np.uint8]  # (T, H, W, 3)


@dataclass(frozen=True)
class Window:
    """A part of a long video that one call makes. It overlaps the end of the previous window."""

    start: int  # the frame of the whole video at which it begins
    num_overlap_frames: int  # frames in common with the previous window; 0 in the first window
    num_frames: int  # `ratio * k + 1`, including the overlap
    prompt: str

    @property
    def new_frames(self) -> range:
        """The frames of the whole video that are not in the previous window."""
        return range(self.start + self.num_overlap_frames, self.start + self.num_frames)


def plan_windows(
    prompts: Sequence[tuple[float, str]],
    num_frames: int,
    frame_rate: float,
    window: int = 121,
    overlap: int = 25,
    temporal_compression_ratio: int = 8,
) -> list[Window]:
    """Split a video into windows so that each prompt begins at a window's first new frame.

    The windows of one prompt have about the same length. All windows make `num_frames` frames, or
    up to `ratio - 1` more. A prompt begins at most `ratio / 2` frames from its time, since windows
    begin at multiples of `ratio` frames.

    Args:
        prompts: each with the second at which it begins, the first at 0.
        num_frames: of the whole video.
        frame_rate: frames per second.
        window: frames of a window at most, `ratio * k + 1`.
        overlap: frames that a window has in common with the previous one, `ratio * k + 1`.
        temporal_compression_ratio: frames per latent frame, the `ratio`.

    Raises:
        InputError: prompts or lengths that cannot be used.
    """
    ratio = temporal_compression_ratio
    checks.check_count(num_frames, "num_frames")
    _check_window_length(window, "window", ratio)
    _check_window_length(overlap, "overlap", ratio)
    if overlap >= window:
        raise InputError(
            f"overlap is {overlap} frames and window {window}; a window must be longer than its "
            "overlap."
        )
    # Lengths below are in latent frames: the first is one frame, each other one `ratio` frames.
    max_latents = _num_latent_frames(window, ratio)
    overlap_latents = _num_latent_frames(overlap, ratio)
    total_latents = _num_latent_frames(num_frames, ratio)
    starts = _prompt_starts(prompts, num_frames, frame_rate, ratio)
    ends = [*starts[1:], total_latents]
    windows = list[Window]()
    num_planned = 0
    for (_, prompt), end in zip(sorted(prompts), ends, strict=True):
        while num_planned < end:
            num_overlap = min(overlap_latents, num_planned)
            num_remaining = end - num_planned
            num_windows = ceil(num_remaining / (max_latents - num_overlap))
            num_new = ceil(num_remaining / num_windows)
            windows.append(
                Window(
                    start=(num_planned - num_overlap) * ratio,
                    num_overlap_frames=max((num_overlap - 1) * ratio + 1, 0),
                    num_frames=(num_overlap + num_new - 1) * ratio + 1,
                    prompt=prompt,
                )
            )
            num_planned += num_new
    return windows


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
    recipe: Recipe | None = None,
) -> Iterator[Frames]:
    """Make a video of any length, in memory that does not grow with the length.

    Each window is conditioned on the last frames of the previous one, and the two are cross-faded.
    Frames are yielded as soon as they are finished, so that an error in a later window or an
    interrupt does not lose them.

    Args:
        pipe: makes the windows.
        prompts: each with the second at which it begins, the first at 0; see `plan_windows`.
        negative_prompt: by default that of the pipeline.
        height, width: in pixels, of any size; by default those of the pipeline.
        num_frames: of the whole video.
        frame_rate: frames per second; by default that of the pipeline.
        conditions: pictures and clips; `frame_index` is a frame of the whole video, and clips may
            be longer than a window.
        reference_video: as for the pipeline; its first frame is that of the whole video.
        window: frames that one call makes at most, `ratio * k + 1`; limited by memory and by the
            lengths that the model was trained on. By default the pipeline's number of frames.
        overlap: frames that a window has in common with the previous one, `ratio * k + 1`; more
            keep motion and scene better, and take longer.
        adain_factor: weight, 0 to 1, with which the mean and deviation of each latent channel of
            the first window are used in the others, against drifting colours.
        generator: of the initial noise of all windows, in order.
        recipe: by default that of the pipeline.

    Yields:
        The next frames, `(T, height, width, 3)` in uint8, `num_frames` in total.

    Raises:
        InputError: prompts, sizes or conditions that cannot be used, before any computation.
    """
    ratio = pipe.vae_temporal_compression_ratio
    shape = pipe.shape_of(height, width, num_frames, frame_rate)
    if window is None:
        window = pipe.default_shape.num_frames
    if negative_prompt is None:
        negative_prompt = pipe.default_negative_prompt
    windows = plan_windows(prompts, num_frames, shape.frame_rate, window, overlap, ratio)
    checks.check_fraction(adain_factor, "adain_factor")
    check_conditions(conditions, shape, ratio)
    clips = []
    for condition in conditions:
        max_frames = num_frames - condition.frame_index
        kept = crop_frames(len(condition.frames), max_frames, ratio, condition.name)
        clip = condition.frames[kept]
        clips.append(LTXVideoCondition(None, clip, condition.frame_index, condition.strength))
    if reference_video is not None:
        to_uint8_frames(reference_video[:1])  # refuses other types than pictures
        kept = crop_frames(len(reference_video), num_frames, ratio, "The reference video")
        reference_video = reference_video[kept]
    maker = _WindowMaker(
        pipe=pipe,
        shape=shape,
        model_shape=round_up_shape(shape, ratio),
        clips=clips,
        reference_video=reference_video,
        recipe=pipe.recipe if recipe is None else recipe,
        generator=generator,
    )
    return _make_windows(maker, windows, negative_prompt, adain_factor)


@dataclass(frozen=True)
class _WindowMaker:
    """Makes windows, from the arguments that are the same for all of them."""

    pipe: LTXRecipePipeline
    shape: VideoShape  # of the whole video
    model_shape: VideoShape  # rounded up to a shape that the model can make
    clips: Sequence[LTXVideoCondition]  # conditions; `frame_index` is in the whole video
    reference_video: Video | None
    recipe: Recipe
    generator: Generators

    def latents(self, window: Window, prompts: PromptEmbeds, overlap: torch.Tensor) -> torch.Tensor:
        """The normalised latents of a window that begins with the frames `(1, 3, T, H, W)`."""
        latents: torch.Tensor = self.pipe(
            height=self.model_shape.height,
            width=self.model_shape.width,
            num_frames=window.num_frames,
            frame_rate=self.model_shape.frame_rate,
            conditions=self._conditions(window, overlap),
            generator=self.generator,
            prompt_embeds=prompts.positive,
            prompt_attention_mask=prompts.positive_mask,
            negative_prompt_embeds=prompts.negative,
            negative_prompt_attention_mask=prompts.negative_mask,
            recipe=self.recipe,
            output_type="latent",
        )[0]
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode the latents of a window to `(1, 3, T, H, W)` in [-1, 1], in `model_shape`."""
        return self.pipe.decode_video(latents, self.model_shape, self.recipe)

    def finish(self, video: torch.Tensor) -> Frames:
        """Crop `(1, 3, T, H, W)` in [-1, 1] to the size of `shape`, and convert it to frames."""
        cropped = crop_video(video, self.shape)[0].movedim(0, -1)
        return to_uint8(cropped / 2 + 0.5).cpu().numpy()

    def _conditions(self, window: Window, overlap: torch.Tensor) -> list[ConditioningPixels]:
        """The conditions of a window: overlap, reference, clips."""
        num_frames = min(window.num_frames, self.shape.num_frames - window.start)
        shape = replace(self.shape, num_frames=num_frames)
        clips = [
            self.pipe.preprocess_condition(clip, shape, self.model_shape)
            for clip in _clips_in_window(self.clips, window)
        ]
        conditions = []
        if window.num_overlap_frames:
            conditions.append(ConditioningPixels(overlap, 0, 1.0))
        reference = self.reference_video
        if reference is not None and window.start < len(reference):
            frames = reference[window.start : window.start + window.num_frames]
            clips.insert(0, self.pipe.preprocess_reference(frames, shape, self.model_shape))
        return conditions + clips


def _make_windows(
    maker: _WindowMaker, windows: list[Window], negative_prompt: str, adain_factor: float
) -> Iterator[Frames]:
    """The frames of the windows, cross-faded where they overlap."""
    prompts = _embed_prompts(maker.pipe, windows, negative_prompt)
    overlap = torch.empty(0)  # the last frames of the previous window
    first_latents: torch.Tensor | None = None
    for window, next_window in zip_longest(windows, windows[1:]):
        try:
            latents = maker.latents(window, prompts[window.prompt], overlap)
            if first_latents is None:
                first_latents = latents
            if adain_factor:
                latents = adain(latents, first_latents, adain_factor)
            video = maker.decode(latents)
        except BaseException:
            if window.num_overlap_frames:  # frames of the previous window are finished
                yield maker.finish(overlap)
            raise
        num_overlap = window.num_overlap_frames
        if num_overlap:
            video[:, :, :num_overlap] = cross_fade(overlap, video[:, :, :num_overlap], dim=2)
        end = maker.shape.num_frames if next_window is None else next_window.start
        num_finished = end - window.start
        overlap = video[:, :, num_finished:].clone()
        if num_finished:
            yield maker.finish(video[:, :, :num_finished])


def _clips_in_window(
    clips: Iterable[LTXVideoCondition], window: Window
) -> Iterator[LTXVideoCondition]:
    """The parts of clips that are inside a window.

    A clip that began in the previous window continues at the last frame of that window.
    """
    for clip in clips:
        start = clip.frame_index
        num_frames = len(clip.video)
        new_frames = window.new_frames
        first = max(start, new_frames.start - 1 if num_frames > 1 else new_frames.start)
        stop = min(start + num_frames, new_frames.stop)
        is_continued = first > start
        if stop - first > is_continued:
            yield replace(
                clip,
                video=clip.video[first - start : stop - start],
                frame_index=first - window.start,
            )


def _embed_prompts(
    pipe: LTXRecipePipeline, windows: list[Window], negative_prompt: str
) -> dict[str, PromptEmbeds]:
    """The embeddings of each prompt, by its text; each text is encoded once."""
    texts = list(dict.fromkeys(window.prompt for window in windows))
    positive, positive_mask, _, _ = pipe.encode_prompt(texts, do_classifier_free_guidance=False)
    negative, negative_mask, _, _ = pipe.encode_prompt(
        negative_prompt, do_classifier_free_guidance=False
    )
    assert positive is not None
    assert positive_mask is not None
    return {
        text: PromptEmbeds(
            positive[index : index + 1],
            positive_mask[index : index + 1],
            negative,
            negative_mask,
        )
        for index, text in enumerate(texts)
    }


def _prompt_starts(
    prompts: Sequence[tuple[float, str]],
    num_frames: int,
    frame_rate: float,
    temporal_compression_ratio: int,
) -> list[int]:
    """The number of latent frames before each prompt, in the order of their times."""
    checks.check_positive(frame_rate, "frame_rate")
    for time, prompt in prompts:
        checks.check_numbers({f"The time of the prompt {prompt!r}": time})
    times = sorted(time for time, _ in prompts)
    if not times:
        raise InputError("There are no prompts; give one for 0 s.")
    if times[0] != 0:
        raise InputError(f"The first prompt begins at {times[0]:g} s; give one for 0 s.")
    starts = [0]
    for previous_time, time in pairwise(times):
        if not time * frame_rate < num_frames - temporal_compression_ratio / 2:
            raise InputError(
                f"A prompt begins at {time:g} s, where the video ends: {num_frames} frames at "
                f"{frame_rate:g} a second last {num_frames / frame_rate:g} s."
            )
        start = max(round((time * frame_rate - 1) / temporal_compression_ratio), 0) + 1
        if start == starts[-1]:
            raise InputError(
                f"The prompts at {previous_time:g} s and {time:g} s begin with the same frame; "
                f"give times at least {temporal_compression_ratio / frame_rate:.2g} s apart."
            )
        starts.append(start)
    return starts


def _check_window_length(num_frames: int, name: str, temporal_compression_ratio: int) -> None:
    checks.check_count(num_frames, name)
    rounded = round_down_frames(num_frames, temporal_compression_ratio)
    if rounded != num_frames:
        raise InputError(
            f"{name} is {num_frames} frames, which is not {temporal_compression_ratio} k + 1; the "
            f"nearest that are: {rounded} and {rounded + temporal_compression_ratio}."
        )


def _num_latent_frames(num_frames: int, temporal_compression_ratio: int) -> int:
    return ceil((num_frames - 1) / temporal_compression_ratio) + 1
