"""The recipe of a video made on the command line, and `filmstrip show`, which reads it."""

import json
import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli.display import entries
from filmstrip.cli.plan import Plan
from filmstrip.version import __version__

# What a command is given before its options.
SUBJECTS = {"generate": "prompt", "animate": "image", "upscale": "video"}
# The option that sets an argument of the pipeline's call. Arguments that have none come with
# --model.
OPTIONS = {
    "prompt": "--prompt",
    "negative_prompt": "--negative",
    "width": "--width",
    "height": "--height",
    "num_frames": "--frames",
    "window": "--window",
    "frame_rate": "--fps",
    "fps": "--fps",
    "motion_bucket_id": "--motion",
    "noise_aug_strength": "--noise-aug",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "min_guidance_scale": "--guidance-min",
    "max_guidance_scale": "--guidance-max",
}


def recipe(plan: Plan, seed: int) -> dict[str, Any]:
    """All that is needed to make the video with `seed` again, as JSON can hold it."""
    return {
        "command": plan.command,
        "model": f"{plan.model}@{plan.revision}" if plan.revision else plan.model,
        "pipeline": plan.pipeline,
        "side": plan.side,
        "seed": seed,
        **plan.call,
        **plan.changes,
        **({"upscale": True} if plan.upscale else {}),
        "device": plan.device,
        "dtype": plan.dtype,
        "versions": {
            "filmstrip": __version__,
            "torch": version("torch"),
            "transformers": version("transformers"),
            "python": platform.python_version(),
        },
    }


def command(recipe: Mapping[str, Any], output: str) -> str:
    """The shell command that makes the video of `recipe` again, in the file `output`.

    Raises:
        KeyError: the recipe lacks what every recipe has.
    """
    named = SUBJECTS.get(recipe.get("command", ""), "prompt")
    subject = recipe[named]
    words = ["filmstrip", recipe["command"], "--model", recipe["model"], "--seed", recipe["seed"]]
    for argument, option in OPTIONS.items():
        if argument in recipe and argument != named:
            words += [option, recipe[argument]]
    for shown in recipe.get("conditions", ()):
        words += [word for option, value in shown.items() for word in (f"--{option}", value)]
    for text in recipe.get("prompts_at", ()):
        words += ["--prompt-at", *text.split(" ", 1)]
    words += ["--upscale"] if recipe.get("upscale") and recipe["command"] == "generate" else []
    words += ["--device", recipe["device"], "--dtype", recipe["dtype"], "--output", output]
    words[2:2] = [] if subject.startswith("-") else [subject]
    words += ["--", subject] if subject.startswith("-") else []
    return shlex.join(
        str(word).removesuffix(".0") if isinstance(word, float) else str(word) for word in words
    )


def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="A video or folder of frames that filmstrip wrote.", show_default=False
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the recipe as it stands in the file.")
    ] = False,
) -> None:
    """Print what made FILE, and the command that makes it again."""
    from filmstrip.media.provenance import read_provenance

    found = read_provenance(file)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    try:
        again = f"To make it again:\n{command(found, file.name)}"
    except KeyError as missing:
        again = f"It has no {missing}, so there is no command that makes it again."
    print(f"{entries(found)}\n\n{again}")
