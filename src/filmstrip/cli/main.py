"""The entry point: runs the app, and turns errors into a sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted. Slow imports come after `main` has
started to handle interrupts.
"""

import io
import os
import sys

from filmstrip.cli.interrupts import interrupts

INTERRUPTED = 130


def main() -> None:
    """Run `filmstrip` with the arguments of the process. Never returns: ends in `SystemExit`."""
    # By default torch's waiting threads spin, which makes a busy machine many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with interrupts.handled():
        try:
            for stream in (sys.stdout, sys.stderr):
                # A terminal may not be able to show a prompt. A closed stream is None.
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(errors="replace")
            from filmstrip.cli.app import app

            app(prog_name="filmstrip")
        except BaseException as error:
            code = _exit_code(error)
            if code is None:
                raise
            sys.exit(code)


def _exit_code(error: BaseException) -> int | None:
    """The exit code for an error; None for a bug, whose traceback is shown.

    Prints a sentence for errors that the user can act on.
    """
    from filmstrip.errors import FilmstripError, InputError

    # Some libraries answer an interrupt of their import with an error of another class.
    interrupted = interrupts.requested() and not (isinstance(error, SystemExit) and not error.code)
    if interrupted or isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # nobody reads the output
        return 1
    if not isinstance(error, FilmstripError | OSError):
        return None

    from rich.console import Console

    sentence = str(error) if isinstance(error, FilmstripError) else f"System error: {error}."
    console = Console(stderr=True, soft_wrap=True)
    console.print(" ".join(sentence.split()), style="red", markup=False, highlight=False)
    return 2 if isinstance(error, InputError) else 1
