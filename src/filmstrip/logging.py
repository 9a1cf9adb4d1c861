"""The package's loggers, and diffusers' calls that set how much they say.

Every logger lives below "filmstrip", which writes to standard error what is of level WARNING or
above, or of the level that the environment variable FILMSTRIP_VERBOSITY names (debug, info,
warning, error, critical). Progress bars are a separate switch.
"""

import functools
import logging
import os
import sys
from types import SimpleNamespace
from typing import TextIO

NOTSET, DEBUG, INFO, WARNING = logging.NOTSET, logging.DEBUG, logging.INFO, logging.WARNING
ERROR, CRITICAL, WARN, FATAL = logging.ERROR, logging.CRITICAL, logging.WARNING, logging.CRITICAL
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment, so that later redirections are obeyed."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


_root = logging.getLogger("filmstrip")
_default_handler = _StderrHandler()
_bars = SimpleNamespace(shown=True)

_level = os.environ.get("FILMSTRIP_VERBOSITY", "warning").lower()
_root.addHandler(_default_handler)
_root.propagate = False
_root.setLevel(LEVELS.get(_level, WARNING))
if _level not in LEVELS:
    _root.warning("FILMSTRIP_VERBOSITY is %r; it must be one of %s.", _level, ", ".join(LEVELS))


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger called `name` (in the package, `__name__`); without a name, the one above them
    all.
    """
    return logging.getLogger(name) if name else _root


def get_verbosity() -> int:
    """The level, one of this module's constants, below which nothing is shown."""
    return _root.getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Show messages of this level, one of this module's constants, and above."""
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


# Stop writing messages to standard error, and write them there again.
disable_default_handler = functools.partial(remove_handler, _default_handler)
enable_default_handler = functools.partial(add_handler, _default_handler)

# Keep messages from Python's root logger, the default, and hand them to it too:
# `disable_default_handler` then keeps them from showing twice.
disable_propagation = functools.partial(setattr, _root, "propagate", False)
enable_propagation = functools.partial(setattr, _root, "propagate", True)


def enable_explicit_format() -> None:
    """Print level, file, line and time before each message."""
    for handler in _root.handlers:
        handler.setFormatter(
            logging.Formatter("[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s")
        )


def reset_format() -> None:
    """Print the bare message: the default."""
    for handler in _root.handlers:
        handler.setFormatter(None)


disable_progress_bar = functools.partial(setattr, _bars, "shown", False)
enable_progress_bar = functools.partial(setattr, _bars, "shown", True)  # the default


def is_progress_bar_enabled() -> bool:
    """Whether progress bars are shown."""
    return bool(_bars.shown)
