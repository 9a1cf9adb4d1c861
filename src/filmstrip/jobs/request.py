"""Requests: what a user asks for, as plain values.

The fields have the names of the options of `filmstrip generate`, `animate` and `upscale`. None
means the model's default. Nothing is checked here: `filmstrip.jobs.plan.plan` does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from filmstrip.errors import InputError
from filmstrip.jobs.json_dataclass import JsonDataclass


@dataclass(frozen=True)
class ConditionRequest(JsonDataclass):
    """A picture or a clip to show in the video."""

    option: str  # "image" or "video"
    file: str  # a path or an http(s) URL
    frame: int = 0  # the frame of the video at which it begins; negative: from the end
    strength: float = 1.0  # from 0 (no effect) to 1 (as in the file)

    def __str__(self) -> str:
        return f"--{self.option} {self.file}@{self.frame}"


@dataclass(frozen=True)
class TimedPrompt(JsonDataclass):
    """A prompt that holds from a time on."""

    time: str  # "4s", "1m30s", "2.5" (seconds) or "96f" (frames)
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Request(JsonDataclass):
    """A request of any task: the fields that all tasks have."""

    task: ClassVar[str]

    model: str | None = None  # preset, folder, or Hub id; None: the embedded demo model
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    dtype: str = "auto"  # auto, float32, bfloat16 or float16
    width: int | None = None  # pixels
    height: int | None = None
    frames: int | None = None
    fps: float | None = None
    snap: bool = True  # change sizes that the model cannot make to the nearest, or refuse them
    seed: int | None = None
    output: str | None = None  # None: out.mp4, or the next free name
    provenance: bool = True  # write into the file what is needed to make it again

    def to_dict(self) -> dict[str, Any]:
        """The fields and the task as strings, numbers, lists and dictionaries."""
        return {"task": self.task, **super().to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> Any:
        """Make the request from what `to_dict` returned, of the class for its task.

        Raises:
            InputError: the task is unknown; a field is missing, unknown, or of another type.
        """
        if not isinstance(data, Mapping) or data.get("task") not in REQUESTS:
            task = data.get("task") if isinstance(data, Mapping) else data
            raise InputError(f"A request's task is {task!r}; give one of {', '.join(REQUESTS)}.")
        values = {name: value for name, value in data.items() if name != "task"}
        return super(Request, REQUESTS[data["task"]]).from_dict(values)


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(Request):
    """A video from a prompt, and from pictures and clips if there are any, with LTX-Video."""

    task = "generate"

    prompt: str
    negative: str | None = None
    seconds: float | None = None  # the length, instead of `frames`
    steps: int | None = None
    guidance: float | None = None
    conditions: tuple[ConditionRequest, ...] = ()
    extend: str | None = None  # a clip to continue: a path or an http(s) URL
    extend_before: str | None = None  # a clip to lead up to
    upscale: bool = False  # double the size by a latent upsampler and a second pass
    prompts_at: tuple[TimedPrompt, ...] = ()
    window: int | None = None  # frames in a window of a long video
    count: int = 1  # how many videos, with consecutive seeds


@dataclass(frozen=True, kw_only=True)
class AnimateRequest(Request):
    """A video that starts from a picture, with Stable Video Diffusion."""

    task = "animate"

    image: str  # a path or an http(s) URL
    motion: int | None = None  # motion bucket, 0 to 255
    noise_aug: float | None = None
    steps: int | None = None
    guidance_min: float | None = None  # of the first frame
    guidance_max: float | None = None  # of the last frame
    count: int = 1  # how many videos, with consecutive seeds


@dataclass(frozen=True, kw_only=True)
class UpscaleRequest(Request):
    """A video of twice the size of a clip, with LTX-Video."""

    task = "upscale"

    video: str  # a path or an http(s) URL
    prompt: str | None = None  # what the clip shows; adds a second pass


REQUESTS: Mapping[str, type[Request]] = MappingProxyType(
    {request.task: request for request in (GenerateRequest, AnimateRequest, UpscaleRequest)}
)
