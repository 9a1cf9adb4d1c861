"""`filmstrip animate`: a picture to a video with SVD."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, conditions, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import SVD
from filmstrip.cli.run import carry_out
from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import read_json
from filmstrip.svd.limits import (
    BEST_SIZE_MULTIPLE,
    SIZE_MULTIPLE,
    scheduler_problems,
    untrained_settings,
)

SAME_SHAPE = 1.1  # ratios of sides that differ by less look the same
MODELS = {"unet": "UNetSpatioTemporalConditionModel", "vae": "AutoencoderKLTemporalDecoder"}


def animate(
    image: Annotated[
        str,
        typer.Argument(
            help="The picture that the video starts from: a file or a URL.", show_default=False
        ),
    ],
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DType = "auto",
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    fps: options.Fps = None,
    snap: options.Snap = True,
    motion: options.Motion = None,
    noise_aug: options.NoiseAug = None,
    steps: options.Steps = None,
    guidance_min: options.GuidanceMin = None,
    guidance_max: options.GuidanceMax = None,
    seed: options.Seed = None,
    count: options.Count = 1,
    output: options.Output = None,
    recipe: options.Recipe = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video that starts from the picture IMAGE."""
    display = open_display(quiet=as_json)
    notes: list[str] = []
    with display.checking():
        seeds = plan.seeds(seed, count)
        chosen = checkpoint.find(model, SVD)
        folder = chosen.folder()
        trained_frames = _check_models(folder)
        want = plan.settings(
            replace(chosen.preset, frames=trained_frames),
            width=width,
            height=height,
            frames=frames,
            fps=fps,
            motion=motion,
            noise_aug=noise_aug,
            steps=steps,
            guidance_min=guidance_min,
            guidance_max=guidance_max,
        )
        if want.guidance_min > want.guidance_max:
            raise InputError(
                f"--guidance-min {want.guidance_min:g} is above --guidance-max "
                f"{want.guidance_max:g}: guidance grows "
                "from the first frame to the last, so give the smaller number first."
            )
        notes += untrained_settings(want.frames, trained_frames, want.fps, want.motion)
        call: dict[str, Any] = {
            "image": image,
            "width": plan.side("width", want.width, SIZE_MULTIPLE, snap, notes),
            "height": plan.side("height", want.height, SIZE_MULTIPLE, snap, notes),
            "num_frames": want.frames,
            "fps": want.fps,
            "motion_bucket_id": want.motion,
            "noise_aug_strength": want.noise_aug,
            "num_inference_steps": want.steps,
            "min_guidance_scale": want.guidance_min,
            "max_guidance_scale": want.guidance_max,
        }
        if call["width"] % BEST_SIZE_MULTIPLE or call["height"] % BEST_SIZE_MULTIPLE:
            notes.append(
                f"{call['width']}x{call['height']}: sides that are multiples of "
                f"{BEST_SIZE_MULTIPLE} look better."
            )
        picture = conditions.picture(image, notes)
        stretch = (picture.width / picture.height) / (call["width"] / call["height"])
        if max(stretch, 1 / stretch) > SAME_SHAPE:
            done = (
                f"is {picture.width}x{picture.height} and will be stretched to "
                f"{call['width']}x{call['height']}"
            )
            notes.append(
                f"{image} {done}: crop it first, or give --width and --height in its shape."
            )
        decided = plan.decide(
            *(chosen, folder, call, notes),
            steps=want.steps,
            seeds=seeds,
            asked=(device, dtype),
            output=output,
            recipe=recipe,
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run, given={"image": picture})


def _check_models(folder: Path) -> int:
    """Refuse what SVD cannot work with, from the configs alone; returns the number of frames it was
    trained for.
    """
    for name, wanted in MODELS.items():
        kind = read_json(folder / name / "config.json").get("_class_name", wanted)
        if kind != wanted:
            raise CheckpointError(
                f"{folder / name} is for {kind}, but Stable Video Diffusion needs {wanted}."
            )
    file = folder / "scheduler" / "scheduler_config.json"
    if wrong := scheduler_problems(read_json(file)):
        raise CheckpointError(
            f"The model cannot work with the scheduler of {file}, and the frames would be noise: "
            "its "
            f"{' and its '.join(wrong)}. Take the scheduler folder of a published Stable Video "
            "Diffusion model."
        )
    return int(read_json(folder / "unet" / "config.json").get("num_frames", SVD.defaults.frames))
