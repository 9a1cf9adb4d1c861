"""The entry point: runs the app and turns what goes wrong into a sentence and an exit code.

0 done, 1 failed, 2 bad input, 130 interrupted. Nothing heavy is imported before `main` can catch an
interrupt.
"""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run `filmstrip` with the arguments of the process. Never returns: ends in `SystemExit`."""
    # Threads of torch that wait by spinning take the cores of others: a busy machine becomes many
    # times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupts = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that cannot show a prompt
        from filmstrip.cli.app import app

        app(prog_name="filmstrip")
    except BaseException as error:
        if (
            interrupts
        ):  # some libraries answer an interrupt of their import with an error of another kind
            sys.exit(130)
        code = _explain(error)
        if code is None:
            raise
        sys.exit(code)
    finally:
        signal.signal(signal.SIGINT, before)


def _explain(error: BaseException) -> int | None:
    """Print a sentence for an error that is no mistake of the program, and return its exit code."""
    from filmstrip.errors import FilmstripError, InputError

    if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone: nothing to tell anyone
        return 1
    if not isinstance(error, FilmstripError | OSError):
        return 130 if isinstance(error, KeyboardInterrupt) else None

    from rich.console import Console

    sentence = str(error) if isinstance(error, FilmstripError) else f"The system refused: {error}."
    console = Console(stderr=True, soft_wrap=True)
    console.print(" ".join(sentence.split()), style="red", markup=False, highlight=False)
    return 2 if isinstance(error, InputError) else 1
