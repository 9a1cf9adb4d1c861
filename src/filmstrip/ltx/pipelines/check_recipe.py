"""The passes of a recipe for a video shape, and checks that a checkpoint can sample them."""

from dataclasses import dataclass, replace
from math import ceil

from filmstrip.errors import InputError
from filmstrip.ltx.models.transformer_blocks import PERTURBATIONS
from filmstrip.ltx.pipelines.steppers import TOLERANCE
from filmstrip.ltx.recipes import Pass, Recipe
from filmstrip.ltx.schedules import CheckpointInfo
from filmstrip.ltx.video_shape import SIZE_MULTIPLE, VideoShape
from filmstrip.pipeline import checks
from filmstrip.pipeline.guiders import SpatioTemporalGuidance


@dataclass(frozen=True)
class ShapedPass:
    """A pass of a recipe, and the shape of its video."""

    settings: Pass
    shape: VideoShape


def shape_passes(recipe: Recipe, shape: VideoShape) -> tuple[ShapedPass, ...]:
    """The passes of a recipe; the video of the second has twice the size of the first."""
    if recipe.second is None:
        return (ShapedPass(recipe.first, shape),)
    height = int(shape.height * recipe.downscale) // SIZE_MULTIPLE * SIZE_MULTIPLE
    width = int(shape.width * recipe.downscale) // SIZE_MULTIPLE * SIZE_MULTIPLE
    return (
        ShapedPass(recipe.first, replace(shape, height=height, width=width)),
        ShapedPass(recipe.second, replace(shape, height=2 * height, width=2 * width)),
    )


def check_pass(
    shaped: ShapedPass, recipe: Recipe, info: CheckpointInfo, num_tokens: int, num_blocks: int
) -> None:
    """Refuse a pass that this checkpoint cannot sample.

    Args:
        shaped: the pass.
        recipe: the recipe that it is part of.
        info: of the checkpoint.
        num_tokens: of the pass.
        num_blocks: of the transformer.

    Raises:
        InputError: a size that is too small; timesteps, tone mapping or guidance that are not
            possible.
    """
    settings = shaped.settings
    if not shaped.shape.height or not shaped.shape.width:
        smallest = ceil(SIZE_MULTIPLE / recipe.downscale)
        raise InputError(
            f"A recipe of two passes makes videos of at least {smallest}x{smallest} pixels; give "
            "a larger size."
        )
    checks.check_fraction(settings.tone_map, "The tone mapping of a pass")
    timesteps = settings.schedule(info.sampling, num_tokens)
    if not timesteps:
        raise InputError(f"The recipe skips all of its {settings.steps} steps.")
    falls = timesteps == sorted(timesteps, reverse=True)
    if not falls or not 0 < timesteps[-1] <= timesteps[0] <= 1 + TOLERANCE:
        raise InputError(
            f"The timesteps of a pass are {timesteps}; they must fall, from 1 or less to above 0."
        )
    _check_allowed_timesteps(timesteps, info)
    _check_guidance(settings, timesteps, num_blocks)


def check_upsampler_stride(stride: tuple[int, int, int]) -> None:
    """Refuse a latent upsampler that a recipe of two passes cannot use."""
    if stride != (1, 2, 2):
        frames, rows, columns = stride
        raise InputError(
            f"The latent upsampler makes {frames} x the frames, {rows} x the rows and {columns} x "
            "the columns; a recipe of two passes needs 1 x, 2 x and 2 x."
        )


def _check_allowed_timesteps(timesteps: list[float], info: CheckpointInfo) -> None:
    if not info.allowed_timesteps:
        return
    unknown = {round(timestep, 4) for timestep in timesteps}.difference(info.allowed_timesteps)
    if unknown:
        raise InputError(
            f"This checkpoint is distilled to the timesteps {info.allowed_timesteps}; the recipe "
            f"asks for {sorted(unknown, reverse=True)} as well. Use the recipe of its preset."
        )


def _check_guidance(settings: Pass, timesteps: list[float], num_blocks: int) -> None:
    mode = settings.guidance.mode
    if mode not in PERTURBATIONS:
        raise InputError(f"The perturbation is {mode!r}; it is one of {', '.join(PERTURBATIONS)}.")
    blocks = set[int]()
    for timestep in timesteps:
        guider = SpatioTemporalGuidance(**settings.guidance.at(timestep))
        if "perturbed" in guider.branches:
            blocks.update(guider.blocks)
    absent = blocks.difference(range(num_blocks))
    if absent:
        raise InputError(
            f"The guidance perturbs the blocks {sorted(absent)}; the model has 0 to "
            f"{num_blocks - 1}."
        )
