"""The families of models: the task and the pipelines of each, and its presets."""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from filmstrip.presets import ltx as ltx, svd as svd
from filmstrip.presets.base import ModelPreset

P = TypeVar("P", bound=ModelPreset)

RECIPE_PIPELINE = "LTXRecipePipeline"  # of presets, which follow the authors' recipes
CONDITION_PIPELINE = "LTXConditionPipeline"
UPSAMPLE_PIPELINE = "LTXLatentUpsamplePipeline"
UPSAMPLER = "latent_upsampler"  # the component of a folder that doubles width and height


@dataclass(frozen=True)
class Family(Generic[P]):
    """The models that one task takes."""

    task: str  # also the command of `filmstrip`
    pipeline: str  # class for folders and Hub ids that are no preset, importable from filmstrip
    folder_pipelines: tuple[str, ...]  # pipelines whose folders hold the same components
    presets: tuple[P, ...]
    defaults: P  # for folders and Hub ids that are no preset
    demo: str  # the argument of `demo.path` for the embedded model
    example: str  # a command with a model that is not embedded


LTX = Family(
    task="generate",
    pipeline="LTXPipeline",
    folder_pipelines=("LTXPipeline", "LTXImageToVideoPipeline", CONDITION_PIPELINE),
    presets=ltx.PRESETS,
    defaults=ltx.CALL_DEFAULTS,
    demo="ltx",
    example='filmstrip generate "..." --model ltx-2b-0.9.5 -o out.mp4',
)
# With pictures and clips, or from latents.
LTX_CONDITION = replace(LTX, pipeline=CONDITION_PIPELINE)
LTX_UPSAMPLE = replace(
    LTX,
    task="upscale",
    pipeline=UPSAMPLE_PIPELINE,
    folder_pipelines=(*LTX.folder_pipelines, UPSAMPLE_PIPELINE),
    example="filmstrip upscale clip.mp4 --model ltx-2b-0.9.8-distilled -o out.mp4",
)
# After the upsampler, a second pass by a prompt.
LTX_UPSAMPLE_AND_DENOISE = replace(LTX_CONDITION, task="upscale")
SVD = Family(
    task="animate",
    pipeline="StableVideoDiffusionPipeline",
    folder_pipelines=("StableVideoDiffusionPipeline",),
    presets=svd.PRESETS,
    defaults=svd.CALL_DEFAULTS,
    demo="svd",
    example="filmstrip animate picture.png --model svd-xt -o out.mp4",
)
FAMILIES: tuple[Family[ltx.LTXPreset] | Family[svd.SVDPreset], ...] = (LTX, SVD)
