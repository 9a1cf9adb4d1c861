"""Where a checkpoint is: a local folder, or a repository on the Hub that is fetched into the cache."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filmstrip.errors import CheckpointError


@dataclass(frozen=True)
class Source:
    """A checkpoint folder on disk, or a repository on the Hub, and how to reach it."""

    name: str | os.PathLike[str]
    subfolder: str | None = None
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    force_download: bool = False

    def fetch(self, files: Sequence[str] | Callable[[list[str]], list[str]]) -> Path:
        """The local folder that holds the named files, downloaded first where it is a repository's.

        `files` may also be a function that picks from the list of files there.
        """
        folder = Path(self.name)
        if not folder.is_dir():
            raise CheckpointError(f"There is no folder {folder}.")
        return folder / self.subfolder if self.subfolder else folder
