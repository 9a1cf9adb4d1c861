"""Tiny checkpoints in the layout of the authors' published LTX files, listed key by key."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

# The published lists of blocks: those of 0.9.0, of the decoder of 0.9.1, and of 0.9.5.
BLOCKS_090 = [
    ["res_x", 4],
    ["compress_all", 1],
    ["res_x_y", 1],
    ["res_x", 3],
    ["compress_all", 1],
    ["res_x_y", 1],
    ["res_x", 3],
    ["compress_all", 1],
    ["res_x", 3],
    ["res_x", 4],
]
UP = ["compress_all", {"residual": True, "multiplier": 2}]


def res_blocks(layers: int, noise: bool) -> list[Any]:
    """An entry of the authors' lists for residual blocks."""
    return ["res_x", {"num_layers": layers, "inject_noise": noise}]


DECODER_091 = [
    res_blocks(5, True),
    UP,
    res_blocks(6, True),
    UP,
    res_blocks(7, True),
    UP,
    res_blocks(8, False),
]
DECODER_095 = [
    res_blocks(5, False),
    UP,
    res_blocks(5, False),
    UP,
    res_blocks(5, False),
    UP,
    res_blocks(5, False),
]
ENCODER_095 = [
    ["res_x", {"num_layers": 4}],
    ["compress_space_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_time_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
]

VARIANTS = {
    "0.9.0": {"blocks": BLOCKS_090},
    "0.9.1": {
        "encoder_blocks": BLOCKS_090,
        "decoder_blocks": DECODER_091,
        "timestep_conditioning": True,
    },
    "0.9.5": {
        "encoder_blocks": ENCODER_095,
        "decoder_blocks": DECODER_095,
        "timestep_conditioning": True,
    },
}
SCHEDULERS = {
    "0.9.0": {
        "num_train_timesteps": 1000,
        "shifting": "SD3",
        "base_resolution": None,
        "target_shift_terminal": 0.1,
    },
    "0.9.5": {"num_train_timesteps": 1000, "shifting": None, "sampler": "LinearQuadratic"},
}
CHANNELS = 6  # of a latent
WIDTH = 16  # of the transformer
TEXT = 12  # width of the text encoder
BASE = 4  # channels of the autoencoder next to the pixels

Shapes = dict[str, tuple[int, ...]]


def metadata(variant: str) -> dict[str, Any]:
    """The config in the metadata of the file."""
    vae = {
        "_class_name": "CausalVideoAutoencoder",
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": CHANNELS,
        "scaling_factor": 1.0,
        "norm_layer": "pixel_norm",
        "patch_size": 4,
        "latent_log_var": "uniform",
        "use_quant_conv": False,
        "causal_decoder": False,
        **VARIANTS[variant],
    }
    transformer = {
        "_class_name": "Transformer3DModel",
        "num_layers": 2,
        "num_attention_heads": 4,
        "attention_head_dim": WIDTH // 4,
        "cross_attention_dim": WIDTH,
        "caption_channels": TEXT,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "qk_norm": "rms_norm",
        "norm_eps": 1e-6,
        "activation_fn": "gelu-approximate",
        "norm_elementwise_affine": False,
        "attention_bias": True,
    }
    if variant == "0.9.5":
        transformer["causal_temporal_positioning"] = True
    scheduler = SCHEDULERS["0.9.5" if variant == "0.9.5" else "0.9.0"]
    return {"transformer": transformer, "vae": vae, "scheduler": scheduler}


def layer(key: str, out: int, *rest: int) -> Shapes:
    return {f"{key}.weight": (out, *rest), f"{key}.bias": (out,)}


def transformer_shapes() -> Shapes:
    shapes = layer("patchify_proj", WIDTH, CHANNELS) | layer("proj_out", CHANNELS, WIDTH)
    shapes |= {"scale_shift_table": (2, WIDTH)} | layer("adaln_single.linear", 6 * WIDTH, WIDTH)
    shapes |= layer("adaln_single.emb.timestep_embedder.linear_1", WIDTH, 256)
    shapes |= layer("adaln_single.emb.timestep_embedder.linear_2", WIDTH, WIDTH)
    shapes |= layer("caption_projection.linear_1", WIDTH, TEXT) | layer(
        "caption_projection.linear_2", WIDTH, WIDTH
    )
    for block in ("transformer_blocks.0", "transformer_blocks.1"):
        shapes |= {f"{block}.scale_shift_table": (6, WIDTH)}
        shapes |= layer(f"{block}.ff.net.0.proj", 4 * WIDTH, WIDTH) | layer(
            f"{block}.ff.net.2", WIDTH, 4 * WIDTH
        )
        for attention in (f"{block}.attn1", f"{block}.attn2"):
            shapes |= {
                f"{attention}.q_norm.weight": (WIDTH,),
                f"{attention}.k_norm.weight": (WIDTH,),
            }
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                shapes |= layer(f"{attention}.{part}", WIDTH, WIDTH)
    return {f"model.diffusion_model.{key}": shape for key, shape in shapes.items()}


def block_shapes(
    key: str, block: str, options: dict[str, Any], width: int, out: int, timed: bool
) -> Shapes:
    """One of the authors' blocks, from `width` to `out` channels."""
    if block == "res_x":
        shapes: Shapes = {}
        for number in range(options["num_layers"]):
            prefix = f"{key}.res_blocks.{number}"
            shapes |= layer(f"{prefix}.conv1.conv", width, width, 3, 3, 3) | layer(
                f"{prefix}.conv2.conv", width, width, 3, 3, 3
            )
            if options.get("inject_noise"):
                shapes |= {
                    f"{prefix}.per_channel_scale1": (width, 1, 1),
                    f"{prefix}.per_channel_scale2": (width, 1, 1),
                }
            shapes |= {f"{prefix}.scale_shift_table": (4, width)} if timed else {}
        prefix = f"{key}.time_embedder.timestep_embedder"
        timing = layer(f"{prefix}.linear_1", 4 * width, 256) | layer(
            f"{prefix}.linear_2", 4 * width, 4 * width
        )
        return shapes | (timing if timed else {})
    if block == "res_x_y":
        shapes = layer(f"{key}.conv1.conv", out, width, 3, 3, 3) | layer(
            f"{key}.conv2.conv", out, out, 3, 3, 3
        )
        return (
            shapes
            | layer(f"{key}.norm3.norm", width)
            | layer(f"{key}.conv_shortcut", out, width, 1, 1, 1)
        )
    if "down" in key and block == "compress_all":
        return layer(f"{key}.conv", out, width, 3, 3, 3)
    folded = {
        "compress_space_res": out // 4,
        "compress_time_res": out // 2,
        "compress_all_res": out // 8,
    }
    return layer(f"{key}.conv.conv", folded.get(block, 8 * out), width, 3, 3, 3)


def coder_shapes(key: str, blocks: list[Any], widths: list[int], timed: bool = False) -> Shapes:
    shapes: Shapes = {}
    for number, (block, listed) in enumerate(blocks):
        options = listed if isinstance(listed, dict) else {"num_layers": listed}
        shapes |= block_shapes(
            f"{key}.{number}", block, options, widths[number], widths[number + 1], timed
        )
    return shapes


def widths_of(blocks: list[Any], default: dict[str, int]) -> list[int]:
    """The channels before each block of a list that begins at the pixels, and after the last."""
    widths = [BASE]
    for block, options in blocks:
        factor = options.get("multiplier") if isinstance(options, dict) else None
        widths.append(widths[-1] * (factor or default.get(block, 1)))
    return widths


def vae_shapes(variant: str) -> Shapes:
    config = VARIANTS[variant]
    down = config.get("encoder_blocks", config.get("blocks"))
    up = config.get("decoder_blocks", config.get("blocks"))
    timed = bool(config.get("timestep_conditioning"))
    inner = widths_of(down, {"res_x_y": 2})
    outer = widths_of(up, {"res_x_y": 2})[::-1]
    shapes = layer("encoder.conv_in.conv", BASE, 48, 3, 3, 3)
    shapes |= layer("encoder.conv_out.conv", CHANNELS + 1, inner[-1], 3, 3, 3)
    shapes |= coder_shapes("encoder.down_blocks", down, inner)
    shapes |= layer("decoder.conv_in.conv", outer[0], CHANNELS, 3, 3, 3) | layer(
        "decoder.conv_out.conv", 48, BASE, 3, 3, 3
    )
    shapes |= coder_shapes("decoder.up_blocks", up[::-1], outer, timed)
    if timed:
        prefix = "decoder.last_time_embedder.timestep_embedder"
        shapes |= {
            "decoder.timestep_scale_multiplier": (),
            "decoder.last_scale_shift_table": (2, BASE),
        }
        shapes |= layer(f"{prefix}.linear_1", 2 * BASE, 256) | layer(
            f"{prefix}.linear_2", 2 * BASE, 2 * BASE
        )
    for statistic in (
        "channel",
        "mean-of-means",
        "mean-of-stds",
        "mean-of-stds_over_std-of-means",
        "std-of-means",
    ):
        shapes[f"per_channel_statistics.{statistic}"] = (CHANNELS,)
    return {f"vae.{key}": shape for key, shape in shapes.items()}


def state(variant: str, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, all random."""
    generator = torch.Generator().manual_seed(0)
    shapes = transformer_shapes() | vae_shapes(variant)
    return {key: torch.randn(shape, generator=generator).to(dtype) for key, shape in shapes.items()}


def write(file: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] | None) -> Path:
    tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
    save_file(tensors, file, metadata=None if config is None else {"config": json.dumps(config)})
    return file
