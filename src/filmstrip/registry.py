"""The one table of public names, and of the classes that a checkpoint may name.

`filmstrip` itself, `DiffusionPipeline.from_pretrained` and the loader of pipeline folders all read
it. A class is imported when it is first used.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

DIFFUSERS_STEM = "diffusion_pytorch_model"  # of the weight files of diffusers' models
TRANSFORMERS_STEM = "model"  # of those of transformers' models

# The modules of the package, and the public names in each.
_NAMES_BY_MODULE: Mapping[str, tuple[str, ...]] = {
    "ltx.models.autoencoder": ("AutoencoderKLLTXVideo",),
    "ltx.models.latent_upsampler": ("LTXLatentUpsamplerModel",),
    "ltx.models.transformer": ("LTXVideoTransformer3DModel",),
    "ltx.pipelines.conditions": ("LTXVideoCondition",),
    "ltx.pipelines.drop_in": ("LTXConditionPipeline", "LTXImageToVideoPipeline", "LTXPipeline"),
    "ltx.pipelines.latent_upsample": ("LTXLatentUpsamplePipeline",),
    "ltx.pipelines.long_video": ("long_video",),
    "ltx.pipelines.recipe": ("LTXRecipePipeline",),
    "ltx.recipes": ("GuidanceSchedule", "Pass", "Recipe"),
    "media.export": ("export_to_gif", "export_to_video"),
    "media.load": ("load_image", "load_video"),
    "media.processors": ("VaeImageProcessor", "VideoProcessor"),
    "outputs": ("LTXPipelineOutput", "StableVideoDiffusionPipelineOutput"),
    "pipeline.base": ("DiffusionPipeline",),
    "pipeline.callbacks": ("MultiPipelineCallbacks", "PipelineCallback", "SDCFGCutoffCallback"),
    "presets": ("load",),
    "schedulers.euler_discrete": ("EulerDiscreteScheduler",),
    "schedulers.flow_match_euler": ("FlowMatchEulerDiscreteScheduler",),
    "svd.models.autoencoder": ("AutoencoderKLTemporalDecoder",),
    "svd.models.unet": ("UNetSpatioTemporalConditionModel",),
    "svd.pipelines.image_to_video": ("StableVideoDiffusionPipeline",),
}
PUBLIC_NAMES: Mapping[str, str] = MappingProxyType(
    {
        name: f"filmstrip.{module}"
        for module, names in sorted(_NAMES_BY_MODULE.items())
        for name in names
    }
)

# The pipelines that a `model_index.json` may name.
PIPELINES = (
    "LTXConditionPipeline",
    "LTXImageToVideoPipeline",
    "LTXLatentUpsamplePipeline",
    "LTXPipeline",
    "StableVideoDiffusionPipeline",
)


def public(name: str) -> Any:
    """The object with this public name, imported now if need be."""
    return getattr(importlib.import_module(PUBLIC_NAMES[name]), name)


@dataclass(frozen=True)
class ComponentClass:
    """A class that a `model_index.json` may name."""

    module: str
    name: str  # in that module
    stem: str | None = None  # of its weight files; None: it has no weights

    def load(self) -> Any:
        """The class itself."""
        return getattr(importlib.import_module(self.module), self.name)


def _ours(name: str, stem: str | None = None) -> ComponentClass:
    return ComponentClass(PUBLIC_NAMES[name], name, stem)


def _theirs(name: str, stem: str | None = None) -> ComponentClass:
    return ComponentClass("transformers", name, stem)


# By library and class, as a `model_index.json` has them.
COMPONENT_CLASSES: Mapping[tuple[str, str], ComponentClass] = MappingProxyType(
    {
        ("diffusers", "AutoencoderKLLTXVideo"): _ours("AutoencoderKLLTXVideo", DIFFUSERS_STEM),
        ("diffusers", "AutoencoderKLTemporalDecoder"): _ours(
            "AutoencoderKLTemporalDecoder", DIFFUSERS_STEM
        ),
        ("diffusers", "LTXVideoTransformer3DModel"): _ours(
            "LTXVideoTransformer3DModel", DIFFUSERS_STEM
        ),
        ("diffusers", "EulerDiscreteScheduler"): _ours("EulerDiscreteScheduler"),
        ("diffusers", "FlowMatchEulerDiscreteScheduler"): _ours("FlowMatchEulerDiscreteScheduler"),
        ("diffusers", "UNetSpatioTemporalConditionModel"): _ours(
            "UNetSpatioTemporalConditionModel", DIFFUSERS_STEM
        ),
        ("ltx", "LTXLatentUpsamplerModel"): _ours("LTXLatentUpsamplerModel", DIFFUSERS_STEM),
        ("transformers", "CLIPImageProcessor"): _theirs("CLIPImageProcessor"),
        ("transformers", "CLIPImageProcessorPil"): _theirs("CLIPImageProcessor"),
        ("transformers", "CLIPVisionModelWithProjection"): _theirs(
            "CLIPVisionModelWithProjection", TRANSFORMERS_STEM
        ),
        ("transformers", "PreTrainedTokenizerFast"): _theirs("PreTrainedTokenizerFast"),
        ("transformers", "T5EncoderModel"): _theirs("T5EncoderModel", TRANSFORMERS_STEM),
        ("transformers", "T5Tokenizer"): _theirs("T5Tokenizer"),
        ("transformers", "T5TokenizerFast"): _theirs("T5TokenizerFast"),
        ("transformers", "TokenizersBackend"): _theirs("PreTrainedTokenizerFast"),
    }
)

# What transformers 5 calls some classes, and the names by which older versions know them too.
OLDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "CLIPImageProcessorPil": "CLIPImageProcessor",
        "T5Tokenizer": "T5TokenizerFast",
        "TokenizersBackend": "PreTrainedTokenizerFast",
    }
)
