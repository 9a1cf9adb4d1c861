"""A job: everything that `plan` decides, complete as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filmstrip.errors import InputError
from filmstrip.jobs.families import RECIPE_PIPELINE
from filmstrip.jobs.formatting import duration, plural
from filmstrip.jobs.inputs import MediaInput
from filmstrip.jobs.json_dataclass import JsonDataclass
from filmstrip.jobs.windows import Windows

# Fraction of the steps in the second pass of a folder's models, as in the example of diffusers.
SECOND_PASS_STRENGTH = 0.4


@dataclass(frozen=True, kw_only=True)
class Job(JsonDataclass):
    """The videos to make, with every setting.

    Relative paths are relative to the working directory.

    Raises:
        InputError: the seeds and outputs are not as many.
    """

    task: str  # "generate", "animate" or "upscale"
    model: str  # what --model takes to get the same weights
    source: str  # folder or Hub id
    revision: str | None  # commit of a Hub id
    pipeline: str  # class name, importable from filmstrip
    numerics: str  # whose numbers: the drop-in class's or the authors'
    credit: str  # a line about the model and its licence
    device: str
    dtype: str
    steps: int  # of one video, in all of its passes
    seeds: tuple[int, ...]
    outputs: tuple[str, ...]  # one for each seed
    fps: float
    provenance: bool  # whether to write into the files what is needed to make them again
    call: Mapping[str, Any]  # arguments of the pipeline's call, without pictures and clips
    inputs: tuple[MediaInput, ...] = ()  # pictures and clips
    windows: Windows | None = None  # of a long video
    recipe_changes: Mapping[str, Any]  # arguments of `Recipe.adjusted`
    upscale: bool = False  # to twice the size in `call`
    adjustments: tuple[str, ...] = ()  # a sentence for each difference from the request

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.outputs):
            raise InputError(
                f"The job has {plural(len(self.seeds), 'seed')} and "
                f"{plural(len(self.outputs), 'output')}; give one output for each seed."
            )

    @property
    def uses_recipe(self) -> bool:
        """Whether the job follows the authors' recipe."""
        return self.pipeline == RECIPE_PIPELINE

    @property
    def width(self) -> int:
        """The width of each video in pixels."""
        return int(self.call["width"]) * (2 if self.upscale else 1)

    @property
    def height(self) -> int:
        """The height of each video in pixels."""
        return int(self.call["height"]) * (2 if self.upscale else 1)

    def headline(self) -> str:
        """A summary of the job in one line."""
        if len(self.seeds) == 1:
            seeds = f"seed {self.seeds[0]}"
        else:
            seeds = f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        steps = f"{plural(self.steps, 'step')}, " if self.steps else ""
        return f"{self.model}: {self.video_shape()}, {steps}{seeds}, {self.device} {self.dtype}"

    def video_shape(self) -> str:
        """Size and length of each video as a text, such as "64x32, 9 frames (0.75 s at 12 fps)"."""
        size = f"{self.call['width']}x{self.call['height']}"
        if self.upscale:
            size += f" upscaled to {self.width}x{self.height}"
        num_frames = self.call["num_frames"]
        length = duration(num_frames / self.fps)
        return f"{size}, {plural(num_frames, 'frame')} ({length} at {self.fps:g} fps)"
