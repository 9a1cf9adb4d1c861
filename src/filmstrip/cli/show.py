"""`filmstrip show`: the provenance of a video, and the command that makes it again."""

import json
from pathlib import Path
from typing import Annotated

import typer

from filmstrip.cli.display import format_entries


def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="A video or folder of frames that filmstrip wrote.", show_default=False
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the provenance as it stands in the file.")
    ] = False,
) -> None:
    """Print what made FILE, and the command that makes it again."""
    from filmstrip.jobs.provenance import command
    from filmstrip.media.provenance import read_provenance

    values = read_provenance(file)
    if as_json:
        print(json.dumps(values, indent=2))
        return
    try:
        again = f"To make it again:\n{command(values, file.name)}"
    except KeyError as missing:
        again = f"It has no {missing}, so there is no command that makes it again."
    print(f"{format_entries(values)}\n\n{again}")
