"""`filmstrip show`: what made a video."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli.recipe import command


def show(
    file: Annotated[
        Path,
        typer.Argument(help="A video, picture or folder of frames that filmstrip wrote.", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as it stands in the file.")] = False,
) -> None:
    """Print what made FILE, and the command that makes it again."""
    from filmstrip.media.recipe import read_recipe

    recipe = read_recipe(file)
    if as_json:
        print(json.dumps(recipe, indent=2))
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in _rows(recipe):
        table.add_row(Text(name, style="dim"), Text(value))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    try:
        again = f"To make it again:\n{command(recipe, file.name)}"
    except KeyError as missing:
        again = f"It has no {missing}, so there is no command that makes it again."
    console.print(Text(f"\n{again}"))


def _rows(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values for reading; nested mappings on one line."""
    rows = []
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if value not in (None, ""):
            rows.append((name.replace("_", " "), str(value)))
    return rows
