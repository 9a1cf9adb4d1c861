"""What a job reports while it runs, how long each stage took, and how it is cancelled."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filmstrip.errors import FilmstripError
from filmstrip.jobs.json_data import JsonData
from filmstrip.pipeline.progress import Advance, Progress


class JobCancelledError(FilmstripError):
    """A job that ended because it was cancelled."""


@dataclass(frozen=True)
class FinishedVideo(JsonData):
    """A video that is written."""

    path: str
    seed: int
    bytes: int  # on disk, of all frames if it is a folder
    seconds: dict[str, float]  # that each stage took


class JobProgress:
    """What a job reports to: the stages of the pipelines' `Progress`, and what is between them.

    This one does nothing; subclasses show what they wish.
    """

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """As `Progress.stage`."""
        yield _do_nothing

    def video_started(self, number: int, count: int, path: str) -> None:
        """The video `number` of `count`, from 1 on, begins."""

    def frames_finished(self, num_frames: int, total: int) -> None:
        """So many frames of a long video are finished, and more are to come."""

    def video_finished(self, video: FinishedVideo) -> None:
        """A video is written."""

    def unfinished_kept(self, path: str, num_frames: int) -> None:
        """A video has ended early; the frames that were finished by then are in `path`."""


class StageTimer:
    """A `Progress` that passes on every stage, and keeps how long each took.

    Args:
        progress: what the stages are passed on to.
        device: if it is a GPU, a stage ends when the GPU has finished its work.
    """

    def __init__(self, progress: Progress, device: str) -> None:
        self.progress = progress
        self.device = device
        self.seconds: dict[str, float] = {}  # by stage; those of one name are added up

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
    """A `Progress` that passes on every stage, and ends the work when it is cancelled.

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
            JobCancelledError: the work is cancelled; also from what it yields.
        """
        self.check()
        with self.progress.stage(name, total) as advance:

            def advance_or_end() -> None:
                advance()
                self.check()

            yield advance_or_end

    def check(self) -> None:
        """Raises:
        JobCancelledError: the work is cancelled.
        """
        if self.cancelled():
            raise JobCancelledError("The job is cancelled.")


def _do_nothing() -> None:
    """The step of a stage that nobody counts."""
