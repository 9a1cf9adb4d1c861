"""`filmstrip generate`: texts, pictures and clips to video with LTX."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli import checkpoint, conditions, options, plan, windows
from filmstrip.cli.display import open_display
from filmstrip.cli.families import CONDITIONED, LTX
from filmstrip.cli.run import carry_out, once
from filmstrip.cli.upscale import again, check_upsampler, twice
from filmstrip.errors import InputError
from filmstrip.files import read_json
from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.size_grid import PUBLISHED_GRID, SizeGrid, size_grid
from filmstrip.presets.ltx import LTXPreset


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
    image: options.Image = None,
    video: options.Clips = None,
    extend: options.Extend = None,
    extend_before: options.ExtendBefore = None,
    upscale: options.Upscale = False,
    prompt_at: options.PromptAt = None,
    window: options.Window = None,
    seed: options.Seed = None,
    count: options.Count = 1,
    output: options.Output = None,
    recipe: options.Recipe = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video of what PROMPT says, and of pictures and clips."""
    display = open_display(quiet=as_json)
    notes: list[str] = []
    with display.checking():
        _check(prompt, frames, seconds)
        files = {
            "--image": image,
            "--video": video,
            "--extend": extend,
            "--extend-before": extend_before,
        }
        shown = conditions.load(files, notes)
        chosen = checkpoint.find(model, CONDITIONED if shown or upscale else LTX)
        if upscale:
            check_upsampler(chosen)
        folder, own = chosen.folder(), chosen.preset
        windowed, theirs = bool(prompt_at) or window is not None, own.recipe is not None
        if windowed and not theirs:
            raise InputError(
                "--prompt-at and --window need a model that has a name: `filmstrip models` lists "
                "them."
            )
        fps = next((one.rate for one in shown if one.continued), None) if fps is None else fps
        want = plan.settings(
            own,
            width=width,
            height=height,
            frames=frames,
            fps=fps,
            steps=steps,
            guidance=guidance,
            negative=negative,
        )
        if prompt_at and frames is None:
            want = replace(want, frames=want.frames + windows.last(prompt_at, want.fps))
        sizes = _grid(
            own, folder
        )  # a recipe makes any size, but must end where a clip that it leads up to begins
        made = (
            SizeGrid(size_multiple=1, frame_stride=sizes.frame_stride if extend_before else 1)
            if theirs
            else sizes
        )
        call, parts = _call(prompt, want, made, seconds, snap, notes), 1
        if windowed:
            window = own.frames if window is None else window
            parts = windows.split(call, prompt_at or [], window, sizes.frame_stride, snap, notes)
        given: dict[str, Any] = {
            name: call[name] * (2 if upscale else 1) for name in ("width", "height")
        }
        frames = call["num_frames"]
        held = conditions.hold(
            shown, frames, call.get("window", frames), sizes.frame_stride, snap, notes
        )
        if shown:
            call["conditions"], given["conditions"] = held.written, held.conditions
        sampling: dict[str, Any] = {
            "num_inference_steps": want.steps,
            "guidance_scale": want.guidance,
        }
        sampling = {name: value for name, value in sampling.items() if value is not None}
        walked = (own.recipe or Recipe()).adjusted(**sampling)
        if negative and walked.largest_scale <= 1:
            notes.append(f"--negative has no effect: guidance is off ({walked.largest_scale:g}).")
        if theirs:
            plan.odd_sides(given["width"], given["height"], output, snap, notes)
        decided = plan.decide(
            *(chosen, folder, call if theirs else call | sampling, notes),
            steps=parts
            * (
                walked.first.count
                + (again(own.recipe, want.steps) if upscale or walked.second else 0)
            ),
            changes=sampling if theirs else {},
            upscale=upscale,
            seeds=plan.seeds(own.seed if seed is None else seed, count),
            asked=(device, dtype),
            output=output,
            recipe=recipe,
        )
    make = windows.make if windowed else twice if upscale and not theirs else once

    def joined(*asked: Any) -> Any:
        return held.join(make(*asked), crop=theirs)

    carry_out(decided, display, as_json=as_json, dry_run=dry_run, given=given, make=joined)


def _check(prompt: str, frames: int | None, seconds: float | None) -> None:
    if not prompt.strip():
        raise InputError("The prompt is empty: say what the video should show.")
    if frames is not None and seconds is not None:
        raise InputError(
            f"--frames {frames} and --seconds {seconds:g} both set the length: give one of them."
        )


def _call(
    prompt: str,
    want: LTXPreset,
    sizes: SizeGrid,
    seconds: float | None,
    snap: bool,
    notes: list[str],
) -> dict[str, Any]:
    """The arguments that every pipeline of LTX takes."""
    return {
        "prompt": prompt,
        "negative_prompt": want.negative,
        "width": plan.side("width", want.width, sizes.size_multiple, snap, notes),
        "height": plan.side("height", want.height, sizes.size_multiple, snap, notes),
        "num_frames": plan.frame_count(
            want.frames, seconds, want.fps, sizes.frame_stride, snap, notes
        ),
        "frame_rate": want.fps,
    }


def _grid(own: LTXPreset, folder: Path) -> SizeGrid:
    """The sizes that the model can make."""
    if own.file:
        return PUBLISHED_GRID
    vae, transformer = (read_json(folder / name / "config.json") for name in ("vae", "transformer"))
    return size_grid(vae, transformer)
