"""The entry point: runs the app and turns what goes wrong into a sentence and an exit code.

0 done, 1 failed, 2 bad input, 130 interrupted. Nothing is imported before `main` can catch an interrupt.
"""

import sys


def main() -> None:
    """Run `filmstrip` with the arguments of the process. Never returns: ends in `SystemExit`."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that cannot show a prompt
    from filmstrip.errors import FilmstripError, InputError

    try:
        from filmstrip.cli.app import app

        app(prog_name="filmstrip")
    except BrokenPipeError:
        sys.exit(1)  # the reader of a pipe has gone: nothing to tell anyone
    except FilmstripError as error:
        _complain(str(error))
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        _complain(f"The system refused: {error}.")
        sys.exit(1)


def _complain(sentence: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(" ".join(sentence.split()), style="red", markup=False, highlight=False)
