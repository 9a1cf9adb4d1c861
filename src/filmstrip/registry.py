"""The one table of public names, and of the classes and files that a checkpoint may name.

`filmstrip` itself, `DiffusionPipeline.from_pretrained`, the loader of pipeline folders and that of
single files all read it. A class or function is imported when it is first used.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filmstrip.weights.tensor_source import OriginalCheckpoint

DIFFUSERS_STEM = "diffusion_pytorch_model"  # of the weight files of diffusers' models
TRANSFORMERS_STEM = "model"  # of the weight files of transformers' models

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
    "presets.load": ("load",),
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

# The function that reads a model class from a single file in its authors' layout, as "module:name".
ORIGINAL_LAYOUT_READERS: Mapping[str, str] = MappingProxyType(
    {
        "AutoencoderKLLTXVideo": "filmstrip.ltx.layouts:read_vae",
        "LTXLatentUpsamplerModel": "filmstrip.ltx.layouts:read_upsampler",
        "LTXVideoTransformer3DModel": "filmstrip.ltx.layouts:read_transformer",
    }
)


def public(name: str) -> Any:
    """Import and return the class or function with this public name."""
    return getattr(importlib.import_module(PUBLIC_NAMES[name]), name)


def original_layout_reader(
    model_class: type,
) -> "Callable[[Path], OriginalCheckpoint] | None":
    """The function that reads a model class from a file in its authors' layout, or None.

    For a subclass it is the function of its base class.
    """
    for base in model_class.__mro__:
        if base.__name__ in ORIGINAL_LAYOUT_READERS:
            module, _, function = ORIGINAL_LAYOUT_READERS[base.__name__].partition(":")
            return getattr(importlib.import_module(module), function)
    return None


@dataclass(frozen=True)
class ComponentClass:
    """A class that a `model_index.json` may name."""

    module: str
    name: str  # in that module
    stem: str | None = None  # of its weight files; None: it has no weights

    def load(self) -> Any:
        """Import and return the class."""
        return getattr(importlib.import_module(self.module), self.name)


def _filmstrip_class(name: str, stem: str | None = None) -> ComponentClass:
    return ComponentClass(PUBLIC_NAMES[name], name, stem)


def _transformers_class(name: str, stem: str | None = None) -> ComponentClass:
    return ComponentClass("transformers", name, stem)


# By library and class, as a `model_index.json` has them.
COMPONENT_CLASSES: Mapping[tuple[str, str], ComponentClass] = MappingProxyType(
    {
        ("diffusers", "AutoencoderKLLTXVideo"): _filmstrip_class(
            "AutoencoderKLLTXVideo", DIFFUSERS_STEM
        ),
        ("diffusers", "AutoencoderKLTemporalDecoder"): _filmstrip_class(
            "AutoencoderKLTemporalDecoder", DIFFUSERS_STEM
        ),
        ("diffusers", "LTXVideoTransformer3DModel"): _filmstrip_class(
            "LTXVideoTransformer3DModel", DIFFUSERS_STEM
        ),
        ("diffusers", "EulerDiscreteScheduler"): _filmstrip_class("EulerDiscreteScheduler"),
        ("diffusers", "FlowMatchEulerDiscreteScheduler"): _filmstrip_class(
            "FlowMatchEulerDiscreteScheduler"
        ),
        ("diffusers", "UNetSpatioTemporalConditionModel"): _filmstrip_class(
            "UNetSpatioTemporalConditionModel", DIFFUSERS_STEM
        ),
        ("ltx", "LTXLatentUpsamplerModel"): _filmstrip_class(
            "LTXLatentUpsamplerModel", DIFFUSERS_STEM
        ),
        ("transformers", "CLIPImageProcessor"): _transformers_class("CLIPImageProcessor"),
        ("transformers", "CLIPImageProcessorPil"): _transformers_class("CLIPImageProcessor"),
        ("transformers", "CLIPVisionModelWithProjection"): _transformers_class(
            "CLIPVisionModelWithProjection", TRANSFORMERS_STEM
        ),
        ("transformers", "PreTrainedTokenizerFast"): _transformers_class("PreTrainedTokenizerFast"),
        ("transformers", "T5EncoderModel"): _transformers_class(
            "T5EncoderModel", TRANSFORMERS_STEM
        ),
        ("transformers", "T5Tokenizer"): _transformers_class("T5Tokenizer"),
        ("transformers", "T5TokenizerFast"): _transformers_class("T5TokenizerFast"),
        ("transformers", "TokenizersBackend"): _transformers_class("PreTrainedTokenizerFast"),
    }
)

# Names of classes in transformers 5, and their names in older versions, which both accept.
OLDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "CLIPImageProcessorPil": "CLIPImageProcessor",
        "T5Tokenizer": "T5TokenizerFast",
        "TokenizersBackend": "PreTrainedTokenizerFast",
    }
)
