"""What the Hub's cache on this machine holds."""

import os
from dataclasses import dataclass
from pathlib import Path

from filmstrip.weights.folder import INDEX_NAME, is_complete
from filmstrip.weights.hub import cache_folder, list_files


@dataclass(frozen=True)
class CachedModel:
    """One revision of a repository in the Hub's cache."""

    repo_id: str
    revision: str  # branch or tag, or the commit where none points to it
    size: int  # bytes of its files on this disk
    complete: bool  # a pipeline: it loads without the network; another repository: no download was cut off
    folder: Path


def cached_models(cache_dir: str | os.PathLike[str] | None = None) -> list[CachedModel]:
    """The models in the Hub's cache folder, the usual one or another, by name and revision. None: an empty list."""
    found = []
    for repository in cache_folder(cache_dir).glob("models--*"):
        repo_id = repository.name.removeprefix("models--").replace("--", "/")
        references = {
            path.read_text().strip(): path.relative_to(repository / "refs").as_posix()
            for path in (repository / "refs").rglob("*")
            if path.is_file()
        }
        for snapshot in (repository / "snapshots").glob("*"):
            size = sum(
                {path.resolve(): path.stat().st_size for path in map(snapshot.joinpath, list_files(snapshot))}.values()
            )
            cut_off = any((repository / "blobs").glob("*.incomplete")) or any(
                not path.exists() for path in snapshot.rglob("*")
            )
            complete = is_complete(snapshot) if (snapshot / INDEX_NAME).exists() else not cut_off
            revision = references.get(snapshot.name, snapshot.name)
            found.append(CachedModel(repo_id, revision, size, complete, snapshot))
    return sorted(found, key=lambda model: (model.repo_id, model.revision))
