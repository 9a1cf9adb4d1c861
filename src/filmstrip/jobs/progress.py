"""Progress of a running job: its events, the time of each stage, and cancelling."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filmstrip.errors import FilmstripError
from filmstrip.jobs.json_dataclass import JsonDataclass
from filmstrip.pipeline.progress import Advance, Progress


class JobCancelledError(FilmstripError):
    """The job was cancelled."""


@dataclass(frozen=True)
class FinishedVideo(JsonDataclass):
    """A video that was written."""

    path: str
    seed: int
    bytes: int  # on disk, of all frames if it is a folder
    seconds: dict[str, float]  # of each stage


class JobProgress:
    """What a job reports to: a `Progress` for the stages of pipelines, with events of the job.

    Its methods do nothing. Subclasses override those that they need.
    """

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """As `Progress.stage`."""
        yield _do_nothing

    def video_started(self, number: int, count: int, path: str) -> None:
        """Called when the video `number` of `count` begins; the first is number 1."""

    def frames_finished(self, num_frames: int, total: int) -> None:
        """Called when `num_frames` of the `total` frames of a long video are finished."""

    def video_finished(self, video: FinishedVideo) -> None:
        """Called when a video was written."""

    def unfinished_kept(self, path: str, num_frames: int) -> None:
        """Called when a video ended early and its `num_frames` finished frames are in `path`."""


class StageTimer:
    """A `Progress` that passes on every stage and measures its time.

    Args:
        progress: what the stages are passed on to.
        device: if it is a GPU, a stage ends when the GPU has finished its work.
    """

    def __init__(self, progress: Progress, device: str) -> None:
        self.progress = progress
        self.device = device
        self.seconds: dict[str, float] = {}  # by stage; stages of the same name are added up

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """As `Progress.stage`."""
        with self.progress.stage(name, total) as advance:
            start = time.perf_counter()
            yield advance
            if self.device.startswith("cuda"):
                import torch

                torch.cuda.synchronize(self.device)
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed


class CancellableProgress:
    """A `Progress` that passes on every stage and ends the job when it is cancelled.

    Args:
        progress: what the stages are passed on to.
        cancelled: called when a stage begins and after each step.
    """

    def __init__(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        self.progress = progress
        self.cancelled = cancelled

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """As `Progress.stage`.

        Raises:
            JobCancelledError: the job is cancelled; the yielded function raises it too.
        """
        self.check()
        with self.progress.stage(name, total) as advance:

            def advance_and_check() -> None:
                advance()
                self.check()

            yield advance_and_check

    def check(self) -> None:
        """End the job if it is cancelled.

        Raises:
            JobCancelledError: it is.
        """
        if self.cancelled():
            raise JobCancelledError("The job is cancelled.")


def _do_nothing() -> None:
    """What a `JobProgress` that shows nothing does at each step."""
