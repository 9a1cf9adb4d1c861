"""The plan of `animate`: a video that starts from a picture, with Stable Video Diffusion."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import read_json
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.checkpoint import find_checkpoint
from filmstrip.jobs.families import SVD
from filmstrip.jobs.inputs import MediaFile, MediaInput, describe, read_picture
from filmstrip.jobs.job import Job
from filmstrip.jobs.plan_common import make_job
from filmstrip.jobs.request import AnimateRequest
from filmstrip.jobs.settings import override, seeds_from
from filmstrip.jobs.sizes import snap_size
from filmstrip.presets.svd import SVDPreset
from filmstrip.svd.limits import (
    BEST_SIZE_MULTIPLE,
    SIZE_MULTIPLE,
    scheduler_problems,
    untrained_settings,
)

SAME_ASPECT_RATIO = 1.1  # aspect ratios within this factor look the same
COMPONENT_CLASSES = {
    "unet": "UNetSpatioTemporalConditionModel",
    "vae": "AutoencoderKLTemporalDecoder",
}


def plan_animate(request: AnimateRequest) -> Job:
    """Plan an `AnimateRequest`; see `filmstrip.jobs.plan.plan`."""
    seeds = seeds_from(request.seed, request.count)
    checkpoint = find_checkpoint(request.model, SVD)
    folder = checkpoint.folder()
    trained_frames = _check_folder(folder)
    settings = _settings(request, replace(checkpoint.preset, frames=trained_frames))
    width = snap_size("width", settings.width, SIZE_MULTIPLE, request.snap)
    height = snap_size("height", settings.height, SIZE_MULTIPLE, request.snap)
    picture = _read_picture(request.image, width.value, height.value)
    call: dict[str, Any] = {
        "width": width.value,
        "height": height.value,
        "num_frames": settings.frames,
        "fps": settings.fps,
        "motion_bucket_id": settings.motion,
        "noise_aug_strength": settings.noise_aug,
        "num_inference_steps": settings.steps,
        "min_guidance_scale": settings.guidance_min,
        "max_guidance_scale": settings.guidance_max,
    }
    return make_job(
        request,
        checkpoint,
        folder,
        call=call,
        seeds=seeds,
        steps=settings.steps,
        adjustments=(
            *untrained_settings(settings.frames, trained_frames, settings.fps, settings.motion),
            *width.adjustments,
            *height.adjustments,
            *_better_size(width.value, height.value),
            *picture.adjustments,
        ),
        inputs=(MediaInput("image", picture.value),),
    )


def _settings(request: AnimateRequest, preset: SVDPreset) -> SVDPreset:
    settings = override(
        preset,
        width=request.width,
        height=request.height,
        frames=request.frames,
        fps=request.fps,
        motion=request.motion,
        noise_aug=request.noise_aug,
        steps=request.steps,
        guidance_min=request.guidance_min,
        guidance_max=request.guidance_max,
    )
    if settings.guidance_min > settings.guidance_max:
        raise InputError(
            f"--guidance-min {settings.guidance_min:g} is above --guidance-max "
            f"{settings.guidance_max:g}: guidance grows from the first frame to the last, so give "
            "the smaller number first."
        )
    return settings


def _check_folder(folder: Path) -> int:
    """Check from its configs alone that a model is one of Stable Video Diffusion.

    Returns:
        The number of frames that the model was trained for.
    """
    for component, expected in COMPONENT_CLASSES.items():
        class_name = read_json(folder / component / "config.json").get("_class_name", expected)
        if class_name != expected:
            raise CheckpointError(
                f"{folder / component} is for {class_name}, but Stable Video Diffusion needs "
                f"{expected}."
            )
    file = folder / "scheduler" / "scheduler_config.json"
    problems = scheduler_problems(read_json(file))
    if problems:
        raise CheckpointError(
            f"The model cannot work with the scheduler of {file}, and the frames would be noise: "
            f"its {' and its '.join(problems)}. Take the scheduler folder of a published Stable "
            "Video Diffusion model."
        )
    return int(read_json(folder / "unet" / "config.json").get("num_frames", SVD.defaults.frames))


def _better_size(width: int, height: int) -> tuple[str, ...]:
    """A sentence on sizes that the model can make, but not well."""
    if width % BEST_SIZE_MULTIPLE == 0 and height % BEST_SIZE_MULTIPLE == 0:
        return ()
    return (f"{width}x{height}: multiples of {BEST_SIZE_MULTIPLE} look better.",)


def _read_picture(source: str, width: int, height: int) -> Adjusted[MediaFile]:
    """Read the first frame of a video of this size."""
    picture = read_picture(source)
    file = describe(source, [picture.value], is_picture=True)
    stretch = (file.width / file.height) / (width / height)
    if max(stretch, 1 / stretch) <= SAME_ASPECT_RATIO:
        return Adjusted(file, picture.adjustments)
    sentence = (
        f"{source} is {file.width}x{file.height} and will be stretched to {width}x{height}: crop "
        "it first, or give --width and --height in its shape."
    )
    return Adjusted(file, (*picture.adjustments, sentence))
