"""The authors' single files: transformer and VAE in one safetensors file, or a latent upsampler.

The metadata of such a file have an entry "config" with JSON: the configs of its models, and how the
checkpoint is sampled. The authors' loaders (Lightricks/LTX-Video) need this entry, so all of their
files have it. In their fp8 files the matrices of the blocks are cast without scales
(`convert_weights.py` of Lightricks/LTX-Video-Q8-Kernels), and are read like other weights.

Every `read_` function raises a `CheckpointError` if the file is damaged, or has no model like the
published ones.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filmstrip.errors import CheckpointError
from filmstrip.ltx.schedules import CheckpointInfo, RectifiedFlowSchedule
from filmstrip.weights.safetensors_files import SafetensorsSource
from filmstrip.weights.tensor_source import OriginalCheckpoint, RenamedSource

TRANSFORMER_PREFIX = "model.diffusion_model."
VAE_PREFIX = "vae."
STATISTICS_PREFIX = "per_channel_statistics."
# The name endings of the scales of fp8 weights, in files that are not the authors'.
SCALE_SUFFIXES = ("scale_weight", "weight_scale")

# Parts of the authors' tensor names, and diffusers' names for them.
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
    f"{STATISTICS_PREFIX}mean-of-means": "latents_mean",
    f"{STATISTICS_PREFIX}std-of-means": "latents_std",
}

# Entries of the authors' configs with the same name in diffusers.
TRANSFORMER_ENTRIES = (
    "in_channels",
    "out_channels",
    "num_attention_heads",
    "attention_head_dim",
    "cross_attention_dim",
    "num_layers",
    "caption_channels",
    "activation_fn",
    "norm_elementwise_affine",
    "norm_eps",
    "attention_bias",
)
VAE_ENTRIES = (
    "in_channels",
    "out_channels",
    "latent_channels",
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
SCHEDULE_ENTRIES = ("sampler", "shifting", "base_resolution", "target_shift_terminal", "shift")
# Entries of the authors' VAE configs that have one value in all published files.
FIXED_VAE_ENTRIES: Mapping[str, Any] = {
    "norm_layer": "pixel_norm",
    "use_quant_conv": False,
    "latent_log_var": "uniform",
    "spatial_padding_mode": "zeros",
    "patch_size": 4,
}


@dataclass(frozen=True)
class OriginalBlock:
    """One of the authors' blocks, as their config lists it."""

    name: str  # "res_x", "compress_all" …
    options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The name, with a + where the block is residual."""
        return f"{self.name}+" if self.options.get("residual") else self.name


@dataclass(frozen=True)
class BlockLayout:
    """The structure of the encoder or the decoder of a published autoencoder.

    The authors number all blocks. In diffusers and filmstrip, resampling and widening blocks are
    parts of the down and up blocks.
    """

    # For each index in the authors' state dict: the label of the block, and filmstrip's module.
    blocks: tuple[tuple[str, str], ...]
    width_factors: tuple[int, ...]  # `block_out_channels` over the channels next to the pixels
    config: Mapping[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the authors' blocks, in the order of their state dict."""
        return tuple(label for label, _ in self.blocks)


ENCODER_0_9_0 = BlockLayout(  # 0.9.0 and 0.9.1
    blocks=(
        ("res_x", "down_blocks.0"),
        ("compress_all", "down_blocks.0.downsamplers.0"),
        ("res_x_y", "down_blocks.0.conv_out"),
        ("res_x", "down_blocks.1"),
        ("compress_all", "down_blocks.1.downsamplers.0"),
        ("res_x_y", "down_blocks.1.conv_out"),
        ("res_x", "down_blocks.2"),
        ("compress_all", "down_blocks.2.downsamplers.0"),
        ("res_x", "down_blocks.3"),
        ("res_x", "mid_block"),
    ),
    width_factors=(1, 2, 4, 4),
    config={"spatio_temporal_scaling": (True, True, True, False)},
)
ENCODER_0_9_5 = BlockLayout(  # 0.9.5 and later
    blocks=(
        ("res_x", "down_blocks.0"),
        ("compress_space_res", "down_blocks.0.downsamplers.0"),
        ("res_x", "down_blocks.1"),
        ("compress_time_res", "down_blocks.1.downsamplers.0"),
        ("res_x", "down_blocks.2"),
        ("compress_all_res", "down_blocks.2.downsamplers.0"),
        ("res_x", "down_blocks.3"),
        ("compress_all_res", "down_blocks.3.downsamplers.0"),
        ("res_x", "mid_block"),
    ),
    width_factors=(1, 2, 4, 8, 16),
    config={
        "spatio_temporal_scaling": (True, True, True, True),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    },
)
DECODER_0_9_0 = BlockLayout(
    blocks=(
        ("res_x", "mid_block"),
        ("res_x", "up_blocks.0"),
        ("compress_all", "up_blocks.1.upsamplers.0"),
        ("res_x", "up_blocks.1"),
        ("res_x_y", "up_blocks.2.conv_in"),
        ("compress_all", "up_blocks.2.upsamplers.0"),
        ("res_x", "up_blocks.2"),
        ("res_x_y", "up_blocks.3.conv_in"),
        ("compress_all", "up_blocks.3.upsamplers.0"),
        ("res_x", "up_blocks.3"),
    ),
    width_factors=(1, 2, 4, 4),
    config={"decoder_spatio_temporal_scaling": (True, True, True, False)},
)
DECODER_0_9_1 = BlockLayout(  # 0.9.1 and later
    blocks=(
        ("res_x", "mid_block"),
        ("compress_all+", "up_blocks.0.upsamplers.0"),
        ("res_x", "up_blocks.0"),
        ("compress_all+", "up_blocks.1.upsamplers.0"),
        ("res_x", "up_blocks.1"),
        ("compress_all+", "up_blocks.2.upsamplers.0"),
        ("res_x", "up_blocks.2"),
    ),
    width_factors=(2, 4, 8),
    config={
        "decoder_spatio_temporal_scaling": (True, True, True),
        "upsample_residual": (True, True, True),
        "upsample_factor": (2, 2, 2),
    },
)
ENCODER_LAYOUTS = (ENCODER_0_9_0, ENCODER_0_9_5)
DECODER_LAYOUTS = (DECODER_0_9_0, DECODER_0_9_1)


def read_info(file: Path) -> CheckpointInfo:
    """Read how the checkpoint in a file is sampled."""
    _, config = _open(file)
    with _config_errors(file):
        causal_positions = config["transformer"].get("causal_temporal_positioning", False)
        allowed_timesteps = tuple(config.get("allowed_inference_steps") or ())
        schedule = RectifiedFlowSchedule(**_pick(config["scheduler"], SCHEDULE_ENTRIES))
        return CheckpointInfo(schedule, causal_positions, allowed_timesteps or None)


def read_transformer(file: Path) -> OriginalCheckpoint:
    """Read the transformer in a file."""
    source, config = _open(file)
    stored_names = {
        name.removeprefix(TRANSFORMER_PREFIX): name
        for name in source.infos
        if not name.startswith(VAE_PREFIX)
    }
    _require(file, stored_names, "transformer", "patchify_proj.weight")
    with _config_errors(file):
        transformer_config = _pick(config["transformer"], TRANSFORMER_ENTRIES)
    renamed = {
        _replace_all(name, TRANSFORMER_NAMES): stored for name, stored in stored_names.items()
    }
    return OriginalCheckpoint(transformer_config, RenamedSource(source, renamed))


def read_vae(file: Path) -> OriginalCheckpoint:
    """Read the autoencoder in a file."""
    source, config = _open(file)
    stored_names = {
        name.removeprefix(VAE_PREFIX): name for name in source.infos if name.startswith(VAE_PREFIX)
    }
    conv_in = "encoder.conv_in.conv.weight"
    conv_out = "decoder.conv_out.conv.weight"
    _require(file, stored_names, "autoencoder", conv_in)
    _require(file, stored_names, "autoencoder", conv_out)
    with _config_errors(file):
        vae_config = config["vae"]
        _check_fixed_entries(file, vae_config)
        encoder_blocks = _listed_blocks(vae_config, "encoder_blocks")
        # The list of a decoder's blocks is from pixels to latents, opposite to its computation.
        decoder_blocks = _listed_blocks(vae_config, "decoder_blocks")[::-1]
        encoder = _find_layout(file, ENCODER_LAYOUTS, encoder_blocks)
        decoder = _find_layout(file, DECODER_LAYOUTS, decoder_blocks)
        encoder_stages = [block.options for block in encoder_blocks if block.name == "res_x"]
        decoder_stages = [block.options for block in decoder_blocks if block.name == "res_x"]
        encoder_width = source.infos[stored_names[conv_in]].shape[0]
        decoder_width = source.infos[stored_names[conv_out]].shape[1]
        model_config = {
            **_pick(vae_config, VAE_ENTRIES),
            **encoder.config,
            **decoder.config,
            "decoder_causal": vae_config.get("causal_decoder", False),
            "layers_per_block": [options["num_layers"] for options in encoder_stages],
            # diffusers' lists for the decoder are from pixels to latents, too.
            "decoder_layers_per_block": [
                options["num_layers"] for options in reversed(decoder_stages)
            ],
            "decoder_inject_noise": [
                options.get("inject_noise", False) for options in reversed(decoder_stages)
            ],
            "block_out_channels": [encoder_width * factor for factor in encoder.width_factors],
            "decoder_block_out_channels": [
                decoder_width * factor for factor in decoder.width_factors
            ],
            "spatial_compression_ratio": 32,
            "temporal_compression_ratio": 8,
        }
    modules = {
        **_module_names("encoder", "down_blocks", encoder),
        **_module_names("decoder", "up_blocks", decoder),
    }
    renamed = {}
    for name, stored in stored_names.items():
        new_name = _replace_all(_rename_block(name, modules), VAE_NAMES)
        if not new_name.startswith(STATISTICS_PREFIX):  # the other statistics are not used
            renamed[new_name] = stored
    return OriginalCheckpoint(model_config, RenamedSource(source, renamed))


def read_upsampler(file: Path) -> OriginalCheckpoint:
    """Read the latent upsampler in a file; its tensors have the same names in filmstrip."""
    source, config = _open(file)
    _require(file, source.infos, "latent upsampler", "upsampler.0.weight")
    return OriginalCheckpoint(_pick(config, UPSAMPLER_ENTRIES), source)


def _open(file: Path) -> tuple[SafetensorsSource, dict[str, Any]]:
    """The tensors of a file, and the config in its metadata."""
    source = SafetensorsSource.from_file(file)
    if any(name.endswith(SCALE_SUFFIXES) for name in source.infos):
        raise CheckpointError(
            f"{file} has scales for its weights, which are not supported; use one of the authors' "
            "files."
        )
    if "config" not in source.metadata:
        raise CheckpointError(
            f"{file} has no config in its metadata, as the authors' files have; use one of those."
        )
    with _config_errors(file):
        return source, dict(json.loads(source.metadata["config"]))


@contextlib.contextmanager
def _config_errors(file: Path) -> Iterator[None]:
    """Turn the errors of reading an unexpected config into a `CheckpointError`."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The config in the metadata of {file} is not that of an LTX checkpoint "
            f"({type(error).__name__}: {error})."
        ) from error


def _require(file: Path, names: Mapping[str, Any], model: str, name: str) -> None:
    """Refuse a file without a tensor that the model always has."""
    if name not in names:
        raise CheckpointError(
            f"{file} holds no LTX {model} in the authors' layout: it has no {name}."
        )


def _pick(config: Mapping[str, Any], entries: Sequence[str]) -> dict[str, Any]:
    """These entries of a config, without those that are absent or None."""
    return {name: config[name] for name in entries if config.get(name) is not None}


def _check_fixed_entries(file: Path, vae_config: Mapping[str, Any]) -> None:
    """Refuse a config with another value of an entry of `FIXED_VAE_ENTRIES`."""
    for name, value in FIXED_VAE_ENTRIES.items():
        if vae_config.get(name, value) != value:
            raise CheckpointError(
                f"The autoencoder of {file} has {name} {vae_config[name]!r}; only {value!r} is "
                "supported."
            )


def _listed_blocks(vae_config: Mapping[str, Any], entry: str) -> list[OriginalBlock]:
    """The blocks of the encoder or the decoder as the config lists them, from pixels to latents."""
    listed = vae_config[entry] if entry in vae_config else vae_config["blocks"]
    return [
        OriginalBlock(name, {"num_layers": options} if isinstance(options, int) else options)
        for name, options in listed
    ]


def _find_layout(
    file: Path, layouts: Sequence[BlockLayout], blocks: Sequence[OriginalBlock]
) -> BlockLayout:
    """The layout that consists of these blocks."""
    labels = tuple(block.label for block in blocks)
    for layout in layouts:
        if layout.labels == labels:
            return layout
    raise CheckpointError(
        f"The blocks of the autoencoder of {file} are not those of a published one: "
        f"{' '.join(labels)}."
    )


def _module_names(coder: str, block_list: str, layout: BlockLayout) -> dict[str, str]:
    """Filmstrip's module for each block in the authors' state dict ("encoder.down_blocks.3")."""
    return {
        f"{coder}.{block_list}.{index}": f"{coder}.{module}"
        for index, (_, module) in enumerate(layout.blocks)
    }


def _rename_block(name: str, modules: Mapping[str, str]) -> str:
    """Replace the block in a tensor's name, such as "encoder.down_blocks.3.x", by its module."""
    parts = name.split(".", 3)
    module = modules.get(".".join(parts[:3]))
    return f"{module}.{parts[3]}" if module else name


def _replace_all(name: str, replacements: Mapping[str, str]) -> str:
    for original, replacement in replacements.items():
        name = name.replace(original, replacement)
    return name
