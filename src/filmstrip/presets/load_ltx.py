"""The pipeline of an LTX preset, from the authors' files."""

from typing import Any

import torch

from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.video_shape import VideoShape
from filmstrip.presets.download import TEXT_ENCODER_INDEX, fetch_ltx
from filmstrip.presets.ltx import LTXPreset
from filmstrip.weights.device_and_dtype import as_device, as_dtype
from filmstrip.weights.folder import load_components
from filmstrip.weights.hub import HubOptions


def load_ltx(
    preset: LTXPreset,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    hub: HubOptions,
) -> LTXRecipePipeline:
    """Load the pipeline of a preset, with its recipe and default shape of videos.

    Args:
        preset: A row of `presets.ltx`.
        dtype: The dtype of the weights. By default bfloat16, as in the authors' files, and float32
            for the demo.
        device: Where to put the models; the CPU by default.
        hub: How to reach the Hub.

    Returns:
        The pipeline.

    Raises:
        InputError, CheckpointError: As `filmstrip.load`.
    """
    folder, text_encoder_folder = fetch_ltx(preset, hub)
    if preset.repo is None:
        pipe = LTXRecipePipeline.from_pretrained(
            folder, dtype=as_dtype(dtype) or torch.float32, device=device
        )
    else:
        target_dtype = as_dtype(dtype) or torch.bfloat16
        target_device = as_device(device)
        components: dict[str, Any] = load_components(
            text_encoder_folder,
            TEXT_ENCODER_INDEX,
            TEXT_ENCODER_INDEX.components,
            {},
            dtype=target_dtype,
            device=target_device,
        )
        if preset.upscaler is not None:
            components["latent_upsampler"] = LTXLatentUpsamplerModel.from_single_file(
                folder / preset.upscaler, dtype=target_dtype, device=target_device
            )
        pipe = LTXRecipePipeline.from_single_file(
            folder / preset.file, dtype=target_dtype, device=target_device, **components
        )
    if preset.recipe is not None:
        pipe.recipe = preset.recipe
    pipe.default_shape = VideoShape(preset.height, preset.width, preset.frames, preset.fps)
    pipe.default_negative_prompt = preset.negative
    return pipe
