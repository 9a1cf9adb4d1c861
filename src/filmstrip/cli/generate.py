"""`filmstrip generate`: text to video with LTX."""

from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import LTX
from filmstrip.cli.run import carry_out
from filmstrip.errors import InputError
from filmstrip.ltx.passes import Recipe
from filmstrip.ltx.presets import GRID, grid
from filmstrip.weights.files import read_json


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
        if not prompt.strip():
            raise InputError("The prompt is empty: say what the video should show.")
        if frames is not None and seconds is not None:
            raise InputError(f"--frames {frames} and --seconds {seconds:g} both set the length: give one of them.")
        chosen = checkpoint.find(model, LTX)
        folder, own = chosen.folder(), chosen.preset
        want = plan.settings(
            own, width=width, height=height, frames=frames, fps=fps, steps=steps, guidance=guidance, negative=negative
        )
        sizes = GRID
        if own.recipe is None or own.repo is None:
            sizes = grid(*(read_json(folder / name / "config.json") for name in ("vae", "transformer")))
        side, stride = (sizes.side, sizes.stride) if own.recipe is None else (1, 1)  # a recipe makes any size
        call: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": want.negative,
            "width": plan.side("width", want.width, side, snap, notes),
            "height": plan.side("height", want.height, side, snap, notes),
            "num_frames": plan.frame_count(want.frames, seconds, want.fps, stride, snap, notes),
            "frame_rate": want.fps,
        }
        sampling: dict[str, Any] = {"num_inference_steps": want.steps, "guidance_scale": want.guidance}
        sampling = {name: value for name, value in sampling.items() if value is not None}
        walked = (own.recipe or Recipe()).adjusted(**sampling)
        if negative and walked.largest_scale <= 1:
            notes.append(f"--negative has no effect: guidance is off ({walked.largest_scale:g}).")
        if own.recipe is not None:
            plan.odd_sides(call["width"], call["height"], output, snap, notes)
        decided = plan.decide(
            chosen,
            folder,
            call if own.recipe else call | sampling,
            notes,
            steps=sum(one.count for one in walked.passes),
            changes=sampling if own.recipe else {},
            seeds=plan.seeds(own.seed if seed is None else seed, count),
            asked=(device, dtype),
            output=output,
            recipe=recipe,
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run)
