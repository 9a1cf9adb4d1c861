"""`filmstrip generate`: a video from a prompt, pictures and clips, with LTX."""

from typing import Annotated

import typer

from filmstrip.cli import options
from filmstrip.cli.conditions import parse_conditions
from filmstrip.cli.run import plan_and_run
from filmstrip.cli.windows import parse_prompts
from filmstrip.jobs.request import GenerateRequest


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
    provenance: options.Provenance = True,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Make a video from PROMPT, and from pictures and clips if there are any."""
    request = GenerateRequest(
        prompt=prompt,
        model=model,
        device=device,
        dtype=dtype,
        width=width,
        height=height,
        frames=frames,
        seconds=seconds,
        fps=fps,
        snap=snap,
        steps=steps,
        guidance=guidance,
        negative=negative,
        conditions=parse_conditions(image, video),
        extend=extend,
        extend_before=extend_before,
        upscale=upscale,
        prompts_at=parse_prompts(prompt_at),
        window=window,
        seed=seed,
        count=count,
        output=output,
        provenance=provenance,
    )
    plan_and_run(request, as_json=as_json, dry_run=dry_run)
