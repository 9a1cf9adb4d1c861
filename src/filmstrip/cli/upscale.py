"""`filmstrip upscale`, and what `generate --upscale` does with folders: videos of twice the
size.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filmstrip.cli import checkpoint, options, plan
from filmstrip.cli.display import open_display
from filmstrip.cli.families import CONDITIONED, UPSAMPLER, UPSCALE
from filmstrip.cli.run import carry_out
from filmstrip.errors import InputError
from filmstrip.files import read_json
from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.size_grid import PUBLISHED_GRID, size_grid
from filmstrip.presets.ltx import LTXPreset

if TYPE_CHECKING:
    import torch

DENOISED = 0.4  # share of the steps in a folder's second pass, as in the example of diffusers


def upscale(
    clip: Annotated[str, typer.Argument(help="The video: a file or a URL.", show_default=False)],
    model: options.Model = None,
    device: options.Device = "auto",
    dtype: options.DType = "auto",
    width: options.Width = None,
    height: options.Height = None,
    frames: options.Frames = None,
    fps: options.Fps = None,
    snap: options.Snap = True,
    prompt: options.ClipPrompt = None,
    seed: options.Seed = None,
    output: options.Output = None,
    recipe: options.Recipe = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video of twice the size from the video CLIP, or of twice --width and --height."""
    from filmstrip.media.load import read_video

    display = open_display(quiet=as_json)
    notes: list[str] = []
    with display.checking():
        chosen = checkpoint.find(
            model, UPSCALE if prompt is None else replace(CONDITIONED, command="upscale")
        )
        check_upsampler(chosen)
        folder, own = chosen.folder(), chosen.preset
        pictures, rate = read_video(clip)
        theirs = replace(
            own, width=pictures[0].width, height=pictures[0].height, frames=len(pictures)
        )
        fps = rate if fps is None else fps
        want = plan.settings(theirs, width=width, height=height, frames=frames, fps=fps)
        sizes = (
            PUBLISHED_GRID if own.file else size_grid(read_json(folder / "vae" / "config.json"), {})
        )
        call: dict[str, Any] = {
            "video": clip,
            "width": plan.side("width", want.width, sizes.size_multiple, snap, notes),
            "height": plan.side("height", want.height, sizes.size_multiple, snap, notes),
            "num_frames": plan.cut(
                clip, len(pictures), want.frames, sizes.frame_stride, snap, notes
            ),
            "frame_rate": want.fps,
        }
        given: dict[str, Any] = {"video": pictures[: call["num_frames"]]}
        steps = 0
        if prompt is not None:
            call["prompt"], given["negative_prompt"] = prompt, own.negative
            given |= (
                {}
                if own.recipe
                else {"num_inference_steps": own.steps, "guidance_scale": own.guidance}
            )
            steps = again(own.recipe, own.steps)
        decided = plan.decide(
            *(chosen, folder, call, notes),
            steps=steps,
            upscale=True,
            seeds=plan.seeds(own.seed if seed is None else seed, 1),
            asked=(device, dtype),
            output=output,
            recipe=recipe,
        )
    carry_out(decided, display, as_json=as_json, dry_run=dry_run, given=given, make=larger)


def check_upsampler(chosen: checkpoint.Checkpoint[LTXPreset]) -> None:
    """Refuse a model without what makes videos larger."""
    if chosen.preset.upscaler:
        return
    folder = None if chosen.preset.file else chosen.folder()
    if folder is None or not read_json(folder / checkpoint.INDEX).get(UPSAMPLER, [None])[0]:
        raise InputError(
            f"The model {chosen.name} has no latent upsampler, which makes videos larger. Use one "
            "that has, such as "
            f"ltx-2b-0.9.8-distilled, or a folder with a {UPSAMPLER}."
        )
    config = read_json(folder / UPSAMPLER / "config.json")
    if not config.get("spatial_upsample", True) or config.get("temporal_upsample", False):
        raise InputError(
            f"The {UPSAMPLER} of {folder} makes more frames; one that doubles the sides alone is "
            "needed."
        )


def again(recipe: Recipe | None, steps: int | None) -> int:
    """The steps of the second pass of a recipe, or of a folder whose first one has so many."""
    return (
        int((steps or 0) * DENOISED)
        if recipe is None
        else recipe.adjusted(upscale=True).passes[-1].count
    )


def larger(pipe: Any, call: Mapping[str, Any], generator: "torch.Generator") -> Any:
    """The frames `(T, H, W, 3)` of a clip in twice the size; with a prompt, after a second pass."""
    clip = {name: call[name] for name in ("video", "width", "height")}
    recipe = getattr(pipe, "recipe", Recipe(decode_timestep=0.0, decode_noise=0.0))
    if "prompt" not in call:
        how = {"decode_timestep": recipe.decode_timestep, "decode_noise_scale": recipe.decode_noise}
        return _upsampled(pipe, generator, **clip, **how, output_type="np")[0]
    latents = _upsampled(pipe, generator, **clip, output_type="latent")
    options = {name: value for name, value in call.items() if name != "video"}
    options |= {name: 2 * call[name] for name in ("width", "height")}
    if hasattr(pipe, "recipe"):
        pipe.recipe = replace(recipe, first=recipe.passes[-1], second=None)
    else:
        options["denoise_strength"] = DENOISED
    return pipe(**options, latents=latents, generator=generator, output_type="np").frames[0]


def twice(pipe: Any, call: Mapping[str, Any], generator: "torch.Generator") -> Any:
    """The frames `(T, H, W, 3)` of a call of `LTXConditionPipeline`, after a first pass at half the
    size.
    """
    half = {name: call[name] // 2 for name in ("width", "height")}
    latents = pipe(**{**call, **half}, generator=generator, output_type="latent").frames
    latents = _upsampled(pipe, generator, latents=latents, output_type="latent")
    options = {
        "latents": latents,
        "denoise_strength": DENOISED,
        "generator": generator,
        "output_type": "np",
    }
    return pipe(**call, **options).frames[0]


def _upsampled(pipe: Any, generator: "torch.Generator", **options: Any) -> Any:
    from filmstrip import LTXLatentUpsamplePipeline

    upsampler: Any = LTXLatentUpsamplePipeline.from_pipe(pipe)
    upsampler.progress = pipe.progress
    return upsampler(**options, adain_factor=1.0, generator=generator).frames
