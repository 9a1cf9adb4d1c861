"""`filmstrip generate`: text to video with LTX."""

from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import LTX
from filmstrip.cli.run import carry_out
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
        text = plan.not_empty("prompt", prompt)
        seeds = plan.seeds(seed, count)
        chosen = checkpoint.find(model, LTX)
        preset, folder = chosen.preset, chosen.folder()
        chosen.check_family(folder)
        sizes = grid(*(read_json(folder / name / "config.json") for name in ("vae", "transformer")))
        rate = plan.rate(plan.given(fps, preset.fps))
        call = {
            "prompt": text,
            "negative_prompt": plan.given(negative, preset.negative),
            "width": plan.side("width", plan.given(width, preset.width), sizes.side, snap, notes),
            "height": plan.side("height", plan.given(height, preset.height), sizes.side, snap, notes),
            "num_frames": plan.frame_count(frames, seconds, preset.frames, rate, sizes.stride, snap, notes),
            "frame_rate": rate,
            **sampling(preset, steps, guidance),
        }
        plan.one_size(preset, call, notes)
        if negative and call["guidance_scale"] <= 1:
            notes.append(f"--negative has no effect: guidance is off (--guidance {call['guidance_scale']:g}).")
        decided = plan.decide(
            chosen, folder, call, notes, fps=rate, seeds=seeds, asked=(device, dtype), output=output, recipe=recipe
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run)


def sampling(preset: Preset, steps: int | None, guidance: float | None) -> dict[str, Any]:
    """The part of the call that says how to walk from noise to latents and on to pixels."""
    schedule: dict[str, Any] = {"num_inference_steps": int(plan.positive("steps", plan.given(steps, preset.steps)))}
    if steps is None and preset.timesteps is not None:
        schedule = {"timesteps": list(preset.timesteps)}
    return schedule | {
        "guidance_scale": plan.at_least_zero("guidance", plan.given(guidance, preset.guidance)),
        "guidance_rescale": preset.guidance_rescale,
        "decode_timestep": preset.decode_timestep,
        "decode_noise_scale": preset.decode_noise_scale,
    }
