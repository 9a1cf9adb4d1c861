"""What the Hub's cache on this machine holds."""

from dataclasses import dataclass
from pathlib import Path

from filmstrip.files import AnyPath
from filmstrip.weights.folder import INDEX_NAME, is_complete
from filmstrip.weights.hub import cache_folder, list_files


@dataclass(frozen=True)
class CachedModel:
    """One revision of a repository in the Hub's cache."""

    repo_id: str
    revision: str  # branch or tag, or the commit where none points to it
    size: int  # bytes of its files on this disk
    # a pipeline: it loads without the network; another repository: no download was cut off
    complete: bool
    folder: Path


def cached_models(cache_dir: AnyPath | None = None) -> list[CachedModel]:
    """The models in the Hub's cache folder, the usual one or another, by name and revision. None:
    an empty list.
    """
    found = []
    for snapshot in cache_folder(cache_dir).glob("models--*/snapshots/*"):
        repository = snapshot.parent.parent
        repo_id = repository.name.removeprefix("models--").replace("--", "/")
        references = repository / "refs"
        names = [
            name
            for name in list_files(references)
            if (references / name).read_text().strip() == snapshot.name
        ]
        files = {(snapshot / name).resolve() for name in list_files(snapshot)}
        if (snapshot / INDEX_NAME).exists():
            complete = is_complete(snapshot)
        else:
            dangling = any(not path.exists() for path in snapshot.rglob("*"))
            complete = not dangling and not any((repository / "blobs").glob("*.incomplete"))
        size = sum(file.stat().st_size for file in files)
        found.append(
            CachedModel(repo_id, names[-1] if names else snapshot.name, size, complete, snapshot)
        )
    return sorted(found, key=lambda model: (model.repo_id, model.revision))
