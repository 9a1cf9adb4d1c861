"""`filmstrip upscale`: a video of twice the size of a clip, with LTX."""

from typing import Annotated

import typer

from filmstrip.cli import options
from filmstrip.cli.run import plan_and_run
from filmstrip.jobs.request import UpscaleRequest


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
    provenance: options.Provenance = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video of twice the size from the video CLIP, or of twice --width and --height."""
    request = UpscaleRequest(
        video=clip,
        prompt=prompt,
        model=model,
        device=device,
        dtype=dtype,
        width=width,
        height=height,
        frames=frames,
        fps=fps,
        snap=snap,
        seed=seed,
        output=output,
        provenance=provenance,
    )
    plan_and_run(request, as_json=as_json, dry_run=dry_run)
