"""The authors' single files: transformer and VAE in one safetensors file, or a latent upsampler (Lightricks/LTX-Video).

The metadata of such a file hold under "config", as JSON, how its models were made and want to be sampled: the authors'
own loaders need it, so every file of theirs has it. Their fp8 files hold the blocks' matrices cast as they are, with no
scales beside them (`convert_weights.py` of Lightricks/LTX-Video-Q8-Kernels), and are read like the others.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from filmstrip.errors import CheckpointError
from filmstrip.ltx.sampling import Sampling
from filmstrip.weights.model import Original
from filmstrip.weights.tensors import Stored, read_header

Tensors: TypeAlias = Mapping[str, Stored]
Blocks: TypeAlias = Sequence[tuple[str, Mapping[str, Any]]]  # the authors' names of blocks, and their parameters

TRANSFORMER, VAE, STATISTICS = "model.diffusion_model.", "vae.", "per_channel_statistics."
# What is called otherwise here.
TRANSFORMER_NAMES = MappingProxyType(
    {"patchify_proj.": "proj_in.", "adaln_single.": "time_embed.", ".q_norm.": ".norm_q.", ".k_norm.": ".norm_k."}
)
VAE_NAMES = MappingProxyType(
    {
        ".res_blocks.": ".resnets.",
        ".conv_shortcut.": ".conv_shortcut.conv.",
        ".norm3.norm.": ".norm3.",
        ".last_time_embedder.": ".time_embedder.",
        ".last_scale_shift_table": ".scale_shift_table",
        f"{STATISTICS}mean-of-means": "latents_mean",
        f"{STATISTICS}std-of-means": "latents_std",
    }
)
# The authors count all blocks of a side; here resampling (C) and widening (X) are parts of stages of layers (R).
BLOCK_NAMES = MappingProxyType(
    {
        "encoder RCXRCXRCRR": (
            "D0 D0.downsamplers.0 D0.conv_out D1 D1.downsamplers.0 D1.conv_out D2 D2.downsamplers.0 D3 M"
        ),
        "encoder RCRCRCRCR": "D0 D0.downsamplers.0 D1 D1.downsamplers.0 D2 D2.downsamplers.0 D3 D3.downsamplers.0 M",
        "decoder RRCRXCRXCR": "M U0 U1.upsamplers.0 U1 U2.conv_in U2.upsamplers.0 U2 U3.conv_in U3.upsamplers.0 U3",
        "decoder RCRCRCR": "M U0.upsamplers.0 U0 U1.upsamplers.0 U1 U2.upsamplers.0 U2",
    }
)
SHORT = MappingProxyType({"D": "down_blocks.", "U": "up_blocks.", "M": "mid_block"})
LETTERS = MappingProxyType({"res_x": "R", "res_x_y": "X"})
DOWNSAMPLERS = MappingProxyType(
    {
        "compress_all": "conv",
        "compress_space_res": "spatial",
        "compress_time_res": "temporal",
        "compress_all_res": "spatiotemporal",
    }
)
# What is not built otherwise here.
FIXED = MappingProxyType(
    {"norm_layer": "pixel_norm", "use_quant_conv": False, "latent_log_var": "uniform", "spatial_padding_mode": "zeros"}
)
TRANSFORMER_ENTRIES = (
    *("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "cross_attention_dim"),
    *("num_layers", "caption_channels", "activation_fn", "norm_elementwise_affine", "norm_eps", "attention_bias"),
)
VAE_ENTRIES = (
    "in_channels",
    "out_channels",
    "latent_channels",
    "patch_size",
    "scaling_factor",
    "timestep_conditioning",
)
UPSAMPLER_ENTRIES = (
    "in_channels",
    "mid_channels",
    "num_blocks_per_stage",
    "dims",
    "spatial_upsample",
    "temporal_upsample",
)
SCHEDULER_ENTRIES = ("sampler", "shifting", "base_resolution", "target_shift_terminal", "shift")


@dataclass(frozen=True)
class CheckpointInfo:
    """How a checkpoint wants to be sampled."""

    sampling: Sampling = field(default_factory=Sampling)
    causal_positions: bool = False  # whether positions in time know that the first latent is one frame alone
    allowed_timesteps: tuple[float, ...] | None = None  # all that a distilled model knows; None: any

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """The `FlowMatchEulerDiscreteScheduler` that diffusers' folder of the checkpoint has."""
        if self.sampling.shifting != "SD3":
            return {}
        tokens = {"base_image_seq_len": 1024, "max_image_seq_len": 4096}
        shifts = {"base_shift": 0.95, "max_shift": 2.05, "shift_terminal": self.sampling.target_shift_terminal}
        return {"use_dynamic_shifting": True, **tokens, **shifts}


def read_info(file: Path) -> CheckpointInfo:
    """How the checkpoint in a file wants to be sampled.

    Raises:
        CheckpointError: the file or its metadata are damaged, or of another kind.
    """
    said = _open(file)[1]
    with _reading(file):
        scheduler = {name: said["scheduler"][name] for name in SCHEDULER_ENTRIES if said["scheduler"].get(name)}
        causal = said["transformer"].get("causal_temporal_positioning", False)
        allowed = said.get("allowed_inference_steps")
        return CheckpointInfo(Sampling(**scheduler), causal, tuple(allowed) if allowed else None)


def read_transformer(file: Path) -> Original:
    """The transformer in a file.

    Raises:
        CheckpointError: the file is damaged, or holds none.
    """
    stored, said = _open(file)
    stored = {key.removeprefix(TRANSFORMER): tensor for key, tensor in stored.items() if not key.startswith(VAE)}
    _require(file, stored, "transformer", "patchify_proj.weight")
    with _reading(file):
        config = _pick(said["transformer"], TRANSFORMER_ENTRIES)
    return Original(config, {_rename(key, TRANSFORMER_NAMES): tensor for key, tensor in stored.items()})


def read_vae(file: Path) -> Original:
    """The autoencoder in a file.

    Raises:
        CheckpointError: the file is damaged, holds none, or one that is built otherwise than the published ones.
    """
    stored, said = _open(file)
    stored = {key.removeprefix(VAE): tensor for key, tensor in stored.items() if key.startswith(VAE)}
    for key in ("encoder.conv_in.conv.weight", "decoder.conv_out.conv.weight"):
        _require(file, stored, "autoencoder", key)
    with _reading(file):
        theirs = said["vae"]
        for name, value in FIXED.items():
            if theirs.get(name, value) != value:
                raise CheckpointError(
                    f"The autoencoder of {file} has {name} {theirs[name]!r}; only {value!r} is known."
                )
        down, up = _blocks(theirs, "encoder"), _blocks(theirs, "decoder")[::-1]  # in the order of the keys
        config = _pick(theirs, VAE_ENTRIES) | {"decoder_causal": theirs.get("causal_decoder", False)}
        config |= _encoder_config(down, stored["encoder.conv_in.conv.weight"].shape[0], theirs["patch_size"])
        config |= _decoder_config(up, stored["decoder.conv_out.conv.weight"].shape[1])
        modules = _modules(file, "encoder", "down_blocks", down) | _modules(file, "decoder", "up_blocks", up)
    keys = {_rename(_in_module(key, modules), VAE_NAMES): key for key in stored}
    return Original(config, {new: stored[key] for new, key in keys.items() if not new.startswith(STATISTICS)})


def read_upsampler(file: Path) -> Original:
    """The latent upsampler in a file; its keys are the same here.

    Raises:
        CheckpointError: the file is damaged, or holds none.
    """
    stored, said = _open(file)
    _require(file, stored, "latent upsampler", "upsampler.0.weight")
    return Original(_pick(said, UPSAMPLER_ENTRIES), stored)


def _open(file: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of a file, and the config in its metadata."""
    stored, metadata = read_header(file)
    if any(key.endswith(("scale_weight", "weight_scale")) for key in stored):
        raise CheckpointError(
            f"{file} has scales beside its weights, which are not read; use one of the authors' files."
        )
    if "config" not in metadata:
        raise CheckpointError(
            f"{file} has no config in its metadata, as the authors' files of LTX have; use one of those."
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
        raise CheckpointError(f"The config in the metadata of {file} is none of LTX ({what}).") from error


def _require(file: Path, stored: Tensors, what: str, key: str) -> None:
    if key not in stored:
        raise CheckpointError(f"{file} holds no LTX {what} in the authors' layout: it has no {key}.")


def _pick(said: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: said[name] for name in names if name in said}


def _rename(key: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    return key


def _in_module(key: str, modules: Mapping[str, str]) -> str:
    """A key of the authors' block, such as "encoder.down_blocks.3.x", in the module that it is part of here."""
    parts = key.split(".", 3)
    block = modules.get(".".join(parts[:3]))
    return f"{block}.{parts[3]}" if block else key


def _modules(file: Path, side: str, name: str, blocks: Blocks) -> dict[str, str]:
    """Where each of the authors' blocks of a side is here."""
    layout = "".join(LETTERS.get(kind, "C") for kind, _ in blocks)
    if f"{side} {layout}" not in BLOCK_NAMES:
        kinds = ", ".join(kind for kind, _ in blocks)
        raise CheckpointError(f"{file} has an autoencoder whose {side} is none of the published ones: {kinds}.")
    places = enumerate(BLOCK_NAMES[f"{side} {layout}"].split())
    return {f"{side}.{name}.{number}": f"{side}.{SHORT[place[0]]}{place[1:]}" for number, place in places}


def _blocks(theirs: Mapping[str, Any], side: str) -> Blocks:
    """A side's blocks as the metadata list them, from pixels to latents."""
    listed = theirs[f"{side}_blocks"] if f"{side}_blocks" in theirs else theirs["blocks"]
    return [(kind, {"num_layers": said} if isinstance(said, int) else said) for kind, said in listed]


def _encoder_config(blocks: Blocks, width: int, patch: int) -> dict[str, Any]:
    widths: list[int] = []
    layers: list[int] = []
    samplers: list[str | None] = []
    for kind, said in blocks:
        if kind == "res_x":
            widths, layers, samplers = [*widths, width], [*layers, said["num_layers"]], [*samplers, None]
            continue
        width *= 1 if kind == "compress_all" else said.get("multiplier", 2)
        if kind != "res_x_y":
            samplers[-1] = DOWNSAMPLERS[kind]
    stages = len(widths) - 1  # the last is the middle block
    first = "conv" in samplers  # 0.9.0 and 0.9.1
    return {
        "block_out_channels": widths[:stages] if first else widths,
        "down_block_types": [f"LTXVideo{'' if first else '095'}DownBlock3D"] * stages,
        "layers_per_block": layers,
        "spatio_temporal_scaling": [sampler is not None for sampler in samplers[:stages]],
        "downsample_type": [sampler or "conv" for sampler in samplers[:stages]],
        "spatial_compression_ratio": patch * 2 ** sum(sampler not in (None, "temporal") for sampler in samplers),
        "temporal_compression_ratio": 2 ** sum(sampler not in (None, "spatial") for sampler in samplers),
    }


def _decoder_config(blocks: Blocks, last: int) -> dict[str, Any]:
    factors = [said.get("multiplier", 2 if kind == "res_x_y" else 1) for kind, said in blocks]
    width = last * prod(factors)
    stages: list[tuple[int, int, bool]] = []  # width before narrowing, layers, noise
    samplers: list[tuple[bool, bool, int]] = []  # whether there is one, residual, factor
    sampler = (False, False, 1)
    for (kind, said), factor in zip(blocks, factors, strict=True):
        width //= factor
        if kind == "compress_all":
            sampler = (True, said.get("residual", False), factor)
        elif kind == "res_x":
            stages.append((width * sampler[2], said["num_layers"], said.get("inject_noise", False)))
            samplers.append(sampler)
            sampler = (False, False, 1)
    # The config lists stages from pixels to latents; the last of them is the middle block.
    widths, layers, noise = (list(entry) for entry in zip(*stages[::-1], strict=True))
    scaled, residual, narrowed = (list(entry) for entry in zip(*samplers[:0:-1], strict=True))
    return {
        "decoder_block_out_channels": widths[:-1],
        "decoder_layers_per_block": layers,
        "decoder_inject_noise": noise,
        "decoder_spatio_temporal_scaling": scaled,
        "upsample_residual": residual,
        "upsample_factor": narrowed,
    }
