"""Checks of the inputs of an SVD call, before any computation."""

from typing import Any

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.svd.limits import SCHEDULER_CONFIG, scheduler_problems

logger = get_logger(__name__)

UNET_CLASS = "UNetSpatioTemporalConditionModel of filmstrip"
VAE_CLASS = "AutoencoderKLTemporalDecoder"
IMAGE_ENCODER_CLASS = "CLIPVisionModelWithProjection of transformers"


def check_models(unet: Any, vae: Any, image_encoder: Any) -> None:
    """Refuse models that are not SVD's, or whose configs do not match.

    Raises:
        InputError: a model of another class, or configs that do not match.
    """
    is_unet = hasattr(unet, "prepare") and hasattr(unet.config, "addition_time_embed_dim")
    _require_class("unet", unet, UNET_CLASS, is_unet)
    is_vae = hasattr(getattr(vae, "decoder", None), "time_conv_out")
    _require_class("vae", vae, VAE_CLASS, is_vae)
    is_clip = hasattr(getattr(image_encoder, "config", None), "projection_dim")
    _require_class("image_encoder", image_encoder, IMAGE_ENCODER_CLASS, is_clip)

    config = unet.config
    projection_dim = config.projection_class_embeddings_input_dim
    if projection_dim != 3 * config.addition_time_embed_dim:
        raise InputError(
            f"The unet has projection_class_embeddings_input_dim {projection_dim} and "
            f"addition_time_embed_dim {config.addition_time_embed_dim}; SVD embeds three numbers "
            "(fps, motion bucket, noise), so the first must be three times the second."
        )
    latent_channels = vae.config.latent_channels
    if config.in_channels != 2 * latent_channels:
        raise InputError(
            f"The unet takes {config.in_channels} channels and the vae makes {latent_channels}; "
            "SVD joins the latents of video and picture, so the first must be twice the second. "
            "One of them is of another model."
        )
    embed_dim = image_encoder.config.projection_dim
    context_dims = config.cross_attention_dim
    if not isinstance(context_dims, list | tuple):
        context_dims = [context_dims]
    if any(context_dim != embed_dim for context_dim in context_dims):
        raise InputError(
            f"The image encoder gives {embed_dim} numbers and the unet takes "
            f"{config.cross_attention_dim}; one of them is of another model."
        )


def warn_of_guidance(min_guidance_scale: float, max_guidance_scale: float) -> None:
    """Warn if guidance falls from the first frame to the last."""
    if min_guidance_scale > max(max_guidance_scale, 1):
        logger.warning(
            "min_guidance_scale is %g and max_guidance_scale %g, so that guidance falls from the "
            "first frame to the last, where the model needs more of it. Give the smaller number "
            "as min_guidance_scale.",
            min_guidance_scale,
            max_guidance_scale,
        )


def warn_of_scheduler(scheduler: Any) -> None:
    """Warn of a scheduler whose config makes the frames noise."""
    problems = scheduler_problems(scheduler.config)
    if problems:
        config = ", ".join(f"{name}={value!r}" for name, value in SCHEDULER_CONFIG.items())
        logger.warning(
            "The scheduler does not suit Stable Video Diffusion, and the frames will be noise: "
            "its %s. Make it with from_config(scheduler.config, %s).",
            " and its ".join(problems),
            config,
        )


def _require_class(name: str, module: Any, expected: str, is_expected: bool) -> None:
    """Raise an `InputError` that names the class of a module, if it is not the expected one."""
    if is_expected:
        return
    module = getattr(module, "_orig_mod", module)  # of a compiled module
    library = type(module).__module__.partition(".")[0]
    raise InputError(
        f"The {name} is {type(module).__name__} of {library}, but Stable Video Diffusion needs "
        f"{expected}."
    )
