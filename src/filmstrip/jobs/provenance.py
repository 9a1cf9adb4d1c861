"""The provenance that is written into a video, and the command that makes the video again."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from filmstrip.jobs.job import Job
from filmstrip.version import __version__

# The positional argument of each command.
POSITIONALS: Mapping[str, str] = MappingProxyType(
    {"generate": "prompt", "animate": "image", "upscale": "video"}
)
# The options of each command, by the arguments of the pipeline's call that they set. The other
# arguments follow from --model.
_SIZE = {"width": "--width", "height": "--height", "num_frames": "--frames"}
OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "generate": {
            "negative_prompt": "--negative",
            **_SIZE,
            "window": "--window",
            "frame_rate": "--fps",
            "num_inference_steps": "--steps",
            "guidance_scale": "--guidance",
        },
        "animate": {
            **_SIZE,
            "fps": "--fps",
            "motion_bucket_id": "--motion",
            "noise_aug_strength": "--noise-aug",
            "num_inference_steps": "--steps",
            "min_guidance_scale": "--guidance-min",
            "max_guidance_scale": "--guidance-max",
        },
        "upscale": {"prompt": "--prompt", **_SIZE, "frame_rate": "--fps"},
    }
)


def provenance(job: Job, seed: int) -> dict[str, Any]:
    """Everything that is needed to make one video of a job again.

    Args:
        job: the job.
        seed: the seed of the video, one of `job.seeds`.

    Returns:
        Names and values that can be written as JSON.
    """
    values: dict[str, Any] = {
        "command": job.task,
        "model": f"{job.model}@{job.revision}" if job.revision else job.model,
        "pipeline": job.pipeline,
        "numerics": job.numerics,
        "seed": seed,
    }
    positional = POSITIONALS[job.task]
    if positional not in job.call:
        values[positional] = job.inputs[0].file.path
    elif job.inputs:
        values["conditions"] = [{item.role: str(item)} for item in job.inputs]
    values.update(job.call)
    if job.windows is not None:
        values["prompts_at"] = [
            f"{_as_text(time)}s {text}" for time, text in job.windows.prompts_at
        ]
        values["window"] = job.windows.window
        values["overlap"] = job.windows.overlap
    values.update(job.recipe_changes)
    if job.upscale:
        values["upscale"] = True
    values["device"] = job.device
    values["dtype"] = job.dtype
    values["versions"] = {
        "filmstrip": __version__,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "python": platform.python_version(),
    }
    return values


def command(values: Mapping[str, Any], output: str) -> str:
    """The shell command that makes a video again.

    Args:
        values: the video's provenance.
        output: the file to make.

    Raises:
        KeyError: the provenance lacks an entry that is always needed.
    """
    task = values["command"]
    positional = values[POSITIONALS[task]]
    words = ["--model", values["model"], "--seed", values["seed"]]
    for argument, option in OPTIONS[task].items():
        if argument in values:
            words += [option, values[argument]]
    for condition in values.get("conditions", ()):
        for option, value in condition.items():
            words += [f"--{option}", value]
    for timed_prompt in values.get("prompts_at", ()):
        words += ["--prompt-at", *timed_prompt.split(" ", 1)]
    if task == "generate" and values.get("upscale"):
        words.append("--upscale")
    words += ["--device", values["device"], "--dtype", values["dtype"], "--output", output]
    if positional.startswith("-"):  # else it would be read as an option
        words += ["--", positional]
    else:
        words.insert(0, positional)
    return shlex.join(["filmstrip", task, *map(_as_text, words)])


def _as_text(value: Any) -> str:
    """A value as text, whole numbers without a fraction: 24, not 24.0."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
