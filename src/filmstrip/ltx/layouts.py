"""The authors' single files: transformer and VAE in one safetensors file, or a latent upsampler
(Lightricks/LTX-Video).

The metadata of such a file hold under "config", as JSON, how its models were made and want to be
sampled: the authors' own loaders need it, so every file of theirs has it. Their fp8 files hold the
blocks' matrices cast as they are, with no scales beside them (`convert_weights.py` of
Lightricks/LTX-Video-Q8-Kernels), and are read like the others.

What reads a file raises `CheckpointError` if it is damaged, or holds no such model as the published
ones.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from filmstrip.errors import CheckpointError
from filmstrip.ltx.schedules import RectifiedFlowSchedule
from filmstrip.weights.model import OriginalCheckpoint
from filmstrip.weights.tensors import TensorInfo, read_header

Tensors: TypeAlias = Mapping[str, TensorInfo]
Blocks: TypeAlias = Sequence[
    tuple[str, Mapping[str, Any]]
]  # the authors' names of blocks, and their parameters

BLOCKS = {"encoder": "down_blocks", "decoder": "up_blocks"}
TRANSFORMER, VAE, STATISTICS = "model.diffusion_model.", "vae.", "per_channel_statistics."
# What is called otherwise here.
TRANSFORMER_NAMES: Mapping[str, str] = {
    "patchify_proj.": "proj_in.",
    "adaln_single.": "time_embed.",
    ".q_norm.": ".norm_q.",
    ".k_norm.": ".norm_k.",
}
VAE_NAMES: Mapping[str, str] = {
    ".res_blocks.": ".resnets.",
    ".conv_shortcut.": ".conv_shortcut.conv.",
    ".norm3.norm.": ".norm3.",
    ".last_time_embedder.": ".time_embedder.",
    ".last_scale_shift_table": ".scale_shift_table",
    f"{STATISTICS}mean-of-means": "latents_mean",
    f"{STATISTICS}std-of-means": "latents_std",
}


@dataclass(frozen=True)
class CoderLayout:
    """One way in which the encoder or the decoder of a published autoencoder is built.

    The authors count all blocks; here resampling and widening are parts of stages of layers, or of
    the middle block.
    """

    theirs: str  # the authors' blocks, in the order of the keys; with a + where residual
    ours: str  # where each is here, within `BLOCKS`
    widths: tuple[int, ...]  # in the config, over that at the pixels
    config: Mapping[str, Any]


ENCODERS = (
    CoderLayout(  # 0.9.0, 0.9.1
        "res_x compress_all res_x_y res_x compress_all res_x_y res_x compress_all res_x res_x",
        "0 0.downsamplers.0 0.conv_out 1 1.downsamplers.0 1.conv_out 2 2.downsamplers.0 3 "
        "mid_block",
        (1, 2, 4, 4),
        {"spatio_temporal_scaling": (True, True, True, False)},
    ),
    CoderLayout(  # 0.9.5 and later
        "res_x compress_space_res res_x compress_time_res res_x compress_all_res res_x "
        "compress_all_res res_x",
        "0 0.downsamplers.0 1 1.downsamplers.0 2 2.downsamplers.0 3 3.downsamplers.0 mid_block",
        (1, 2, 4, 8, 16),
        {
            "spatio_temporal_scaling": (True, True, True, True),
            "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
            "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        },
    ),
)
DECODERS = (
    CoderLayout(  # 0.9.0
        "res_x res_x compress_all res_x res_x_y compress_all res_x res_x_y compress_all res_x",
        "mid_block 0 1.upsamplers.0 1 2.conv_in 2.upsamplers.0 2 3.conv_in 3.upsamplers.0 3",
        (1, 2, 4, 4),
        {"decoder_spatio_temporal_scaling": (True, True, True, False)},
    ),
    CoderLayout(  # 0.9.1 and later
        "res_x compress_all+ res_x compress_all+ res_x compress_all+ res_x",
        "mid_block 0.upsamplers.0 0 1.upsamplers.0 1 2.upsamplers.0 2",
        (2, 4, 8),
        {
            "decoder_spatio_temporal_scaling": (True, True, True),
            "upsample_residual": (True, True, True),
            "upsample_factor": (2, 2, 2),
        },
    ),
)
# What is not built otherwise here.
FIXED: Mapping[str, Any] = {
    "norm_layer": "pixel_norm",
    "use_quant_conv": False,
    "latent_log_var": "uniform",
    "spatial_padding_mode": "zeros",
    "patch_size": 4,
}
TRANSFORMER_ENTRIES = (
    "in_channels out_channels num_attention_heads attention_head_dim cross_attention_dim "
    "num_layers caption_channels "
    "activation_fn norm_elementwise_affine norm_eps attention_bias"
)
VAE_ENTRIES = "in_channels out_channels latent_channels scaling_factor timestep_conditioning"
UPSAMPLER_ENTRIES = (
    "in_channels mid_channels num_blocks_per_stage dims spatial_upsample temporal_upsample"
)
SCHEDULER_ENTRIES = "sampler shifting base_resolution target_shift_terminal shift"


@dataclass(frozen=True)
class CheckpointInfo:
    """How a checkpoint wants to be sampled."""

    sampling: RectifiedFlowSchedule = field(default_factory=RectifiedFlowSchedule)
    causal_positions: bool = (
        False  # whether positions in time know that the first latent is one frame alone
    )
    allowed_timesteps: tuple[float, ...] | None = (
        None  # all that a distilled model knows; None: any
    )

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """The `FlowMatchEulerDiscreteScheduler` that diffusers' folder of the checkpoint has."""
        if self.sampling.shifting != "SD3":
            return {}
        tokens = {"base_image_seq_len": 1024, "max_image_seq_len": 4096}
        shifts = {
            "base_shift": 0.95,
            "max_shift": 2.05,
            "shift_terminal": self.sampling.target_shift_terminal,
        }
        return {"use_dynamic_shifting": True, **tokens, **shifts}


def read_info(file: Path) -> CheckpointInfo:
    """How the checkpoint in a file wants to be sampled."""
    said = _open(file)[1]
    with _reading(file):
        causal = said["transformer"].get("causal_temporal_positioning", False)
        allowed = tuple(said.get("allowed_inference_steps") or ()) or None
        return CheckpointInfo(
            RectifiedFlowSchedule(**_pick(said["scheduler"], SCHEDULER_ENTRIES)), causal, allowed
        )


def read_transformer(file: Path) -> OriginalCheckpoint:
    """The transformer in a file."""
    stored, said = _open(file)
    stored = {
        key.removeprefix(TRANSFORMER): tensor
        for key, tensor in stored.items()
        if not key.startswith(VAE)
    }
    _require(file, stored, "transformer", "patchify_proj.weight")
    with _reading(file):
        config = _pick(said["transformer"], TRANSFORMER_ENTRIES)
    return OriginalCheckpoint(
        config, {_rename(key, TRANSFORMER_NAMES): tensor for key, tensor in stored.items()}
    )


def read_vae(file: Path) -> OriginalCheckpoint:
    """The autoencoder in a file."""
    stored, said = _open(file)
    stored = {
        key.removeprefix(VAE): tensor for key, tensor in stored.items() if key.startswith(VAE)
    }
    for key in ("encoder.conv_in.conv.weight", "decoder.conv_out.conv.weight"):
        _require(file, stored, "autoencoder", key)
    with _reading(file):
        theirs = said["vae"]
        for name, value in FIXED.items():
            if theirs.get(name, value) != value:
                raise CheckpointError(
                    f"The autoencoder of {file} has {name} {theirs[name]!r}; only {value!r} is "
                    "known."
                )
        down, up = (
            _blocks(theirs, "encoder"),
            _blocks(theirs, "decoder")[::-1],
        )  # in the order of the keys
        config = _pick(theirs, VAE_ENTRIES) | {
            "decoder_causal": theirs.get("causal_decoder", False)
        }
        encoder, decoder = _side(file, ENCODERS, down), _side(file, DECODERS, up)
        layers, decoder_layers = (
            [said["num_layers"] for kind, said in side if kind == "res_x"] for side in (down, up)
        )
        noise = [said.get("inject_noise", False) for kind, said in up if kind == "res_x"]
    inner, outer = (
        stored["encoder.conv_in.conv.weight"].shape[0],
        stored["decoder.conv_out.conv.weight"].shape[1],
    )
    config |= {
        **encoder.config,
        **decoder.config,
        "layers_per_block": layers,
        "decoder_layers_per_block": decoder_layers[::-1],
        "decoder_inject_noise": noise[::-1],
        "block_out_channels": [inner * width for width in encoder.widths],
        "decoder_block_out_channels": [outer * width for width in decoder.widths],
        "spatial_compression_ratio": 32,
        "temporal_compression_ratio": 8,
    }
    modules = _modules("encoder", encoder) | _modules("decoder", decoder)
    keys = {_rename(_in_module(key, modules), VAE_NAMES): key for key in stored}
    return OriginalCheckpoint(
        config, {new: stored[key] for new, key in keys.items() if not new.startswith(STATISTICS)}
    )


def read_upsampler(file: Path) -> OriginalCheckpoint:
    """The latent upsampler in a file; its keys are the same here."""
    stored, said = _open(file)
    _require(file, stored, "latent upsampler", "upsampler.0.weight")
    return OriginalCheckpoint(_pick(said, UPSAMPLER_ENTRIES), stored)


def _open(file: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of a file, and the config in its metadata."""
    stored, metadata = read_header(file)
    if any(key.endswith(("scale_weight", "weight_scale")) for key in stored):
        raise CheckpointError(
            f"{file} has scales beside its weights, which are not read; use one of the authors' "
            "files."
        )
    if "config" not in metadata:
        raise CheckpointError(
            f"{file} has no config in its metadata, as the authors' files have; use one of those."
        )
    with _reading(file):
        return stored, dict(json.loads(metadata["config"]))


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Say in which file something was not as expected."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"The config in the metadata of {file} is none of LTX ({what})."
        ) from error


def _require(file: Path, stored: Tensors, what: str, key: str) -> None:
    if key not in stored:
        raise CheckpointError(
            f"{file} holds no LTX {what} in the authors' layout: it has no {key}."
        )


def _pick(said: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: said[name] for name in names.split() if said.get(name) is not None}


def _rename(key: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    return key


def _in_module(key: str, modules: Mapping[str, str]) -> str:
    """A key of the authors' block, such as "encoder.down_blocks.3.x", in the module that it is part
    of here.
    """
    parts = key.split(".", 3)
    block = modules.get(".".join(parts[:3]))
    return f"{block}.{parts[3]}" if block else key


def _side(file: Path, known: Sequence[CoderLayout], blocks: Blocks) -> CoderLayout:
    theirs = " ".join(f"{kind}{'+' if said.get('residual') else ''}" for kind, said in blocks)
    for side in known:
        if side.theirs == theirs:
            return side
    raise CheckpointError(
        f"The autoencoder of {file} is built as none of the published ones: {theirs}."
    )


def _modules(coder: str, side: CoderLayout) -> dict[str, str]:
    """Where each of the authors' blocks is here."""
    blocks = f"{coder}.{BLOCKS[coder]}"
    here = [
        f"{coder}.mid_block" if place == "mid_block" else f"{blocks}.{place}"
        for place in side.ours.split()
    ]
    return {f"{blocks}.{number}": place for number, place in enumerate(here)}


def _blocks(theirs: Mapping[str, Any], side: str) -> Blocks:
    """A side's blocks as the metadata list them, from pixels to latents."""
    listed = theirs[f"{side}_blocks"] if f"{side}_blocks" in theirs else theirs["blocks"]
    return [
        (kind, {"num_layers": said} if isinstance(said, int) else said) for kind, said in listed
    ]
