"""How a pipeline tells what it is doing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from filmstrip.logging import is_progress_bar_enabled

Advance = Callable[[], None]


class Progress(Protocol):
    """What a pipeline reports its stages to."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Enter a stage; what it yields is called after each of its `total` steps."""
        ...


class ProgressBar:
    """A tqdm bar for each stage that has steps. `options` are tqdm's own."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options = options or {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        if total is None:
            yield lambda: None
            return
        from tqdm.auto import tqdm

        options = {"disable": not is_progress_bar_enabled(), **self.options}
        with tqdm(total=total, **options) as bar:
            yield lambda: bar.update() and None
