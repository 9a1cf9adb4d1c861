"""What the user sees while a command works, on standard error: live bars, plain lines, or
nothing.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from filmstrip.jobs.progress import FinishedVideo, JobProgress
from filmstrip.jobs.words import duration


def open_display(quiet: bool) -> "Display":
    """Nothing if `quiet`, live bars on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if quiet:
        return Display()
    return Live(console) if console.is_terminal else Lines(console)


class Display(JobProgress):
    """What the commands ask of a display, a job's progress included. This one shows nothing."""

    def __init__(self) -> None:
        self.num_finished = 0  # videos

    def checking(self) -> AbstractContextManager[Any]:
        """Around the checks before work, which may take seconds."""
        return nullcontext()

    def running(self) -> AbstractContextManager[Any]:
        """Around the work."""
        return nullcontext()

    def say(self, line: str) -> None:
        """Tell the user something."""

    def warn(self, line: str) -> None:
        """Tell the user something that may surprise."""

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
    """A line when a stage begins and ends."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def say(self, line: str) -> None:
        self.console.print(escape(line))

    def warn(self, line: str) -> None:
        self.console.print(escape(line), style="yellow")

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        start = time.perf_counter()
        self.say(f"{name} ...")
        yield lambda: None
        self.say(f"{name} done in {duration(time.perf_counter() - start)}")

    def next_video(self, title: str) -> None:
        self.say(title)


class Live(Lines):
    """A bar for each stage, with its time or the time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = TextColumn("{task.description}"), BarColumn(bar_width=30), _CountAndTime()
        self.progress = Progress(*columns, console=console, refresh_per_second=8)

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
        self.say(title)
        for task in self.progress.task_ids:
            self.progress.remove_task(task)


class _CountAndTime(ProgressColumn):
    """`3/25` for counted stages, and what the stage took, or what is left of it."""

    def render(self, task: Task) -> Text:
        count = f"{task.completed:.0f}/{task.total:.0f} " if task.total and task.total > 1 else ""
        left = (
            task.time_remaining
            if task.total and task.completed and task.stop_time is None
            else None
        )
        if left is None:
            return Text(count + duration(task.elapsed or 0.0))
        return Text(
            f"{count}{math.ceil(left)} s left" if left < 60 else f"{count}{duration(left)} left"
        )


def entries(values: Mapping[str, Any]) -> str:
    """Names and values for reading, one a line; what is empty is left out."""
    shown = {
        name.replace("_", " "): _on_one_line(value)
        for name, value in values.items()
        if value not in (None, "")
    }
    width = max(map(len, shown), default=0) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in shown.items())


def _on_one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(_on_one_line, value)) if isinstance(value, list | tuple) else str(value)
