"""The models in the Hub's cache on this machine."""

from dataclasses import dataclass
from pathlib import Path

from filmstrip.files import AnyPath
from filmstrip.weights.hub import cache_folder, list_files
from filmstrip.weights.pipeline_index import INDEX_NAME, is_complete


@dataclass(frozen=True)
class CachedModel:
    """One revision of a repository in the Hub's cache."""

    repo_id: str
    revision: str  # branch or tag, or the commit where none points to it
    size: int  # bytes of its files on this disk
    complete: bool  # a pipeline has every file; another repository has no partial download
    folder: Path


def cached_models(cache_dir: AnyPath | None = None) -> list[CachedModel]:
    """List the models in the Hub's cache, sorted by name and revision.

    Args:
        cache_dir: The cache folder; None: that of huggingface_hub.
    """
    snapshots = cache_folder(cache_dir).glob("models--*/snapshots/*")
    models = [_read_snapshot(snapshot) for snapshot in snapshots]
    return sorted(models, key=lambda model: (model.repo_id, model.revision))


def _read_snapshot(snapshot: Path) -> CachedModel:
    """Read the snapshot folder of one revision."""
    repository = snapshot.parent.parent
    references = repository / "refs"
    revisions = [
        name
        for name in list_files(references)
        if (references / name).read_text().strip() == snapshot.name
    ]
    files = {(snapshot / name).resolve() for name in list_files(snapshot)}
    if (snapshot / INDEX_NAME).exists():
        complete = is_complete(snapshot)
    else:
        has_dangling_links = any(not path.exists() for path in snapshot.rglob("*"))
        was_cut_off = any((repository / "blobs").glob("*.incomplete"))
        complete = not has_dangling_links and not was_cut_off
    return CachedModel(
        repo_id=repository.name.removeprefix("models--").replace("--", "/"),
        revision=revisions[-1] if revisions else snapshot.name,
        size=sum(file.stat().st_size for file in files),
        complete=complete,
        folder=snapshot,
    )
