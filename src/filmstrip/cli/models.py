"""`filmstrip models`: the presets, and which of them are on this disk."""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.filesize import decimal

from filmstrip.errors import CheckpointError
from filmstrip.files import read_json
from filmstrip.jobs.families import FAMILIES
from filmstrip.presets import is_cached
from filmstrip.presets.base import PublishedWeights
from filmstrip.presets.ltx import EXTRA_FILES
from filmstrip.weights.pipeline_index import INDEX_NAME

if TYPE_CHECKING:
    from filmstrip.weights.cache import CachedModel

# Command, preset or extra file, and whether it is on this disk.
KnownWeights: TypeAlias = tuple[str, PublishedWeights, bool]

KNOWN: tuple[tuple[str, PublishedWeights], ...] = (
    *((family.task, preset) for family in FAMILIES for preset in family.presets),
    *(("", file) for file in EXTRA_FILES),
)
JSON_FIELDS = ("repo_id", "revision", "size", "complete")
COMMANDS = {name: family.task for family in FAMILIES for name in family.folder_pipelines}


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the presets, and other models in the Hub's cache."""
    from filmstrip.weights.cache import cached_models

    known = [
        (command, preset, preset.repo is None or is_cached(preset, {})) for command, preset in KNOWN
    ]
    known_repos = {preset.repo for _, preset in KNOWN}
    others = [model for model in cached_models() if model.repo_id not in known_repos]
    pipelines = {model: _pipeline(model) for model in others}
    runnable = {model: name for model, name in pipelines.items() if name in COMMANDS}
    if as_json:
        print(json.dumps(_as_json(known, runnable), indent=2))
        return
    _print_table(known, runnable)
    other_models = [model for model in others if model not in runnable]
    if other_models:
        print(
            f"Also in the cache: {len(other_models)} models of other types "
            f"({decimal(sum(model.size for model in other_models))})."
        )


def _as_json(known: Iterable[KnownWeights], runnable: Iterable["CachedModel"]) -> dict[str, Any]:
    rows = [
        {"command": command or None, **asdict(preset), "on_disk": on_disk}
        for command, preset, on_disk in known
    ]
    cached = [{name: getattr(model, name) for name in JSON_FIELDS} for model in runnable]
    return {"known": rows, "also_cached": cached}


def _print_table(known: Iterable[KnownWeights], runnable: Mapping["CachedModel", str]) -> None:
    """Print a row for each known model, and for each other folder with its pipeline."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("--model", "of", "what it is", "licence", "on this disk"):
        table.add_column(heading, no_wrap=heading == "--model")
    for command, preset, on_disk in known:
        state = "yes" if on_disk else f"no ({preset.download_gb:g} GB)"
        table.add_row(*map(Text, (preset.name, command, preset.about, preset.licence, state)))
    for model, pipeline in runnable.items():
        name = f"{model.repo_id}@{model.revision}"
        row = (name, COMMANDS[pipeline], f"a {pipeline}", "see its page", _state(model))
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else 160  # no narrow rows in a pipe
    Console(highlight=False, width=width).print(table)


def _pipeline(model: "CachedModel") -> str:
    """The pipeline class of a cached repository; empty if it has none."""
    try:
        return str(read_json(model.folder / INDEX_NAME).get("_class_name"))
    except CheckpointError:
        return ""


def _state(model: "CachedModel") -> str:
    return f"{'yes' if model.complete else 'in part'} ({decimal(model.size)})"
