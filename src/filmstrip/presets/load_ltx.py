"""The pipeline of a preset, from the authors' files."""

from pathlib import Path
from typing import Any

import torch

from filmstrip import demo
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.video_shape import VideoShape
from filmstrip.presets.ltx import Preset
from filmstrip.weights.folder import PipelineIndex, component_files, load_components
from filmstrip.weights.hub import HubOptions, Source, fetch_all
from filmstrip.weights.model import as_device, as_dtype

# What is read of the text encoder's repository, which is another pipeline's.
TEXTS = PipelineIndex(
    "",
    {
        "text_encoder": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "T5Tokenizer"),
    },
)
TEXT_FILES = tuple(f"{name}/*" for name in TEXTS.components)


def fetch_preset(preset: Preset, hub: HubOptions) -> tuple[Path, Path]:
    """The local folders of a preset's own files and of its text encoder, after downloading what is
    not cached.

    A revision is that of the preset's own repository. A CheckpointError names what cannot be had.
    """
    if preset.repo is None:
        return demo.path(), demo.path()
    others: HubOptions = {**hub, "revision": None}
    own, texts = fetch_all(
        [
            (Source(preset.repo, files=preset.files, **hub), lambda names: [*preset.files]),
            (
                Source(preset.text_encoder, files=TEXT_FILES, **others),
                lambda names: component_files(names, TEXTS),
            ),
        ]
    )
    return own, texts


def load_preset(
    preset: Preset,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    hub: HubOptions,
) -> LTXRecipePipeline:
    """The pipeline of a preset, with its recipe and the sizes that it is for.

    Weights are in bfloat16 by default, as the authors have them, and in float32 for the demo.
    """
    folder, texts = fetch_preset(preset, hub)
    if preset.repo is None:
        pipe = LTXRecipePipeline.from_pretrained(folder, dtype=dtype, device=device)
    else:
        options: dict[str, Any] = {
            "dtype": as_dtype(dtype) or torch.bfloat16,
            "device": as_device(device),
        }
        models: dict[str, Any] = load_components(texts, TEXTS, TEXTS.components, {}, **options)
        if preset.upscaler is not None:
            models["latent_upsampler"] = LTXLatentUpsamplerModel.from_single_file(
                folder / preset.upscaler, **options
            )
        pipe = LTXRecipePipeline.from_single_file(folder / preset.file, **options, **models)
    if preset.recipe is not None:
        pipe.recipe = preset.recipe
    pipe.default_shape = VideoShape(preset.height, preset.width, preset.frames, preset.fps)
    pipe.default_negative_prompt = preset.negative
    return pipe
