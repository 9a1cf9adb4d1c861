"""The entry point: runs the app and turns what goes wrong into a sentence and an exit code.

0 done, 1 failed, 2 bad input, 130 interrupted. Nothing heavy is imported before `main` can catch an
interrupt.
"""

import os
import sys

from filmstrip.cli.interrupts import interrupts

INTERRUPTED = 130


def main() -> None:
    """Run `filmstrip` with the arguments of the process. Never returns: ends in `SystemExit`."""
    # Threads of torch that wait by spinning take the cores of others: a busy machine becomes many
    # times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with interrupts.handled():
        try:
            for stream in (sys.stdout, sys.stderr):
                # A terminal may not be able to show a prompt.
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
            from filmstrip.cli.app import app

            app(prog_name="filmstrip")
        except BaseException as error:
            code = _exit_code(error)
            if code is None:
                raise
            sys.exit(code)


def _exit_code(error: BaseException) -> int | None:
    """The exit code for an error; None if it is a mistake of the program.

    Prints a sentence for errors that the user can do something about.
    """
    from filmstrip.errors import FilmstripError, InputError

    # Some libraries answer an interrupt of their import with an error of another class.
    interrupted = interrupts.requested() and not (isinstance(error, SystemExit) and not error.code)
    if interrupted or isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # nobody reads the output: nothing to tell anyone
        return 1
    if not isinstance(error, FilmstripError | OSError):
        return None

    from rich.console import Console

    sentence = str(error) if isinstance(error, FilmstripError) else f"The system refused: {error}."
    console = Console(stderr=True, soft_wrap=True)
    console.print(" ".join(sentence.split()), style="red", markup=False, highlight=False)
    return 2 if isinstance(error, InputError) else 1
