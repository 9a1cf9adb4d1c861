"""What a call of SVD must hold, checked before any work."""

from typing import Any

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.svd.limits import SCHEDULER_CONFIG, scheduler_problems

logger = get_logger(__name__)

UNET = "UNetSpatioTemporalConditionModel of filmstrip"
VAE = "AutoencoderKLTemporalDecoder"
IMAGE_ENCODER = "CLIPVisionModelWithProjection of transformers"


def check_models(unet: Any, vae: Any, image_encoder: Any) -> None:
    """Raises:
    InputError: they do not belong together, or not to SVD.
    """
    for name, module, suits, kind in (
        (
            "unet",
            unet,
            hasattr(unet, "prepare") and hasattr(unet.config, "addition_time_embed_dim"),
            UNET,
        ),
        ("vae", vae, hasattr(getattr(vae, "decoder", None), "time_conv_out"), VAE),
        (
            "image_encoder",
            image_encoder,
            hasattr(getattr(image_encoder, "config", None), "projection_dim"),
            IMAGE_ENCODER,
        ),
    ):
        if not suits:
            raise InputError(
                f"The {name} is {_kind(module)}, but Stable Video Diffusion needs {kind}."
            )
    config = unet.config
    wanted, given = config.projection_class_embeddings_input_dim, config.addition_time_embed_dim
    if wanted != 3 * given:
        raise InputError(
            f"The unet has projection_class_embeddings_input_dim {wanted} and "
            f"addition_time_embed_dim {given}; "
            "SVD embeds three numbers (fps, motion bucket, noise), so the first must be three "
            "times the second."
        )
    if config.in_channels != 2 * vae.config.latent_channels:
        raise InputError(
            f"The unet takes {config.in_channels} channels and the vae makes "
            f"{vae.config.latent_channels}; SVD joins "
            "the latents of video and picture, so the first must be twice the second. One of them "
            "is of another model."
        )
    widths = config.cross_attention_dim
    width = image_encoder.config.projection_dim
    if any(one != width for one in (widths if isinstance(widths, list | tuple) else [widths])):
        raise InputError(
            f"The image encoder gives {width} numbers and the unet takes {widths}; one of them is "
            "of another model."
        )


def warn_of_guidance(min_guidance_scale: float, max_guidance_scale: float) -> None:
    """Warn of guidance the wrong way round."""
    if min_guidance_scale > max(max_guidance_scale, 1):
        logger.warning(
            "min_guidance_scale is %g and max_guidance_scale %g, so that guidance falls from the "
            "first frame to the "
            "last, where the model needs more of it. Give the smaller number as "
            "min_guidance_scale.",
            min_guidance_scale,
            max_guidance_scale,
        )


def warn_of_scheduler(scheduler: Any) -> None:
    """Warn where the scheduler's config will give garbage."""
    if wrong := scheduler_problems(scheduler.config):
        logger.warning(
            "The scheduler does not suit Stable Video Diffusion, and the frames will be noise: its "
            "%s. Make it with "
            "from_config(scheduler.config, %s).",
            " and its ".join(wrong),
            ", ".join(f"{name}={wanted!r}" for name, wanted in SCHEDULER_CONFIG.items()),
        )


def _kind(module: Any) -> str:
    kind = type(getattr(module, "_orig_mod", module))  # of what was compiled
    return f"{kind.__name__} of {kind.__module__.partition('.')[0]}"
