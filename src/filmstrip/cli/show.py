"""`filmstrip show`: what made a video."""

import json
from pathlib import Path
from typing import Annotated

import typer

from filmstrip.cli.display import entries
from filmstrip.cli.recipe import command


def show(
    file: Annotated[Path, typer.Argument(help="A video or folder of frames that filmstrip wrote.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as it stands in the file.")] = False,
) -> None:
    """Print what made FILE, and the command that makes it again."""
    from filmstrip.media.recipe import read_recipe

    recipe = read_recipe(file)
    if as_json:
        print(json.dumps(recipe, indent=2))
        return
    try:
        again = f"To make it again:\n{command(recipe, file.name)}"
    except KeyError as missing:
        again = f"It has no {missing}, so there is no command that makes it again."
    print(f"{entries(recipe)}\n\n{again}")
