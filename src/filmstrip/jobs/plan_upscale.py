"""The plan of `upscale`: a video of twice the size of a clip, with LTX-Video."""

from dataclasses import replace
from typing import Any

from filmstrip.files import read_json
from filmstrip.jobs.checkpoint import check_upsampler, find_checkpoint
from filmstrip.jobs.families import LTX_UPSAMPLE, LTX_UPSAMPLE_AND_DENOISE
from filmstrip.jobs.inputs import MediaInput, describe
from filmstrip.jobs.job import SECOND_PASS_STRENGTH, Job
from filmstrip.jobs.plan_common import make_job
from filmstrip.jobs.request import UpscaleRequest
from filmstrip.jobs.settings import override, seeds_from
from filmstrip.jobs.sizes import cut_clip, snap_size
from filmstrip.ltx.size_grid import PUBLISHED_GRID, size_grid
from filmstrip.presets.ltx import LTXPreset


def plan_upscale(request: UpscaleRequest) -> Job:
    """Plan an `UpscaleRequest`; see `filmstrip.jobs.plan.plan`."""
    from filmstrip.media.load import read_video

    family = LTX_UPSAMPLE if request.prompt is None else LTX_UPSAMPLE_AND_DENOISE
    checkpoint = find_checkpoint(request.model, family)
    check_upsampler(checkpoint)
    folder = checkpoint.folder()
    preset = checkpoint.preset
    frames, frame_rate = read_video(request.video)
    clip = describe(request.video, frames, is_picture=False)
    settings = override(
        replace(preset, width=clip.width, height=clip.height, frames=len(frames)),
        width=request.width,
        height=request.height,
        frames=request.frames,
        fps=frame_rate if request.fps is None else request.fps,
    )
    grid = PUBLISHED_GRID
    if not preset.file:
        grid = size_grid(read_json(folder / "vae" / "config.json"), {})
    width = snap_size("width", settings.width, grid.size_multiple, request.snap)
    height = snap_size("height", settings.height, grid.size_multiple, request.snap)
    num_frames = cut_clip(
        request.video, len(frames), settings.frames, grid.frame_stride, request.snap
    )
    call: dict[str, Any] = {
        "width": width.value,
        "height": height.value,
        "num_frames": num_frames.value,
        "frame_rate": settings.fps,
    }
    steps = 0
    if request.prompt is not None:
        call |= _second_pass(request.prompt, preset)
        steps = _second_pass_steps(preset)
    return make_job(
        request,
        checkpoint,
        folder,
        call=call,
        seeds=seeds_from(preset.seed if request.seed is None else request.seed, 1),
        steps=steps,
        adjustments=(*width.adjustments, *height.adjustments, *num_frames.adjustments),
        inputs=(MediaInput("video", clip, stop=num_frames.value),),
        upscale=True,
    )


def _second_pass(prompt: str, preset: LTXPreset) -> dict[str, Any]:
    """The prompt and the sampling arguments of the second pass."""
    call: dict[str, Any] = {"prompt": prompt, "negative_prompt": preset.negative}
    if preset.recipe is None:
        call["num_inference_steps"] = preset.steps
        call["guidance_scale"] = preset.guidance
    return call


def _second_pass_steps(preset: LTXPreset) -> int:
    if preset.recipe is None:
        return int((preset.steps or 0) * SECOND_PASS_STRENGTH)
    return preset.recipe.adjusted(upscale=True).passes[-1].count
