"""A tiny SVD pipeline in both libraries, of the same random weights."""

from typing import Any

import diffusers
import numpy as np
import PIL.Image
import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from filmstrip import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from tests.parity.common import generators, pair, randomise

FRAMES = 3
UNET = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "cross_attention_dim": 16,
    "num_attention_heads": (2, 4),
    "projection_class_embeddings_input_dim": 48,
    "addition_time_embed_dim": 16,
    "num_frames": FRAMES,
}
VAE = {
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "latent_channels": 4,
    "scaling_factor": 0.5,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "use_karras_sigmas": True,
}


def tiny_clip() -> CLIPVisionModelWithProjection:
    """A CLIP image encoder with random weights, for pictures of 224 pixels."""
    config = CLIPVisionConfig(
        hidden_size=12,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        image_size=224,
        patch_size=56,
    )
    encoder = CLIPVisionModelWithProjection(config).eval()
    randomise(encoder, seed=7)
    return encoder


def pipelines(
    **scheduler: Any,
) -> tuple[StableVideoDiffusionPipeline, diffusers.StableVideoDiffusionPipeline]:
    """The same pipeline of filmstrip and of diffusers."""
    unets = pair(
        UNetSpatioTemporalConditionModel,
        diffusers.UNetSpatioTemporalConditionModel,
        dict(UNET),
        seed=1,
    )
    vaes = pair(
        AutoencoderKLTemporalDecoder, diffusers.AutoencoderKLTemporalDecoder, dict(VAE), seed=2
    )
    config = SCHEDULER | scheduler
    schedulers = EulerDiscreteScheduler(**config), diffusers.EulerDiscreteScheduler(**config)
    pipes = [
        pipeline_class(
            vae=vaes[i],
            image_encoder=tiny_clip(),
            unet=unets[i],
            scheduler=schedulers[i],
            feature_extractor=CLIPImageProcessor(),
        )
        for i, pipeline_class in enumerate(
            (StableVideoDiffusionPipeline, diffusers.StableVideoDiffusionPipeline)
        )
    ]
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    return pipes[0], pipes[1]


def picture(seed: int = 0, width: int = 90, height: int = 60) -> PIL.Image.Image:
    """Random colours in large blobs, the same for the same seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return PIL.Image.fromarray(small).resize((width, height), PIL.Image.Resampling.BICUBIC)


def arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of a small call, with new generators from `seed`: a number, a list or `None`."""
    values: dict[str, Any] = {
        "image": picture(),
        "height": 32,
        "width": 48,
        "num_inference_steps": 3,
        "output_type": "pt",
        "seed": 3,
    } | changes
    seed = values.pop("seed")
    if seed is not None:
        values["generator"] = generators(seed)
    return values


def run(pipe: Any, **changes: Any) -> Any:
    """The frames of a call, from the same state of the global generator."""
    torch.manual_seed(11)
    return pipe(**arguments(**changes)).frames
