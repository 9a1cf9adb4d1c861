"""The typer app: its commands and its version option."""

from typing import Annotated

import typer

from filmstrip.cli import animate, generate, models, show, upscale
from filmstrip.cli.windows import CommandWithPairs
from filmstrip.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (generate.generate, animate.animate, upscale.upscale, show.show, models.models):
    app.command(cls=CommandWithPairs)(command)


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"filmstrip {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Make videos with LTX-Video and Stable Video Diffusion."""
