"""The options of the commands: the name, the help text and the panel of each."""

from functools import partial
from typing import Annotated

import typer

_model = partial(typer.Option, rich_help_panel="Model")
_size = partial(typer.Option, rich_help_panel="Size")
_model_size = partial(_size, show_default="the model's, or the clip's")
_sampling = partial(typer.Option, rich_help_panel="Sampling")
_model_sampling = partial(_sampling, show_default="the model's")
_condition = partial(typer.Option, rich_help_panel="Pictures and clips", show_default=False)
_long = partial(typer.Option, rich_help_panel="Long videos", show_default=False)
_output = partial(typer.Option, rich_help_panel="Output")

Model = Annotated[
    str | None,
    _model(
        "--model",
        "-m",
        help="A name from `filmstrip models`, a folder in diffusers' layout, or a Hub id "
        "(owner/name, or owner/name@revision). Without it: the demo model that ships with "
        "filmstrip.",
    ),
]
Device = Annotated[str, _model(help="auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE")]
DType = Annotated[
    str,
    _model(
        help="auto, float32, bfloat16 or float16. auto is bfloat16 on a GPU, float32 on a CPU.",
        metavar="DTYPE",
    ),
]
Width = Annotated[int | None, _model_size(help="Pixels.")]
Height = Annotated[int | None, _model_size(help="Pixels.")]
Frames = Annotated[int | None, _model_size(help="How many frames.")]
Seconds = Annotated[float | None, _size(help="The length, instead of --frames.")]
Fps = Annotated[float | None, _model_size(help="Frames per second, for the model and the file.")]
Snap = Annotated[
    bool, _size(help="Change sizes that the model cannot make to the nearest, or refuse them.")
]
ClipPrompt = Annotated[
    str | None, _sampling(help="What the clip shows. With it, a second pass adds detail.")
]
Image = Annotated[
    list[str] | None,
    _condition(
        metavar="FILE@FRAME:STRENGTH",
        help="A picture to show in the video, at a frame (by default 0; -1 is the last) and with a "
        "strength (0 to 1, by default 1). Repeat the option for more pictures.",
    ),
]
Clips = Annotated[
    list[str] | None,
    _condition(
        "--video",
        metavar="FILE@FRAME:STRENGTH",
        help="A clip to show in the video from a frame on; see --image.",
    ),
]
Extend = Annotated[
    str | None,
    _condition(
        metavar="FILE", help="A clip to continue: its last frames are kept, and new ones follow."
    ),
]
ExtendBefore = Annotated[
    str | None, _condition(metavar="FILE", help="A clip to lead up to: new frames come before it.")
]
Upscale = Annotated[
    bool,
    _model_size(
        "--upscale",
        show_default=False,
        help="Double width and height with a latent upsampler and a second pass.",
    ),
]
PromptAt = Annotated[
    list[str] | None,
    _long(
        metavar="TIME PROMPT",
        help="What the video shows from a time on, such as 4s, 1m30s or 96f (frames). Repeat "
        "the option for more.",
    ),
]
Window = Annotated[
    int | None,
    _long(help="Frames in a window of a long video; it needs no --prompt-at."),
]
Steps = Annotated[int | None, _model_sampling(help="Denoising steps.")]
Guidance = Annotated[
    float | None,
    _model_sampling(help="How strictly to follow the prompt; 1 switches guidance off."),
]
Negative = Annotated[str | None, _model_sampling(help="What the video should not be like.")]
GuidanceMin = Annotated[float | None, _model_sampling(help="Guidance of the first frame.")]
GuidanceMax = Annotated[
    float | None,
    _model_sampling(
        help="Guidance of the last frame; it grows linearly from the first. At 1, guidance is off."
    ),
]
Motion = Annotated[int | None, _model_sampling(help="How much moves, 0 to 255.")]
NoiseAug = Annotated[
    float | None,
    _model_sampling(help="Noise added to the picture: with more, the video differs more from it."),
]
Seed = Annotated[
    int | None,
    _sampling(help="The same seed gives the same video.", show_default="the model's, or random"),
]
Count = Annotated[
    int,
    _sampling(help="How many videos: NAME-0001.mp4 from SEED, NAME-0002.mp4 from SEED + 1, ..."),
]
Output = Annotated[
    str | None,
    _output(
        "--output",
        "-o",
        help="Where to write; the suffix chooses the format.",
        show_default="out.mp4, or the next free name",
    ),
]
Provenance = Annotated[
    bool,
    _output(
        "--provenance/--no-provenance",
        help="Write into the file what is needed to make it again: prompt, seed, settings, "
        "versions.",
    ),
]
Json = Annotated[bool, _output("--json", help="Print one JSON object and nothing else.")]
DryRun = Annotated[
    bool, _output("--dry-run", help="Check everything, print the job, make nothing.")
]
