"""What a call of LTX must hold, checked before any work."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.pipeline.checks import check_count, check_multiple

logger = get_logger(__name__)

SIZE_MULTIPLE = 32
STRETCH_UNSEEN = 0.1  # as a share of the aspect ratio


@dataclass(frozen=True)
class Texts:
    """What the videos shall show."""

    prompt: str | list[str] | None
    negative_prompt: str | list[str] | None
    # What the caller embedded, in the order of `encode_prompt`: texts `(B, L, C)`, negative ones;
    # their masks `(B, L)`.
    embedded: tuple[
        torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None
    ]
    videos_each: int
    max_length: int  # tokens that a prompt is padded or cut to


@dataclass(frozen=True)
class VideoShape:
    """The size of the videos, in pixels and frames."""

    height: int
    width: int
    num_frames: int
    frame_rate: float


@dataclass(frozen=True)
class SamplingOptions:
    """How the walk goes."""

    num_inference_steps: int
    timesteps: list[float] | None
    guidance_scale: float
    guidance_rescale: float
    attention_kwargs: dict[str, Any] | None


def check_video_shape(clip: VideoShape, temporal_ratio: int) -> None:
    """Refuse sides that are no positive multiples of 32; warn of a frame count other than `ratio *
    k + 1`.
    """
    check_multiple(clip.height, clip.width, SIZE_MULTIPLE)
    check_count(clip.num_frames, "num_frames")
    made = round_down_frames(clip.num_frames, temporal_ratio)
    if made != clip.num_frames:
        said = (clip.num_frames, temporal_ratio, made)
        logger.warning(
            "num_frames is %d, which is not %d k + 1; the video will have %d frames.", *said
        )


def round_down_frames(num_frames: int, temporal_ratio: int) -> int:
    """The most frames, `ratio * k + 1`, that are no more than `num_frames`."""
    return (num_frames - 1) // temporal_ratio * temporal_ratio + 1


def fitting(given: int, room: int, temporal_ratio: int, name: str) -> slice:
    """The first `ratio * k + 1` of `given` frames, as there is room for; warns of what is cut."""
    kept = round_down_frames(min(given, room), temporal_ratio)
    if kept < given:
        said = (name, given, kept, temporal_ratio)
        logger.warning("%s has %d frames; the first %d are used (%d k + 1), the others cut.", *said)
    return slice(kept)


def count_videos(texts: Texts) -> int:
    """The number of videos of a call: of the texts, or of the rows of the embeddings, times those
    of each.

    Refuses texts and embeddings at once, neither, an embedding without its mask, and shapes that do
    not match.
    """
    embeds, negatives, mask, negative_mask = texts.embedded
    count = count_prompts(texts.prompt, embeds)
    check_count(texts.videos_each, "num_videos_per_prompt")
    if texts.prompt is not None and embeds is not None:
        raise InputError("Both prompt and prompt_embeds were given; give one of them.")
    for name, tensor, its_mask in (
        ("prompt", embeds, mask),
        ("negative_prompt", negatives, negative_mask),
    ):
        if tensor is not None and its_mask is None:
            raise InputError(
                f"{name}_embeds was given without {name}_attention_mask; encode_prompt returns "
                "both."
            )
    if (
        embeds is not None
        and negatives is not None
        and mask is not None
        and negative_mask is not None
    ):
        for what, a, b in (("embeds", embeds, negatives), ("attention_mask", mask, negative_mask)):
            if a.shape != b.shape:
                shapes = (
                    f"prompt_{what} is {tuple(a.shape)} and negative_prompt_{what} is "
                    f"{tuple(b.shape)}"
                )
                raise InputError(f"{shapes}; they must have the same shape.")
    negative_list(texts.negative_prompt, count)
    return count * texts.videos_each


def count_prompts(prompt: str | list[str] | None, embeds: torch.Tensor | None) -> int:
    """The number of prompts, or of embedded ones; refuses a call that has neither."""
    prompts = as_list(prompt, "prompt")
    given = embeds if prompts is None else prompts
    if given is None:
        raise InputError("Neither prompt nor prompt_embeds was given; give one of them.")
    return len(given)


def negative_list(negative_prompt: str | list[str] | None, count: int) -> list[str]:
    """A negative prompt for each of `count` prompts: from a list of as many, or one for all; none
    is the empty text.
    """
    negatives = as_list(negative_prompt or "", "negative_prompt") or []
    if isinstance(negative_prompt, list) and len(negatives) != count:
        raise InputError(
            f"There are {len(negatives)} negative prompts for {count} prompts; give one, or one "
            "for each."
        )
    return negatives if isinstance(negative_prompt, list) else negatives * count


def as_list(prompt: str | list[str] | None, name: str) -> list[str] | None:
    """A prompt or a list of prompts as a list; anything else, or an empty list, is refused."""
    if prompt is None or isinstance(prompt, str):
        return None if prompt is None else [prompt]
    if not isinstance(prompt, list):
        raise InputError(
            f"{name} is of type {type(prompt).__name__}; give a string or a list of strings."
        )
    wrong = [item for item in prompt if not isinstance(item, str)]
    if wrong or not prompt:
        found = f"holds {wrong[0]!r}" if wrong else "is an empty list"
        raise InputError(f"{name} {found}; give a string or a list of strings.")
    return prompt


def check_tokens(latents: torch.Tensor | None, videos: int, tokens: int) -> None:
    """Refuse given latents that are not the tokens of these videos."""
    if latents is not None and tuple(latents.shape[:2]) != (videos, tokens):
        wanted = f"{videos} videos of {tokens} tokens are wanted, ({videos}, {tokens}, channels)"
        raise InputError(f"latents have the shape {tuple(latents.shape)}; {wanted}.")


def has_other_shape(height: int, width: int, clip: VideoShape) -> bool:
    """Whether the ratio of the sides is seen to be another than the video's."""
    return abs(width * clip.height / (height * clip.width) - 1) > STRETCH_UNSEEN


def warn_of_stretch(picture: Any, clip: VideoShape, name: str) -> None:
    """Warn if a picture, or the first of several, has another shape than the video, to whose size
    it is stretched.
    """
    while isinstance(picture, list | tuple) and picture:
        picture = picture[0]
    if isinstance(picture, PIL.Image.Image):
        height, width = picture.height, picture.width
    elif isinstance(picture, torch.Tensor) and picture.ndim >= 3:
        height, width = picture.shape[-2:]
    elif isinstance(picture, np.ndarray) and picture.ndim >= 3:
        height, width = picture.shape[-3:-1]
    else:
        return
    if has_other_shape(height, width, clip):
        stretched = (
            "%s is %dx%d pixels and is stretched to the video's %dx%d. "
            "Crop it to the same shape first."
        )
        logger.warning(stretched, name, width, height, clip.width, clip.height)
