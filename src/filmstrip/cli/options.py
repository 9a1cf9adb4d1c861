"""The options that commands share, so that each has one name, one help text and one place."""

from pathlib import Path
from typing import Annotated

import typer

_MODEL, _SIZE, _SAMPLING, _OUTPUT = "Model", "Size", "Sampling", "Output"

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A name from `filmstrip models`, a folder in diffusers' layout, or a Hub id (owner/name, or "
        "owner/name@revision). Without it: the demo model that ships with filmstrip.",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MODEL, metavar="DEVICE")]
DType = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16 or float16. auto is bfloat16 on a GPU, float32 on a CPU.",
        rich_help_panel=_MODEL,
        metavar="DTYPE",
    ),
]
Width = Annotated[int | None, typer.Option(help="Pixels.", rich_help_panel=_SIZE, show_default="the model's")]
Height = Annotated[int | None, typer.Option(help="Pixels.", rich_help_panel=_SIZE, show_default="the model's")]
Frames = Annotated[int | None, typer.Option(help="How many frames.", rich_help_panel=_SIZE, show_default="the model's")]
Seconds = Annotated[float | None, typer.Option(help="The length, instead of --frames.", rich_help_panel=_SIZE)]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Frames per second, for the model and the file.",
        rich_help_panel=_SIZE,
        show_default="the model's",
    ),
]
Snap = Annotated[
    bool,
    typer.Option(help="Move sizes the model cannot do to the nearest it can, or refuse.", rich_help_panel=_SIZE),
]
Steps = Annotated[
    int | None, typer.Option(help="Denoising steps.", rich_help_panel=_SAMPLING, show_default="the model's")
]
Guidance = Annotated[
    float | None,
    typer.Option(
        help="How strictly to follow the prompt; 1 switches guidance off.",
        rich_help_panel=_SAMPLING,
        show_default="the model's",
    ),
]
Negative = Annotated[
    str | None,
    typer.Option(help="What the video should not be like.", rich_help_panel=_SAMPLING, show_default="the model's"),
]
GuidanceMin = Annotated[
    float | None,
    typer.Option(help="Guidance of the first frame.", rich_help_panel=_SAMPLING, show_default="the model's"),
]
GuidanceMax = Annotated[
    float | None,
    typer.Option(
        help="Guidance of the last frame; it grows evenly between. At 1, guidance is off.",
        rich_help_panel=_SAMPLING,
        show_default="the model's",
    ),
]
Motion = Annotated[
    int | None,
    typer.Option(help="How much shall move, 0 to 255.", rich_help_panel=_SAMPLING, show_default="the model's"),
]
NoiseAug = Annotated[
    float | None,
    typer.Option(
        help="Noise on the picture: more of it lets the video differ more from it.",
        rich_help_panel=_SAMPLING,
        show_default="the model's",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same video.", rich_help_panel=_SAMPLING, show_default="random"),
]
Count = Annotated[
    int,
    typer.Option(
        help="How many videos: NAME-0001.mp4 from SEED, NAME-0002.mp4 from SEED + 1, ...",
        rich_help_panel=_SAMPLING,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; the suffix chooses the format.",
        rich_help_panel=_OUTPUT,
        show_default="out.mp4, or the next free name",
    ),
]
Recipe = Annotated[
    bool,
    typer.Option(
        "--recipe/--no-recipe",
        help="Write into the file what is needed to make it again: prompt, seed, settings, versions.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object on standard output, nothing else.", rich_help_panel=_OUTPUT),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print the plan, make nothing.", rich_help_panel=_OUTPUT),
]
