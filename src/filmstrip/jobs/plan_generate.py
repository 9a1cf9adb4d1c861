"""The plan of `generate`: a video from a prompt, pictures and clips, with LTX-Video."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filmstrip.errors import InputError
from filmstrip.files import read_json
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.checkpoint import Checkpoint, check_upsampler, find_checkpoint
from filmstrip.jobs.conditions import LoadedCondition, Timeline, place_conditions, read_conditions
from filmstrip.jobs.families import LTX, LTX_CONDITION
from filmstrip.jobs.job import SECOND_PASS_STRENGTH, Job
from filmstrip.jobs.plan_common import make_job
from filmstrip.jobs.request import GenerateRequest
from filmstrip.jobs.settings import override, seeds_from
from filmstrip.jobs.sizes import odd_size, snap_frames, snap_size
from filmstrip.jobs.windows import Windows, last_frame, plan_long_video
from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.size_grid import PUBLISHED_GRID, SizeGrid, size_grid
from filmstrip.presets.ltx import LTXPreset


def plan_generate(request: GenerateRequest) -> Job:
    """Plan a `GenerateRequest`; see `filmstrip.jobs.plan.plan`."""
    _check_request(request)
    conditions = read_conditions(request)
    family = LTX_CONDITION if conditions.value or request.upscale else LTX
    checkpoint = find_checkpoint(request.model, family)
    if request.upscale:
        check_upsampler(checkpoint)
    folder = checkpoint.folder()
    is_long = bool(request.prompts_at) or request.window is not None
    if is_long and checkpoint.recipe is None:
        raise InputError("--prompt-at and --window need a preset: `filmstrip models` lists them.")
    settings = _settings(request, checkpoint.preset, conditions.value)
    grid = _model_grid(checkpoint, folder)
    call = _call(request, settings, _request_grid(request, checkpoint, grid))
    num_frames: int = call.value["num_frames"]
    windows: Adjusted[Windows | None] = Adjusted(None)
    if is_long:
        windows = _windows(request, checkpoint.preset, num_frames, settings.fps, grid.frame_stride)
    timeline = Timeline(
        num_frames=num_frames,
        window=num_frames if windows.value is None else windows.value.window,
        stride=grid.frame_stride,
        snap=request.snap,
    )
    inputs = place_conditions(conditions.value, timeline)
    sampling = _sampling(settings)
    recipe = (checkpoint.recipe or Recipe()).adjusted(**sampling)
    has_recipe = checkpoint.recipe is not None
    seed = checkpoint.preset.seed if request.seed is None else request.seed
    return make_job(
        request,
        checkpoint,
        folder,
        call=call.value if has_recipe else {**call.value, **sampling},
        seeds=seeds_from(seed, request.count),
        steps=_num_steps(request, checkpoint, recipe, windows.value),
        adjustments=(
            *conditions.adjustments,
            *call.adjustments,
            *windows.adjustments,
            *inputs.adjustments,
            *_unused_negative(request, recipe),
            *_odd_size(request, checkpoint, call.value),
        ),
        inputs=inputs.value,
        windows=windows.value,
        recipe_changes=sampling if has_recipe else {},
        upscale=request.upscale,
    )


def _check_request(request: GenerateRequest) -> None:
    if not request.prompt.strip():
        raise InputError("The prompt is empty: say what the video should show.")
    if request.frames is not None and request.seconds is not None:
        raise InputError(
            f"--frames {request.frames} and --seconds {request.seconds:g} both set the length: "
            "give one of them."
        )


def _settings(
    request: GenerateRequest, preset: LTXPreset, conditions: Sequence[LoadedCondition]
) -> LTXPreset:
    """The preset with the settings of the request."""
    fps = request.fps
    if fps is None:
        extended = [condition for condition in conditions if condition.is_extended]
        fps = extended[0].frame_rate if extended else None
    settings = override(
        preset,
        width=request.width,
        height=request.height,
        frames=request.frames,
        fps=fps,
        steps=request.steps,
        guidance=request.guidance,
        negative=request.negative,
    )
    if request.frames is None:  # the preset's length, counted from the last prompt
        last_prompt = last_frame(request.prompts_at, settings.fps)
        settings = replace(settings, frames=settings.frames + last_prompt)
    return settings


def _model_grid(checkpoint: Checkpoint[LTXPreset], folder: Path) -> SizeGrid:
    """The sizes and lengths that the model can make."""
    if checkpoint.preset.file:
        return PUBLISHED_GRID
    vae = read_json(folder / "vae" / "config.json")
    transformer = read_json(folder / "transformer" / "config.json")
    return size_grid(vae, transformer)


def _request_grid(
    request: GenerateRequest, checkpoint: Checkpoint[LTXPreset], grid: SizeGrid
) -> SizeGrid:
    """The sizes and lengths that a request may have.

    With a recipe, all: the pipeline rounds up and crops. But a video that leads up to a clip must
    end on the model's grid.
    """
    if checkpoint.recipe is None:
        return grid
    return SizeGrid(size_multiple=1, frame_stride=grid.frame_stride if request.extend_before else 1)


def _call(
    request: GenerateRequest, settings: LTXPreset, grid: SizeGrid
) -> Adjusted[dict[str, Any]]:
    """The arguments that every pipeline of LTX takes."""
    width = snap_size("width", settings.width, grid.size_multiple, request.snap)
    height = snap_size("height", settings.height, grid.size_multiple, request.snap)
    num_frames = snap_frames(
        settings.frames, request.seconds, settings.fps, grid.frame_stride, request.snap
    )
    call = {
        "prompt": request.prompt,
        "negative_prompt": settings.negative,
        "width": width.value,
        "height": height.value,
        "num_frames": num_frames.value,
        "frame_rate": settings.fps,
    }
    return Adjusted(call, (*width.adjustments, *height.adjustments, *num_frames.adjustments))


def _windows(
    request: GenerateRequest, preset: LTXPreset, num_frames: int, fps: float, stride: int
) -> Adjusted[Windows | None]:
    """The windows of a long video; their length is by default that of the preset."""
    windows = plan_long_video(
        request.prompt,
        request.prompts_at,
        num_frames,
        fps,
        window=preset.frames if request.window is None else request.window,
        stride=stride,
        snap_window=request.snap,
    )
    return Adjusted(windows.value, windows.adjustments)


def _sampling(settings: LTXPreset) -> dict[str, Any]:
    """Steps and guidance that are set, as arguments of a pipeline or of `Recipe.adjusted`."""
    sampling: dict[str, Any] = {}
    if settings.steps is not None:
        sampling["num_inference_steps"] = settings.steps
    if settings.guidance is not None:
        sampling["guidance_scale"] = settings.guidance
    return sampling


def _num_steps(
    request: GenerateRequest,
    checkpoint: Checkpoint[LTXPreset],
    recipe: Recipe,
    windows: Windows | None,
) -> int:
    """The steps of one video, in all passes of all windows."""
    if checkpoint.recipe is None:
        first = recipe.first.count
        second = int(first * SECOND_PASS_STRENGTH) if request.upscale else 0
        return first + second
    steps = sum(pass_.count for pass_ in recipe.adjusted(upscale=request.upscale).passes)
    return steps if windows is None else steps * windows.num_windows


def _unused_negative(request: GenerateRequest, recipe: Recipe) -> tuple[str, ...]:
    if not request.negative or recipe.largest_scale > 1:
        return ()
    return (f"--negative has no effect: guidance is off ({recipe.largest_scale:g}).",)


def _odd_size(
    request: GenerateRequest, checkpoint: Checkpoint[LTXPreset], call: dict[str, Any]
) -> tuple[str, ...]:
    """A sentence about an odd width or height, which only a recipe can make."""
    if checkpoint.recipe is None:
        return ()
    scale = 2 if request.upscale else 1
    return odd_size(call["width"] * scale, call["height"] * scale, request.output, request.snap)
