"""Handling of Ctrl-C.

A `KeyboardInterrupt` that is raised while Python runs a `__del__` or a callback of C code is
printed and dropped. Sampling spends much time there, so an interrupt could be lost. While a job
runs, the first Ctrl-C is therefore only recorded, and the job checks for it after each step. A
second one raises at once.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STDERR = 2  # the file descriptor


class Interrupts:
    """Handles Ctrl-C, and records whether it was pressed."""

    def __init__(self) -> None:
        self.count = 0
        self._is_deferred = False
        self._notice: str | None = None

    def requested(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.count > 0

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Within the context, this object handles Ctrl-C, unless the process ignores it."""
        self.count = 0
        self._is_deferred = False
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def deferred(self, notice: str | None) -> Iterator[None]:
        """Within the context, the first Ctrl-C does not raise; it only makes `requested` true.

        Args:
            notice: a line to print on standard error at the first Ctrl-C.
        """
        self._is_deferred = True
        self._notice = notice
        try:
            yield
        finally:
            self._is_deferred = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if not self._is_deferred or self.count > 1:
            raise KeyboardInterrupt
        if self._notice is not None:
            # Not through `sys.stderr`, which may be in the middle of a write.
            os.write(STDERR, f"{self._notice}\n".encode())


interrupts = Interrupts()
