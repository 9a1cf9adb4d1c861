"""filmstrip runs LTX-Video and Stable Video Diffusion.

The public names are those of diffusers; each is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from filmstrip.ltx.conditions import LTXVideoCondition as LTXVideoCondition
    from filmstrip.ltx.long import long_video as long_video
    from filmstrip.ltx.passes import GuidanceSchedule as GuidanceSchedule
    from filmstrip.ltx.passes import Pass as Pass
    from filmstrip.ltx.passes import Recipe as Recipe
    from filmstrip.ltx.pipeline import LTXConditionPipeline as LTXConditionPipeline
    from filmstrip.ltx.pipeline import LTXImageToVideoPipeline as LTXImageToVideoPipeline
    from filmstrip.ltx.pipeline import LTXPipeline as LTXPipeline
    from filmstrip.ltx.recipe import LTXRecipePipeline as LTXRecipePipeline
    from filmstrip.ltx.transformer import LTXVideoTransformer3DModel as LTXVideoTransformer3DModel
    from filmstrip.ltx.upsampler import LTXLatentUpsamplePipeline as LTXLatentUpsamplePipeline
    from filmstrip.ltx.upsampler import LTXLatentUpsamplerModel as LTXLatentUpsamplerModel
    from filmstrip.ltx.vae import AutoencoderKLLTXVideo as AutoencoderKLLTXVideo
    from filmstrip.media.export import export_to_gif as export_to_gif
    from filmstrip.media.export import export_to_video as export_to_video
    from filmstrip.media.load import load_image as load_image
    from filmstrip.media.load import load_video as load_video
    from filmstrip.media.processors import VaeImageProcessor as VaeImageProcessor
    from filmstrip.media.processors import VideoProcessor as VideoProcessor
    from filmstrip.outputs import LTXPipelineOutput as LTXPipelineOutput
    from filmstrip.outputs import StableVideoDiffusionPipelineOutput as StableVideoDiffusionPipelineOutput
    from filmstrip.pipeline.base import DiffusionPipeline as DiffusionPipeline
    from filmstrip.pipeline.callbacks import MultiPipelineCallbacks as MultiPipelineCallbacks
    from filmstrip.pipeline.callbacks import PipelineCallback as PipelineCallback
    from filmstrip.pipeline.callbacks import SDCFGCutoffCallback as SDCFGCutoffCallback
    from filmstrip.presets import load as load
    from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler as EulerDiscreteScheduler
    from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler as FlowMatchEulerDiscreteScheduler
    from filmstrip.svd.pipeline import StableVideoDiffusionPipeline as StableVideoDiffusionPipeline
    from filmstrip.svd.unet import UNetSpatioTemporalConditionModel as UNetSpatioTemporalConditionModel
    from filmstrip.svd.vae import AutoencoderKLTemporalDecoder as AutoencoderKLTemporalDecoder

# The names in each module.
_NAMES = {
    "ltx.conditions": "LTXVideoCondition",
    "ltx.long": "long_video",
    "ltx.passes": "GuidanceSchedule Pass Recipe",
    "ltx.pipeline": "LTXConditionPipeline LTXImageToVideoPipeline LTXPipeline",
    "ltx.recipe": "LTXRecipePipeline",
    "ltx.transformer": "LTXVideoTransformer3DModel",
    "ltx.upsampler": "LTXLatentUpsamplePipeline LTXLatentUpsamplerModel",
    "ltx.vae": "AutoencoderKLLTXVideo",
    "media.export": "export_to_gif export_to_video",
    "media.load": "load_image load_video",
    "media.processors": "VaeImageProcessor VideoProcessor",
    "outputs": "LTXPipelineOutput StableVideoDiffusionPipelineOutput",
    "pipeline.base": "DiffusionPipeline",
    "pipeline.callbacks": "MultiPipelineCallbacks PipelineCallback SDCFGCutoffCallback",
    "presets": "load",
    "schedulers.euler_discrete": "EulerDiscreteScheduler",
    "schedulers.flow_match_euler": "FlowMatchEulerDiscreteScheduler",
    "svd.pipeline": "StableVideoDiffusionPipeline",
    "svd.unet": "UNetSpatioTemporalConditionModel",
    "svd.vae": "AutoencoderKLTemporalDecoder",
}
_PLACES = {name: f"filmstrip.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'filmstrip' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
