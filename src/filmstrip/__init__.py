"""filmstrip runs LTX-Video and Stable Video Diffusion.

The public names are those of diffusers; each is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from filmstrip.registry import PUBLIC_NAMES, public
from filmstrip.version import __version__

if TYPE_CHECKING:
    from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo as AutoencoderKLLTXVideo
    from filmstrip.ltx.models.latent_upsampler import (
        LTXLatentUpsamplerModel as LTXLatentUpsamplerModel,
    )
    from filmstrip.ltx.models.transformer import (
        LTXVideoTransformer3DModel as LTXVideoTransformer3DModel,
    )
    from filmstrip.ltx.pipelines.conditions import LTXVideoCondition as LTXVideoCondition
    from filmstrip.ltx.pipelines.drop_in import (
        LTXConditionPipeline as LTXConditionPipeline,
        LTXImageToVideoPipeline as LTXImageToVideoPipeline,
        LTXPipeline as LTXPipeline,
    )
    from filmstrip.ltx.pipelines.latent_upsample import (
        LTXLatentUpsamplePipeline as LTXLatentUpsamplePipeline,
    )
    from filmstrip.ltx.pipelines.long_video import long_video as long_video
    from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline as LTXRecipePipeline
    from filmstrip.ltx.recipes import (
        GuidanceSchedule as GuidanceSchedule,
        Pass as Pass,
        Recipe as Recipe,
    )
    from filmstrip.media.export import (
        export_to_gif as export_to_gif,
        export_to_video as export_to_video,
    )
    from filmstrip.media.load import load_image as load_image, load_video as load_video
    from filmstrip.media.processors import (
        VaeImageProcessor as VaeImageProcessor,
        VideoProcessor as VideoProcessor,
    )
    from filmstrip.outputs import (
        LTXPipelineOutput as LTXPipelineOutput,
        StableVideoDiffusionPipelineOutput as StableVideoDiffusionPipelineOutput,
    )
    from filmstrip.pipeline.base import DiffusionPipeline as DiffusionPipeline
    from filmstrip.pipeline.callbacks import (
        MultiPipelineCallbacks as MultiPipelineCallbacks,
        PipelineCallback as PipelineCallback,
        SDCFGCutoffCallback as SDCFGCutoffCallback,
    )
    from filmstrip.presets.load import load as load
    from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler as EulerDiscreteScheduler
    from filmstrip.schedulers.flow_match_euler import (
        FlowMatchEulerDiscreteScheduler as FlowMatchEulerDiscreteScheduler,
    )
    from filmstrip.svd.models.autoencoder import (
        AutoencoderKLTemporalDecoder as AutoencoderKLTemporalDecoder,
    )
    from filmstrip.svd.models.unet import (
        UNetSpatioTemporalConditionModel as UNetSpatioTemporalConditionModel,
    )
    from filmstrip.svd.pipelines.image_to_video import (
        StableVideoDiffusionPipeline as StableVideoDiffusionPipeline,
    )

__all__ = ["__version__", *PUBLIC_NAMES]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC_NAMES:
        raise AttributeError(f"module 'filmstrip' has no attribute {name!r}")
    return public(name)


def __dir__() -> list[str]:
    return sorted(__all__)
