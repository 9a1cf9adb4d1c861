"""The two families of models: which command makes videos with them, and the table of those that are
known.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from filmstrip.presets import ltx as ltx, svd as svd
from filmstrip.presets.base import KnownModel

P = TypeVar("P", bound=KnownModel)


@dataclass(frozen=True)
class Family(Generic[P]):
    """Models that one command makes videos with."""

    command: str
    pipeline: (
        str  # class name, importable from filmstrip, for folders and Hub ids that are no preset
    )
    folders: tuple[str, ...]  # pipelines whose folders hold the same components
    presets: tuple[P, ...]
    defaults: P  # for folders and Hub ids that are no preset
    embedded: str  # what the demo package calls the model that ships with filmstrip
    example: str  # a command with a model that does not


LTX = Family(
    command="generate",
    pipeline="LTXPipeline",
    folders=("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"),
    presets=ltx.PRESETS,
    defaults=ltx.CALL_DEFAULTS,
    embedded="ltx",
    example='filmstrip generate "..." --model ltx-2b-0.9.5 -o out.mp4',
)
CONDITIONED = replace(
    LTX, pipeline="LTXConditionPipeline"
)  # with pictures and clips, or from latents
UPSCALE = replace(
    LTX,
    command="upscale",
    pipeline="LTXLatentUpsamplePipeline",
    folders=(*LTX.folders, "LTXLatentUpsamplePipeline"),
    example="filmstrip upscale clip.mp4 --model ltx-2b-0.9.8-distilled -o out.mp4",
)
UPSAMPLER = "latent_upsampler"  # what folders call the component that makes videos larger
RECIPE_PIPELINE = "LTXRecipePipeline"  # of presets that follow the authors
SVD = Family(
    command="animate",
    pipeline="StableVideoDiffusionPipeline",
    folders=("StableVideoDiffusionPipeline",),
    presets=svd.PRESETS,
    defaults=svd.CALL_DEFAULTS,
    embedded="svd",
    example="filmstrip animate picture.png --model svd-xt -o out.mp4",
)
FAMILIES: tuple[Family[ltx.Preset] | Family[svd.Preset], ...] = (LTX, SVD)
