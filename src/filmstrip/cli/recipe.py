"""The recipe of a video made on the command line, and the command that makes it again."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from filmstrip import __version__
from filmstrip.cli.plan import Plan

# The option that sets an argument of the pipeline's call. Arguments that have none come with --model.
OPTIONS = {
    "negative_prompt": "--negative",
    "width": "--width",
    "height": "--height",
    "num_frames": "--frames",
    "frame_rate": "--fps",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
}


def recipe(plan: Plan, seed: int) -> dict[str, Any]:
    """All that is needed to make the video with `seed` again, as JSON can hold it."""
    return {
        "command": plan.command,
        "model": f"{plan.source}@{plan.revision}" if plan.revision else plan.model,
        "pipeline": plan.pipeline,
        "side": plan.side,
        "seed": seed,
        **plan.call,
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
    prompt = recipe["prompt"]
    words = ["filmstrip", recipe["command"], "--model", recipe["model"], "--seed", recipe["seed"]]
    for argument, option in OPTIONS.items():
        if argument in recipe:
            words += [option, recipe[argument]]
    words += ["--device", recipe["device"], "--dtype", recipe["dtype"], "--output", output]
    words[2:2] = [] if prompt.startswith("-") else [prompt]
    words += ["--", prompt] if prompt.startswith("-") else []
    return shlex.join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)
