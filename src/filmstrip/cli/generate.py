"""`filmstrip generate`: text to video with LTX."""

from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import LTX
from filmstrip.cli.run import carry_out
from filmstrip.errors import InputError
from filmstrip.ltx.presets import Preset, grid
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
        seeds = plan.seeds(seed, count)
        chosen = checkpoint.find(model, LTX)
        folder = chosen.folder()
        sizes = grid(*(read_json(folder / name / "config.json") for name in ("vae", "transformer")))
        own = chosen.preset
        want = plan.settings(
            own, width=width, height=height, frames=frames, fps=fps, steps=steps, guidance=guidance, negative=negative
        )
        call = {
            "prompt": prompt,
            "negative_prompt": want.negative,
            "width": plan.side("width", want.width, sizes.side, snap, notes),
            "height": plan.side("height", want.height, sizes.side, snap, notes),
            "num_frames": plan.frame_count(want.frames, seconds, want.fps, sizes.stride, snap, notes),
            "frame_rate": want.fps,
            **schedule(own, steps),
            "guidance_scale": want.guidance,
            "guidance_rescale": want.guidance_rescale,
            "decode_timestep": want.decode_timestep,
            "decode_noise_scale": want.decode_noise_scale,
        }
        if negative and want.guidance <= 1:
            notes.append(f"--negative has no effect: guidance is off (--guidance {want.guidance:g}).")
        decided = plan.decide(
            chosen, folder, call, notes, seeds=seeds, asked=(device, dtype), output=output, recipe=recipe
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run)


def schedule(preset: Preset, steps: int | None) -> dict[str, Any]:
    """The steps asked for, or the preset's, which are timesteps of its own where it is distilled to these."""
    if steps is None and preset.timesteps is not None:
        return {"timesteps": list(preset.timesteps)}
    return {"num_inference_steps": steps or preset.steps}
