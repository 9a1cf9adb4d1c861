"""`filmstrip animate`: a picture to a video with SVD."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import SVD
from filmstrip.cli.run import carry_out
from filmstrip.errors import CheckpointError, InputError
from filmstrip.svd.presets import FPS, GOOD_MULTIPLE, MOTION, SIZE_MULTIPLE, unusable
from filmstrip.weights.files import read_json

if TYPE_CHECKING:
    from PIL.Image import Image

MODELS = {"unet": "UNetSpatioTemporalConditionModel", "vae": "AutoencoderKLTemporalDecoder"}
SAME_SHAPE = 1.1  # ratios of sides that differ by less look the same


def animate(
    image: Annotated[
        str, typer.Argument(help="The picture that the video starts from: a file or a URL.", show_default=False)
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
        preset, folder = chosen.preset, chosen.folder()
        chosen.check_family(folder)
        trained_frames = _check_models(folder)
        call: dict[str, Any] = {
            "image": image,
            "width": plan.side("width", plan.given(width, preset.width), SIZE_MULTIPLE, snap, notes),
            "height": plan.side("height", plan.given(height, preset.height), SIZE_MULTIPLE, snap, notes),
            "num_frames": int(plan.positive("frames", plan.given(frames, trained_frames))),
            "fps": _fps(plan.rate(plan.given(fps, preset.fps)), notes),
            "motion_bucket_id": plan.within("motion", plan.given(motion, preset.motion), MOTION),
            "noise_aug_strength": plan.at_least_zero("noise-aug", plan.given(noise_aug, preset.noise_aug)),
            "num_inference_steps": int(plan.positive("steps", plan.given(steps, preset.steps))),
            "min_guidance_scale": plan.given(guidance_min, preset.guidance_min),
            "max_guidance_scale": plan.given(guidance_max, preset.guidance_max),
        }
        _check_guidance(call["min_guidance_scale"], call["max_guidance_scale"])
        picture = _picture(image, call["width"], call["height"], notes)
        _note_sizes(call["width"], call["height"], call["num_frames"], trained_frames, notes)
        plan.one_size(preset, call, notes)
        decided = plan.decide(
            chosen,
            folder,
            call,
            notes,
            fps=call["fps"],
            seeds=seeds,
            asked=(device, dtype),
            output=output,
            recipe=recipe,
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run, pictures={"image": picture})


def _check_models(folder: Path) -> int:
    """Refuse what SVD cannot work with, from the configs alone; returns the number of frames it was trained for."""
    for name, wanted in MODELS.items():
        kind = read_json(folder / name / "config.json").get("_class_name", wanted)
        if kind != wanted:
            raise CheckpointError(f"{folder / name} holds a {kind}, but Stable Video Diffusion needs a {wanted}.")
    file = folder / "scheduler" / "scheduler_config.json"
    if wrong := unusable(read_json(file)):
        raise CheckpointError(
            f"The model cannot work with the scheduler of {file}, and the frames would be noise: its "
            f"{' and its '.join(wrong)}. Take the scheduler folder of a published Stable Video Diffusion model."
        )
    return int(read_json(folder / "unet" / "config.json").get("num_frames", SVD.defaults.frames))


def _picture(image: str, width: int, height: int, notes: list[str]) -> "Image":
    """The picture as RGB, with notes on what is done to it."""
    from filmstrip.media.load import flatten, load_image
    from filmstrip.svd.image import BACKGROUND

    picture = load_image(image, convert_method=lambda upright: upright)
    if picture.has_transparency_data:
        notes.append(f"{image} is transparent: it is put on {BACKGROUND}.")
    stretch = (picture.width / picture.height) / (width / height)
    if max(stretch, 1 / stretch) > SAME_SHAPE:
        notes.append(
            f"{image} is {picture.width}x{picture.height} and will be stretched to {width}x{height}: crop it first, or "
            "give --width and --height in its shape."
        )
    return flatten(picture, BACKGROUND)


def _fps(rate: float, notes: list[str]) -> float:
    """The rate, whole where it can be; noted where the model has not seen it."""
    if not FPS[0] <= rate <= FPS[1]:
        notes.append(f"--fps {rate:g} is outside of {FPS[0]} to {FPS[1]}, which the model is trained for.")
    return int(rate) if rate == int(rate) else rate


def _check_guidance(first: float, last: float) -> None:
    plan.at_least_zero("guidance-min", first)
    plan.at_least_zero("guidance-max", last)
    if first > last:
        raise InputError(
            f"--guidance-min {first:g} is above --guidance-max {last:g}: guidance grows from the first frame to the "
            "last, so give the smaller number first."
        )


def _note_sizes(width: int, height: int, frames: int, trained_frames: int, notes: list[str]) -> None:
    if width % GOOD_MULTIPLE or height % GOOD_MULTIPLE:
        notes.append(f"{width}x{height}: sides that are multiples of {GOOD_MULTIPLE} look better.")
    if frames != trained_frames:
        notes.append(f"--frames {frames}: the model is trained for {trained_frames}; other lengths look worse.")
