"""Finding a checkpoint: in a local folder, or in a repository on the Hub.

Files of a repository that are needed and not cached are downloaded into the Hub's cache.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger

logger = get_logger(__name__)

REPO_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"  # owner/name

# Takes the names of all files, and returns those of the files that are needed.
FileFilter: TypeAlias = Callable[[list[str]], list[str]]

# Arguments of diffusers' loaders that are ignored: filmstrip always does what they ask for.
IGNORED_OPTIONS = ("low_cpu_mem_usage", "use_safetensors", "disable_mmap")


class NotCachedError(CheckpointError):
    """Files are not in the Hub's cache and cannot be downloaded now.

    Args:
        missing: What is missing, the first part of the message.
        reason: Why nothing can be downloaded.
        commands: The shell commands that download it.
    """

    def __init__(self, missing: str, reason: str, commands: Sequence[str]) -> None:
        super().__init__(f"{missing}, and {reason}. Download it with: {' && '.join(commands)}")
        self.missing = missing
        self.reason = reason
        self.commands = commands


class HubOptions(TypedDict, total=False):
    """How to reach the Hub: arguments of every loader, with huggingface_hub's names."""

    revision: str | None  # branch, tag or commit
    cache_dir: AnyPath | None
    local_files_only: bool
    token: str | bool | None
    force_download: bool


@dataclass(frozen=True)
class CheckpointLocation:
    """A local folder or a repository on the Hub, the part of it to load, and how to reach it.

    Args:
        name: The folder, or the repository's id.
        subfolder: The subfolder to load from.
        files: The names or patterns of the only files that are needed, for `download_command`.
    """

    name: AnyPath
    subfolder: str | None = None
    revision: str | None = None
    cache_dir: AnyPath | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    force_download: bool = False
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, (str, os.PathLike)) or not os.fspath(self.name):
            raise InputError(
                f"The model is {self.name!r}; give a folder, or the id of a repository on the Hub."
            )

    def fetch(self, choose: FileFilter) -> Path:
        """The local folder with the needed files, which are downloaded if they are not cached.

        Args:
            choose: Returns the needed files from the names of all, relative to the subfolder. It
                may raise a `CheckpointError`.

        Returns:
            The folder, with the subfolder.

        Raises:
            CheckpointError: There is no such folder or repository, it cannot be reached, or it
                lacks a file.
        """
        path = Path(self.name)
        if path.is_dir():
            return self._with_subfolder(path)
        name = os.fspath(self.name)
        if path.exists():
            raise CheckpointError(
                f"{path} is a file. Give the folder that holds model_index.json or config.json."
            )
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
            raise CheckpointError(
                f"There is no folder {path}, and {name!r} is no id of a repository on the Hub."
            )
        if self.offline:
            return self._find_in_cache(choose, "nothing is downloaded in offline mode")
        return self._download(name, choose)

    @property
    def offline(self) -> bool:
        """Whether nothing may be downloaded."""
        from huggingface_hub import constants

        return self.local_files_only or constants.HF_HUB_OFFLINE

    @property
    def download_command(self) -> str:
        """The command that downloads the needed files into the Hub's cache."""
        if self.subfolder:
            files = [f"{self.subfolder}/*"]
        elif self.files:
            files = list(self.files)
        else:
            files = ["model_index.json", "config.json", "*/*"]
        if any("*" in file for file in files):
            files = [f'--include "{file}"' for file in files]
        words = ["hf download", os.fspath(self.name), *files]
        if self.revision:
            words.append(f"--revision {self.revision}")
        if self.cache_dir:
            words.append(f"--cache-dir {os.fspath(self.cache_dir)}")
        return " ".join(words)

    def _with_subfolder(self, folder: Path) -> Path:
        return folder / self.subfolder if self.subfolder else folder

    def _find_in_cache(self, choose: FileFilter, reason: str) -> Path:
        """The folder in the cache; a `NotCachedError` with the `reason` if something is missing."""
        commands = [self.download_command]
        folder_name = f"models--{os.fspath(self.name).replace('/', '--')}"
        repository = cache_folder(self.cache_dir) / folder_name
        reference = repository / "refs" / (self.revision or "main")
        commit = reference.read_text().strip() if reference.is_file() else self.revision
        if not commit or not (repository / "snapshots" / commit).is_dir():
            raise NotCachedError(
                f"{self.name} is neither a folder nor in the Hub's cache", reason, commands
            )
        folder = self._with_subfolder(repository / "snapshots" / commit)
        names = list_files(folder)
        cached_copy = f"The cached copy of {self.name}"
        try:
            missing = [name for name in choose(names) if name not in names]
        except CheckpointError as error:
            message = f"{cached_copy} is not complete ({str(error).rstrip('.')})"
            raise NotCachedError(message, reason, commands) from error
        if missing:
            raise NotCachedError(f"{cached_copy} lacks {', '.join(missing)}", reason, commands)
        return folder

    def _download(self, name: str, choose: FileFilter) -> Path:
        """The folder in the cache after downloading; what is cached if the Hub is out of reach."""
        from huggingface_hub import HfApi, snapshot_download

        prefix = f"{self.subfolder}/" if self.subfolder else ""
        try:
            info = HfApi(token=self.token).model_info(name, revision=self.revision)
        # the class depends on the version of huggingface_hub
        except Exception as error:
            return self._find_in_cache(choose, _explain(error, name, self.revision))
        remote = [sibling.rfilename for sibling in info.siblings or ()]
        names = [file.removeprefix(prefix) for file in remote if file.startswith(prefix)]
        needed = [prefix + file for file in choose(names)]
        missing = [file for file in needed if file not in remote]
        if missing:
            raise CheckpointError(
                f"{name} on the Hub has no file {', '.join(missing)}. Check subfolder and revision."
            )
        try:
            folder = snapshot_download(
                name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                token=self.token,
                force_download=self.force_download,
                allow_patterns=needed,
            )
        except Exception as error:
            raise CheckpointError(f"{name} could not be downloaded: {error}") from error
        return self._with_subfolder(Path(folder))


def fetch_all(needed: Sequence[tuple[CheckpointLocation, FileFilter]]) -> list[Path]:
    """`CheckpointLocation.fetch` for each location, in order.

    Raises:
        NotCachedError: It names all that is not cached, and a command for each repository.
        CheckpointError: As `CheckpointLocation.fetch`.
    """
    folders: list[Path] = []
    errors: list[NotCachedError] = []
    for location, choose in needed:
        try:
            folders.append(location.fetch(choose))
        except NotCachedError as error:
            errors.append(error)
    if errors:
        missing = " and ".join(error.missing for error in errors)
        commands = [command for error in errors for command in error.commands]
        raise NotCachedError(missing, errors[0].reason, commands)
    return folders


def split_options(options: Mapping[str, Any]) -> tuple[HubOptions, dict[str, Any]]:
    """Split a loader's further arguments into those for the Hub and the rest.

    `IGNORED_OPTIONS` are left out.

    Args:
        options: Arguments by name.

    Returns:
        The arguments for the Hub, and the others.

    Raises:
        InputError: Pickles are asked for.
    """
    if options.get("use_safetensors") is False:
        raise InputError(
            "use_safetensors=False asks for pickles, which can run code when read; only "
            "safetensors are read. Leave it out."
        )
    hub: Any = {}
    others = {}
    for name, value in options.items():
        if name in HubOptions.__annotations__:
            hub[name] = value
        elif name not in IGNORED_OPTIONS:
            others[name] = value
    return hub, others


def fetch_file(name: AnyPath, **hub: Unpack[HubOptions]) -> Path:
    """Find a single file, which is downloaded if it is not cached.

    Args:
        name: Its path; or "owner/repository/file" or its whole address on the Hub.
        hub: How to reach the Hub.

    Returns:
        Its local path.

    Raises:
        InputError: `name` is no path or text.
        CheckpointError: There is no such file, or it cannot be reached.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputError(
            f"The file is a {type(name).__name__}; give its path, or its address on the Hub."
        )
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder. Give the file in it, or use from_pretrained for a whole folder."
        )
    match = re.fullmatch(
        rf"(?:(?:https?://)?(?:huggingface\.co|hf\.co)/)?({REPO_ID})/"
        r"(?:(?:blob|resolve)/([^/]+)/)?((?:[\w-][\w.-]*/)*[\w-][\w.-]*)(?:\?download=true)?",
        os.fspath(name),
    )
    if match is None or not match[3].endswith(".safetensors"):
        raise CheckpointError(
            f"There is no file {name}, and it is no address of a safetensors file on the Hub "
            "either."
        )
    repository, branch, file = match.groups()
    hub["revision"] = hub.get("revision") or branch
    location = CheckpointLocation(repository, **hub, files=(file,))
    return location.fetch(lambda names: [file]) / file


def cache_folder(cache_dir: AnyPath | None) -> Path:
    """The folder of the Hub's cache: `cache_dir`, or huggingface_hub's default."""
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE)


def list_files(folder: Path) -> list[str]:
    """The files below a folder, relative to it, with forward slashes, without dangling links."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _explain(error: Exception, name: str, revision: str | None) -> str:
    """Why the Hub did not answer, for a message."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return f"its authors want their terms accepted first, at https://huggingface.co/{name}"
    if isinstance(error, RepositoryNotFoundError):
        return "the Hub has no such repository (or a private one, which needs token=)"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r} on the Hub"
    return f"the Hub cannot be reached ({type(error).__name__}: {error})"
