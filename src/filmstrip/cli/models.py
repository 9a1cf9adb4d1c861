"""`filmstrip models`: the models that filmstrip knows, and what of them is on this disk."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from filmstrip.cli.checkpoint import INDEX
from filmstrip.cli.families import FAMILIES
from filmstrip.errors import CheckpointError
from filmstrip.pipeline.presets import KnownModel
from filmstrip.weights.files import read_json

if TYPE_CHECKING:
    from filmstrip.weights.cache import CachedModel

KNOWN: tuple[tuple[str, KnownModel], ...] = tuple(
    (family.command, preset) for family in FAMILIES for preset in family.presets
)
COMMANDS = {name: family.command for family in FAMILIES for name in family.folders}


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the models that filmstrip knows, and what is in the Hub's cache."""
    from filmstrip.weights.cache import cached_models

    cached = cached_models()
    known = {preset.repo for _, preset in KNOWN}
    others = [model for model in cached if model.repo_id not in known]
    runnable = [model for model in others if _pipeline(model) in COMMANDS]
    if as_json:
        rows = [{"command": name} | asdict(preset) | {"on_disk": _on_disk(preset, cached)} for name, preset in KNOWN]
        print(json.dumps({"known": rows, "also_cached": [_as_dict(model) for model in runnable]}, indent=2))
        return
    _print_table(cached, runnable)
    rest = [model for model in others if model not in runnable]
    if rest:
        print(f"Also in the cache: {len(rest)} models of other kinds ({decimal(sum(model.size for model in rest))}).")


def _pipeline(model: "CachedModel") -> str | None:
    """The pipeline that a cached folder names; None for other repositories."""
    try:
        return read_json(model.folder / INDEX).get("_class_name")
    except CheckpointError:
        return None


def _best(repo: str | None, cached: Sequence["CachedModel"]) -> "CachedModel | None":
    """Of a repository's cached revisions, the one with the most of it."""
    revisions = [model for model in cached if model.repo_id == repo]
    return max(revisions, key=lambda model: (model.complete, model.size), default=None)


def _on_disk(preset: KnownModel, cached: Sequence["CachedModel"]) -> bool:
    model = _best(preset.repo, cached)
    return preset.repo is None or (model is not None and model.complete)


def _as_dict(model: "CachedModel") -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("repo_id", "revision", "size", "complete")}


def _print_table(cached: Sequence["CachedModel"], runnable: Sequence["CachedModel"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("--model", "of", "what it is", "licence", "on this disk"):
        table.add_column(heading, no_wrap=heading == "--model")
    for command, preset in KNOWN:
        state = _state(preset, _best(preset.repo, cached))
        table.add_row(*map(Text, (preset.name, command, preset.about, preset.licence, state)))
    for model in runnable:
        name, kind = f"{model.repo_id}@{model.revision}", _pipeline(model) or ""
        table.add_row(*map(Text, (name, COMMANDS[kind], f"a {kind}", "see its page", _cached_state(model))))
    Console(highlight=False).print(table)


def _state(preset: KnownModel, model: "CachedModel | None") -> str:
    if preset.repo is None:
        return "yes"
    if model is not None:
        return _cached_state(model)
    return f"no ({preset.download_gb} GB)" if preset.download_gb else "no"


def _cached_state(model: "CachedModel") -> str:
    return f"{'yes' if model.complete else 'in part'} ({decimal(model.size)})"
