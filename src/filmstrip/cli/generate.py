"""`filmstrip generate`: text to video with LTX."""

from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.run import carry_out
from filmstrip.errors import CheckpointError
from filmstrip.ltx.presets import Grid, Preset, grid
from filmstrip.weights.files import read_json

PIPELINE = "LTXPipeline"
# Folders of these pipelines hold the same components.
LTX_FOLDERS = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline")


def generate(
    prompt: Annotated[str, typer.Argument(help="What the video shows.", show_default=False)],
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DType = "auto",
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    seconds: options.Seconds = None,
    fps: options.Fps = None,
    snap: options.Snap = True,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    seed: options.Seed = None,
    count: options.Count = 1,
    output: options.Output = None,
    recipe: options.Recipe = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video of what PROMPT says."""
    display = open_display(quiet=as_json)
    notes: list[str] = []
    with display.checking():
        text = plan.not_empty("prompt", prompt)
        seeds = plan.seeds(seed, count)
        chosen = checkpoint.find(model)
        preset, folder = chosen.preset, chosen.folder()
        sizes = _grid(folder)
        rate = plan.rate(preset.fps if fps is None else fps)
        call = {
            "prompt": text,
            "negative_prompt": preset.negative if negative is None else negative,
            "width": plan.side("width", preset.width if width is None else width, sizes.side, snap, notes),
            "height": plan.side("height", preset.height if height is None else height, sizes.side, snap, notes),
            "num_frames": plan.frame_count(frames, seconds, preset.frames, rate, sizes.stride, snap, notes),
            "frame_rate": rate,
            **sampling(preset, steps, guidance),
        }
        size = (preset.width, preset.height, preset.frames)
        if preset.one_size and (call["width"], call["height"], call["num_frames"]) != size:
            trained = "{}x{} and {} frames".format(*size)
            notes.append(f"The {preset.name} model is trained for {trained} only; other sizes look worse.")
        if negative and call["guidance_scale"] <= 1:
            notes.append(f"--negative has no effect: guidance is off (--guidance {call['guidance_scale']:g}).")
        where = plan.device(device)
        decided = plan.Plan(
            command="generate",
            model=chosen.name,
            source=chosen.location,
            revision=checkpoint.commit(folder),
            pipeline=PIPELINE,
            side=f"drop-in numbers (as diffusers' {PIPELINE})",
            credit=chosen.credit(),
            device=where,
            dtype=plan.dtype(dtype, where),
            seeds=seeds,
            outputs=plan.outputs(output, count, call["num_frames"], call["height"], call["width"], notes),
            fps=rate,
            recipe=recipe,
            call=call,
            notes=tuple(notes),
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run)


def _grid(folder: Path) -> Grid:
    """The sizes the model in `folder` can make; refuses one of another family."""
    if not (folder / checkpoint.INDEX).is_file():
        raise CheckpointError(f"{folder} has no {checkpoint.INDEX}, so it is not a model folder in diffusers' layout.")
    kind = read_json(folder / checkpoint.INDEX).get("_class_name")
    if kind not in LTX_FOLDERS:
        raise CheckpointError(f"{folder} holds a {kind}, but generate needs one of {', '.join(LTX_FOLDERS)}.")
    return grid(*(read_json(folder / name / "config.json") for name in ("vae", "transformer")))


def sampling(preset: Preset, steps: int | None, guidance: float | None) -> dict[str, Any]:
    """The part of the call that says how to walk from noise to latents and on to pixels."""
    schedule: dict[str, Any] = {
        "num_inference_steps": int(plan.positive("steps", preset.steps if steps is None else steps))
    }
    if steps is None and preset.timesteps is not None:
        schedule = {"timesteps": list(preset.timesteps)}
    return schedule | {
        "guidance_scale": plan.at_least_zero("guidance", preset.guidance if guidance is None else guidance),
        "guidance_rescale": preset.guidance_rescale,
        "decode_timestep": preset.decode_timestep,
        "decode_noise_scale": preset.decode_noise_scale,
    }
