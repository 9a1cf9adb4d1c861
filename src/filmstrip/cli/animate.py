"""`filmstrip animate`: a video from a picture, with SVD."""

from typing import Annotated

import typer

from filmstrip.cli import options
from filmstrip.cli.run import plan_and_run
from filmstrip.jobs.request import AnimateRequest


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
    provenance: options.Provenance = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video that starts from the picture IMAGE."""
    request = AnimateRequest(
        image=image,
        model=model,
        device=device,
        dtype=dtype,
        width=width,
        height=height,
        frames=frames,
        fps=fps,
        snap=snap,
        motion=motion,
        noise_aug=noise_aug,
        steps=steps,
        guidance_min=guidance_min,
        guidance_max=guidance_max,
        seed=seed,
        count=count,
        output=output,
        provenance=provenance,
    )
    plan_and_run(request, as_json=as_json, dry_run=dry_run)
