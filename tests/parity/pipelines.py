"""A tiny LTX pipeline in both libraries: random weights, a word tokenizer, and a T5 of two
layers.
"""

from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

import filmstrip
from filmstrip import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXVideoTransformer3DModel,
)
from tests.parity.common import generators, pair, randomise

WORDS = [
    "a",
    "an",
    "the",
    "red",
    "blue",
    "green",
    "circle",
    "square",
    "star",
    "moves",
    "turns",
    "left",
    "right",
    "over",
    "cat",
    "dog",
    "runs",
    "very",
    "long",
]
TRANSFORMER = {
    "in_channels": 6,
    "out_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 10,
    "cross_attention_dim": 20,
    "num_layers": 2,
    "caption_channels": 12,
}
VAE_090 = {
    "latent_channels": 6,
    "block_out_channels": (8, 8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8, 8),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1, 1, 1),
    "spatio_temporal_scaling": (True, True, True, False),
    "decoder_spatio_temporal_scaling": (True, True, True, False),
    "patch_size": 4,
    "scaling_factor": 0.8,
}
VAE_091 = VAE_090 | {
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 1, 1),
    "decoder_spatio_temporal_scaling": (True, True, True),
    "decoder_inject_noise": (True, False, True, False),
    "upsample_residual": (True, True, True),
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}
VAE_095 = VAE_091 | {
    "block_out_channels": (4, 8, 16, 16, 16),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "spatio_temporal_scaling": (True, True, True, True),
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "decoder_inject_noise": (False, False, False, False),
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that splits at spaces, ends with `</s>` and pads with `<pad>`."""
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=128,
    )


def tiny_t5() -> T5EncoderModel:
    """A T5 encoder with random weights, 12 wide."""
    config = T5Config(
        vocab_size=32,
        d_model=12,
        d_kv=6,
        d_ff=16,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    encoder = T5EncoderModel(config).eval()
    randomise(encoder, seed=7)
    return encoder


def pipelines(
    vae: dict[str, Any] = VAE_090,
    scheduler: dict[str, Any] | None = None,
    transformer: dict[str, Any] | None = None,
    class_name: str = "LTXPipeline",
) -> tuple[Any, Any]:
    """The same pipeline of filmstrip and of diffusers."""
    transformers = pair(
        LTXVideoTransformer3DModel,
        diffusers.LTXVideoTransformer3DModel,
        TRANSFORMER | (transformer or {}),
        seed=1,
    )
    vaes = pair(AutoencoderKLLTXVideo, diffusers.AutoencoderKLLTXVideo, vae, seed=2)
    schedulers = (
        FlowMatchEulerDiscreteScheduler(**(scheduler or {})),
        diffusers.FlowMatchEulerDiscreteScheduler(**(scheduler or {})),
    )
    pipes = [
        getattr(library, class_name)(
            transformer=transformers[i],
            vae=vaes[i],
            scheduler=schedulers[i],
            text_encoder=tiny_t5(),
            tokenizer=tiny_tokenizer(),
        )
        for i, library in enumerate((filmstrip, diffusers))
    ]
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    return pipes[0], pipes[1]


def arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of a small call, with new generators from `seed`: a number, a list or `None`."""
    values: dict[str, Any] = {
        "prompt": "a red circle moves left",
        "height": 64,
        "width": 96,
        "num_frames": 17,
        "num_inference_steps": 3,
        "max_sequence_length": 16,
        "output_type": "pt",
        "seed": 3,
    } | changes
    seed = values.pop("seed")
    if seed is not None:
        values["generator"] = generators(seed)
    return values


def run(pipe: Any, **changes: Any) -> torch.Tensor:
    """The frames of a call, from the same state of the global generator."""
    torch.manual_seed(11)
    frames: torch.Tensor = pipe(**arguments(**changes)).frames
    return frames
