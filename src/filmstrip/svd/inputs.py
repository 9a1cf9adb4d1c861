"""What a call of SVD must hold, checked before any work."""

from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.pipeline.checks import check_count, check_multiple
from filmstrip.svd.presets import SCHEDULER, SIZE_MULTIPLE, unusable

logger = get_logger(__name__)


def check_models(unet: Any, vae: Any, image_encoder: Any) -> None:
    """Raises:
    InputError: they do not belong together, or not to SVD.
    """
    config = unet.config
    wanted, given = config.get("projection_class_embeddings_input_dim"), config.get("addition_time_embed_dim")
    if wanted is None or given is None or wanted != 3 * given:
        raise InputError(
            f"The unet has projection_class_embeddings_input_dim {wanted} and addition_time_embed_dim {given}; "
            "SVD embeds three numbers (fps, motion bucket, noise), so the first must be three times the second."
        )
    if config.in_channels != 2 * vae.config.latent_channels:
        raise InputError(
            f"The unet takes {config.in_channels} channels and the vae makes {vae.config.latent_channels}; SVD joins "
            "the latents of video and picture, so the first must be twice the second. One of them is of another model."
        )
    widths = config.cross_attention_dim
    width = image_encoder.config.projection_dim
    if any(one != width for one in (widths if isinstance(widths, list | tuple) else [widths])):
        raise InputError(
            f"The image encoder gives {width} numbers and the unet takes {widths}; one of them is of another model."
        )


def check_size(height: int, width: int, num_frames: int, trained_frames: int | None) -> None:
    """Height and width must be positive multiples of 8; a frame count that was not trained is warned of.

    Raises:
        InputError: they are not.
    """
    check_multiple(height, width, SIZE_MULTIPLE)
    check_count(num_frames, "num_frames")
    if trained_frames is not None and num_frames != trained_frames:
        logger.warning("num_frames is %d, but the model was trained for %d.", num_frames, trained_frames)


def check_latents(latents: torch.Tensor | None, shape: tuple[int, ...]) -> None:
    """Raises:
    InputError: the latents have another shape.
    """
    if latents is not None and tuple(latents.shape) != shape:
        raise InputError(f"latents have the shape {tuple(latents.shape)}; {shape} is wanted.")


def warn_of_scheduler(scheduler: Any) -> None:
    """Warn where the scheduler's config will give garbage."""
    if wrong := unusable(scheduler.config):
        logger.warning(
            "The scheduler does not suit Stable Video Diffusion, and the frames will be noise: its %s. Make it with "
            "from_config(scheduler.config, %s).",
            " and its ".join(wrong),
            ", ".join(f"{name}={wanted!r}" for name, wanted in SCHEDULER.items()),
        )
