"""Progress of a pipeline: how it is reported, and the bars that show it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from filmstrip.logging import is_progress_bar_enabled

Advance = Callable[[], None]


class Progress(Protocol):
    """Receives the stages of a call."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Begin a stage of a call, such as "encode prompt" or "denoise".

        Args:
            name: of the stage.
            total: its number of steps; `None` if it has none to count.

        Returns:
            A context manager that ends the stage on exit. It yields a function to call after each
            step.
        """
        ...


class ProgressBar:
    """A tqdm bar for each stage that has steps.

    Args:
        options: of tqdm, such as `{"disable": True}`.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options = options or {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        if total is None:
            yield _do_nothing
            return
        from tqdm.auto import tqdm

        options = {"disable": not is_progress_bar_enabled(), **self.options}
        with tqdm(total=total, **options) as bar:

            def advance() -> None:
                bar.update()

            yield advance


def _do_nothing() -> None:
    """Called after a step of a stage whose steps are not counted."""
