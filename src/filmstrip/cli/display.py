"""Progress and messages on standard error: live bars, plain lines, or nothing."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from filmstrip.jobs.formatting import duration
from filmstrip.jobs.progress import FinishedVideo, JobProgress


def open_display(quiet: bool) -> "Display":
    """Choose a display: nothing if `quiet`, live bars on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if quiet:
        return Display()
    return Live(console) if console.is_terminal else Lines(console)


class Display(JobProgress):
    """What commands report to: a job's progress, and messages. This one shows nothing."""

    def __init__(self) -> None:
        self.num_finished = 0  # videos

    def checking(self) -> AbstractContextManager[Any]:
        """A context for planning, which may take seconds."""
        return nullcontext()

    def running(self) -> AbstractContextManager[Any]:
        """A context for loading models and running the job."""
        return nullcontext()

    def info(self, line: str) -> None:
        """Show a message."""

    def warn(self, line: str) -> None:
        """Show a message that the user may not expect."""

    def next_video(self, title: str) -> None:
        """Begin the stages of another video, or of another part of one."""

    def video_started(self, number: int, count: int, path: str) -> None:
        """See `JobProgress`."""
        if count > 1:
            self.next_video(f"{number} of {count}: {path}")

    def frames_finished(self, num_frames: int, total: int) -> None:
        """See `JobProgress`."""
        self.next_video(f"{num_frames} of {total} frames are made")

    def video_finished(self, video: FinishedVideo) -> None:
        """See `JobProgress`."""
        self.num_finished += 1

    def unfinished_kept(self, path: str, num_frames: int) -> None:
        """See `JobProgress`."""
        self.warn(f"The frames that were finished, {num_frames}, are in {path}.")


class Lines(Display):
    """A line at the start and at the end of each stage."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def info(self, line: str) -> None:
        self.console.print(escape(line))

    def warn(self, line: str) -> None:
        self.console.print(escape(line), style="yellow")

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        start = time.perf_counter()
        self.info(f"{name} ...")
        yield lambda: None
        self.info(f"{name} done in {duration(time.perf_counter() - start)}")

    def next_video(self, title: str) -> None:
        self.info(title)


class Live(Lines):
    """A live bar for each stage, with the time that it took or that is left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _CountAndTime(),
            console=console,
            refresh_per_second=8,
        )

    def checking(self) -> AbstractContextManager[Any]:
        return self.console.status("checking", spinner="line")

    def running(self) -> AbstractContextManager[Any]:
        return self.progress

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        task = self.progress.add_task(name.ljust(len("encode prompt")), total=total)
        yield lambda: self.progress.advance(task)
        if total is None:
            self.progress.update(task, total=1, completed=1)
        self.progress.stop_task(task)

    def next_video(self, title: str) -> None:
        self.info(title)
        for task in self.progress.task_ids:
            self.progress.remove_task(task)


class _CountAndTime(ProgressColumn):
    """`3/25` for counted stages, and the time that the stage took or that is left."""

    def render(self, task: Task) -> Text:
        count = f"{task.completed:.0f}/{task.total:.0f} " if task.total and task.total > 1 else ""
        is_running = task.total and task.completed and task.stop_time is None
        seconds_left = task.time_remaining if is_running else None
        if seconds_left is None:
            return Text(count + duration(task.elapsed or 0.0))
        if seconds_left < 60:
            return Text(f"{count}{math.ceil(seconds_left)} s left")
        return Text(f"{count}{duration(seconds_left)} left")


def format_entries(values: Mapping[str, Any]) -> str:
    """Format names and values as aligned lines, without those whose value is None or empty."""
    texts = {
        name.replace("_", " "): _format_value(value)
        for name, value in values.items()
        if value not in (None, "")
    }
    width = max(map(len, texts), default=0) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in texts.items())


def _format_value(value: Any) -> str:
    """A value on one line, with commas between the items of lists and dictionaries."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value))
    return str(value)
