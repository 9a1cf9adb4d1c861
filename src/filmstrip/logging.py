"""The package's loggers, and the functions of `diffusers.utils.logging` that set their verbosity.

All loggers are children of "filmstrip", which writes messages of level WARNING and above to
standard error. The environment variable FILMSTRIP_VERBOSITY sets another level: debug, info,
warning, error or critical. Progress bars have a switch of their own.
"""

import functools
import logging
import os
import sys
from types import SimpleNamespace
from typing import TextIO

NOTSET = logging.NOTSET
DEBUG = logging.DEBUG
INFO = logging.INFO
WARN = WARNING = logging.WARNING
ERROR = logging.ERROR
FATAL = CRITICAL = logging.CRITICAL
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Looks `sys.stderr` up at each message, so that a later redirection takes effect."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


_root = logging.getLogger("filmstrip")
_default_handler = _StderrHandler()
_progress_bars = SimpleNamespace(enabled=True)

_level = os.environ.get("FILMSTRIP_VERBOSITY", "warning").lower()
_root.addHandler(_default_handler)
_root.propagate = False
_root.setLevel(LEVELS.get(_level, WARNING))
if _level not in LEVELS:
    _root.warning("FILMSTRIP_VERBOSITY is %r; it must be one of %s.", _level, ", ".join(LEVELS))


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of a name, in this package `__name__`; without a name, the package's logger."""
    return logging.getLogger(name) if name else _root


def get_verbosity() -> int:
    """The level, one of this module's constants, from which messages are shown."""
    return _root.getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Show messages from this level on, one of this module's constants."""
    _root.setLevel(verbosity)


set_verbosity_debug = functools.partial(set_verbosity, DEBUG)
set_verbosity_info = functools.partial(set_verbosity, INFO)
set_verbosity_warning = functools.partial(set_verbosity, WARNING)  # the default
set_verbosity_error = functools.partial(set_verbosity, ERROR)


def add_handler(handler: logging.Handler) -> None:
    """Also send messages to `handler`."""
    _root.addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Stop sending messages to `handler`."""
    _root.removeHandler(handler)


# Whether messages are written to standard error; on by default.
disable_default_handler = functools.partial(remove_handler, _default_handler)
enable_default_handler = functools.partial(add_handler, _default_handler)

# Whether messages also go to Python's root logger; off by default. Where that logger has a handler,
# `disable_default_handler` keeps messages from showing twice.
disable_propagation = functools.partial(setattr, _root, "propagate", False)
enable_propagation = functools.partial(setattr, _root, "propagate", True)


def enable_explicit_format() -> None:
    """Prefix each message with level, file, line and time."""
    for handler in _root.handlers:
        handler.setFormatter(
            logging.Formatter("[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s")
        )


def reset_format() -> None:
    """Show messages without a prefix, as by default."""
    for handler in _root.handlers:
        handler.setFormatter(None)


disable_progress_bar = functools.partial(setattr, _progress_bars, "enabled", False)
enable_progress_bar = functools.partial(setattr, _progress_bars, "enabled", True)  # the default


def is_progress_bar_enabled() -> bool:
    """Whether progress bars are shown."""
    return bool(_progress_bars.enabled)
