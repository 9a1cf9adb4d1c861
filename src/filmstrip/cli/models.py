"""`filmstrip models`: the models that filmstrip knows, and what of them is on this disk."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from filmstrip.cli.display import size
from filmstrip.cli.generate import LTX_FOLDERS
from filmstrip.errors import CheckpointError
from filmstrip.ltx.presets import PRESETS, Preset
from filmstrip.weights.files import read_json


@dataclass(frozen=True)
class Cached:
    """A repository in the Hub's cache, as its newest revision there stands."""

    repo: str
    bytes: int
    pipeline: str | None  # what model_index.json names; None: no model folder of a pipeline
    missing: tuple[str, ...]  # components without their files

    def state(self) -> str:
        """`cached (25 GB)`, or what is missing."""
        return (
            f"partly ({size(self.bytes)}; no {', '.join(self.missing)})"
            if self.missing
            else f"cached ({size(self.bytes)})"
        )


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the models that filmstrip knows, and what is in the Hub's cache."""
    cached = {entry.repo: entry for entry in scan_cache()}
    known = {preset.repo for preset in PRESETS}
    others = [entry for entry in cached.values() if entry.repo not in known]
    runnable = [entry for entry in others if entry.pipeline in LTX_FOLDERS]
    if as_json:
        rows = [_as_dict(preset, cached.get(preset.repo or "")) for preset in PRESETS]
        print(json.dumps({"known": rows, "also_cached": [asdict(entry) for entry in runnable]}, indent=2))
        return
    _print_table(cached, runnable)
    rest = [entry for entry in others if entry not in runnable]
    if rest:
        print(f"Also in the cache: {len(rest)} of other kinds ({size(sum(entry.bytes for entry in rest))}).")


def scan_cache() -> list[Cached]:
    """The model repositories in the Hub's cache folder, the largest first."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [repo for repo in scan_cache_dir().repos if repo.repo_type == "model" and repo.revisions]
    except CacheNotFound:
        return []
    entries = []
    for repo in sorted(repos, key=lambda repo: (-repo.size_on_disk, repo.repo_id)):
        newest = max(repo.revisions, key=lambda revision: revision.last_modified)
        entries.append(Cached(repo.repo_id, repo.size_on_disk, *_inspect(newest.snapshot_path)))
    return entries


def _inspect(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """The pipeline that `model_index.json` names, and the components whose files are not all there."""
    try:
        index = read_json(folder / "model_index.json")
    except CheckpointError:
        return None, ()
    if not isinstance(index, dict):
        return None, ()
    names = [name for name, kind in index.items() if isinstance(kind, list) and kind and kind[0] is not None]
    return index.get("_class_name"), tuple(name for name in names if not _is_whole(folder / name))


def _is_whole(component: Path) -> bool:
    """Whether a component has its files: all shards of its index, else weights, else JSON if it has none."""
    indices = list(component.glob("*.safetensors.index.json"))
    try:
        shards = {shard for index in indices for shard in read_json(index)["weight_map"].values()}
    except (CheckpointError, KeyError, TypeError, AttributeError):
        return False
    if shards:
        return all((component / shard).exists() for shard in shards)
    needs_weights = (component / "config.json").exists()
    return any(component.glob("*.safetensors" if needs_weights else "*.json"))


def _as_dict(preset: Preset, entry: Cached | None) -> dict[str, Any]:
    state = {
        "cached": preset.repo is None or (entry is not None and not entry.missing),
        "cached_bytes": entry.bytes if entry else 0,
    }
    return asdict(preset) | state


def _print_table(cached: dict[str, Cached], runnable: Sequence[Cached]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("--model", "what it is", "licence", "on this disk"):
        table.add_column(heading, no_wrap=heading == "--model")
    for preset in PRESETS:
        entry = cached.get(preset.repo or "")
        table.add_row(*map(Text, (preset.name, preset.about, preset.licence, _state(preset, entry))))
    for entry in runnable:
        table.add_row(*map(Text, (entry.repo, f"a {entry.pipeline}", "see its page", entry.state())))
    Console(highlight=False).print(table)


def _state(preset: Preset, entry: Cached | None) -> str:
    if preset.repo is None:
        return "yes"
    if entry is not None:
        return entry.state()
    return f"no, {preset.download_gb} GB" if preset.download_gb else "no"
