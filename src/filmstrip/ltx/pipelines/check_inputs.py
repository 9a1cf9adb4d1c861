"""The inputs of an LTX call, and their checks before any computation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.pipelines.decode import DecodeOptions
from filmstrip.ltx.pipelines.prompts import PromptInputs
from filmstrip.ltx.video_shape import SIZE_MULTIPLE, VideoShape, round_down_frames
from filmstrip.pipeline import checks
from filmstrip.pipeline.step_callbacks import StepCallback

logger = get_logger(__name__)

STRETCH_TOLERANCE = 0.1  # relative difference of aspect ratios that is not visible


@dataclass(frozen=True)
class SamplingOptions:
    """The arguments of diffusers' calls that decide how they sample."""

    num_inference_steps: int
    timesteps: list[float] | None  # instead of those of the scheduler
    guidance_scale: float
    guidance_rescale: float
    attention_kwargs: dict[str, Any] | None


@dataclass(frozen=True)
class CallInputs:
    """The arguments that the calls of all drop-in LTX pipelines have, in groups."""

    prompts: PromptInputs
    shape: VideoShape
    sampling: SamplingOptions
    decoding: DecodeOptions
    callback: StepCallback

    def check(self, temporal_compression_ratio: int, callback_tensors: tuple[str, ...]) -> int:
        """Check the arguments.

        Args:
            temporal_compression_ratio: frames per latent frame.
            callback_tensors: the names of the tensors that a callback may get.

        Returns:
            The number of videos of the call.

        Raises:
            InputError: an argument that cannot be used.
        """
        self.callback.tensor_names(callback_tensors)
        check_video_shape(self.shape, temporal_compression_ratio)
        checks.check_numbers(
            {
                "guidance_scale": self.sampling.guidance_scale,
                "guidance_rescale": self.sampling.guidance_rescale,
            }
        )
        checks.check_positive(self.shape.frame_rate, "frame_rate")
        checks.check_schedule(
            self.sampling.num_inference_steps, self.sampling.timesteps, "timesteps"
        )
        checks.check_output_type(self.decoding.output_type)
        num_videos = self.prompts.count_videos()
        checks.check_generators(self.decoding.generator, num_videos)
        self.decoding.timesteps(num_videos)
        self.decoding.noise_scales(num_videos)
        return num_videos

    @property
    def components(self) -> tuple[str, ...]:
        """The components of the pipeline that the call needs."""
        names = ["transformer", "scheduler"]
        if self.prompts.prompt is not None:
            names += ["text_encoder", "tokenizer"]
        if self.decoding.output_type != "latent":
            names.append("vae")
        return tuple(names)


def check_video_shape(shape: VideoShape, temporal_compression_ratio: int) -> None:
    """Refuse a height or width that is not a positive multiple of 32.

    Warns of a number of frames that is not `ratio * k + 1` and will be rounded down.
    """
    checks.check_multiple(shape.height, shape.width, SIZE_MULTIPLE)
    checks.check_count(shape.num_frames, "num_frames")
    num_frames = round_down_frames(shape.num_frames, temporal_compression_ratio)
    if num_frames != shape.num_frames:
        logger.warning(
            "num_frames is %d, which is not %d k + 1; the video will have %d frames.",
            shape.num_frames,
            temporal_compression_ratio,
            num_frames,
        )


def crop_frames(
    num_frames: int, max_frames: int, temporal_compression_ratio: int, name: str
) -> slice:
    """Select the first `ratio * k + 1` frames of a clip, at most `max_frames`.

    Warns if frames are cut.

    Args:
        num_frames: of the clip.
        name: of the clip, for the warning.
    """
    kept = round_down_frames(min(num_frames, max_frames), temporal_compression_ratio)
    if kept < num_frames:
        logger.warning(
            "%s has %d frames; the first %d are used (%d k + 1), the others cut.",
            name,
            num_frames,
            kept,
            temporal_compression_ratio,
        )
    return slice(kept)


def check_tokens(latents: torch.Tensor | None, num_videos: int, num_tokens: int) -> None:
    """Refuse latents that are not tokens `(num_videos, num_tokens, C)`; `None` is accepted."""
    if latents is not None and tuple(latents.shape[:2]) != (num_videos, num_tokens):
        raise InputError(
            f"latents have the shape {tuple(latents.shape)}; {num_videos} videos of {num_tokens} "
            f"tokens are needed, ({num_videos}, {num_tokens}, channels)."
        )


def has_other_aspect_ratio(height: int, width: int, shape: VideoShape) -> bool:
    """Whether a picture's aspect ratio differs visibly from the video's."""
    ratio = (width * shape.height) / (height * shape.width)
    return abs(ratio - 1) > STRETCH_TOLERANCE


def warn_of_stretch(picture: Any, shape: VideoShape, name: str) -> None:
    """Warn if a picture, or the first of several, is stretched to the size of the video."""
    while isinstance(picture, list | tuple) and picture:
        picture = picture[0]
    if isinstance(picture, PIL.Image.Image):
        height = picture.height
        width = picture.width
    elif isinstance(picture, torch.Tensor) and picture.ndim >= 3:
        height, width = picture.shape[-2:]
    elif isinstance(picture, np.ndarray) and picture.ndim >= 3:
        height, width = picture.shape[-3:-1]
    else:
        return
    if has_other_aspect_ratio(height, width, shape):
        logger.warning(
            "%s is %dx%d pixels and is stretched to the video's %dx%d. "
            "Crop it to the same shape first.",
            name,
            width,
            height,
            shape.width,
            shape.height,
        )
