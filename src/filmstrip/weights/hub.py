"""Where a checkpoint is: a local folder, or a repository on the Hub, of which what is needed is put
in the cache.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger

logger = get_logger(__name__)

Choice = Callable[[list[str]], list[str]]

# Arguments of diffusers' loaders for what is always so here.
ALWAYS_ON = ("low_cpu_mem_usage", "use_safetensors", "disable_mmap")


class NotCachedError(CheckpointError):
    """Files are neither in the Hub's cache nor to be had now."""

    def __init__(self, lack: str, reason: str, commands: Sequence[str]) -> None:
        super().__init__(f"{lack}, and {reason}. Download it with: {' && '.join(commands)}")
        self.lack, self.reason, self.commands = lack, reason, commands


class HubOptions(TypedDict, total=False):
    """How to reach the Hub: the arguments that every loader takes for it, as huggingface_hub
    does.
    """

    revision: str | None  # branch, tag or commit
    cache_dir: AnyPath | None
    local_files_only: bool
    token: str | bool | None
    force_download: bool


@dataclass(frozen=True)
class Source:
    """A checkpoint: a local folder or a repository on the Hub, the part of it that is meant, and
    how to reach it.
    """

    name: AnyPath
    subfolder: str | None = None
    revision: str | None = None
    cache_dir: AnyPath | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    force_download: bool = False
    files: tuple[str, ...] = ()  # when only these are meant, by names or patterns

    def __post_init__(self) -> None:
        if not isinstance(self.name, (str, os.PathLike)) or not os.fspath(self.name):
            raise InputError(
                f"The model is {self.name!r}; give a folder, or the id of a repository on the Hub."
            )

    def fetch(self, choose: Choice) -> Path:
        """The local folder that holds what is needed, after downloading it where the source is a
        repository.

        `choose` picks the needed files from the names of all, relative to the subfolder, or raises
        a CheckpointError. So does this if there is no such folder or repository, it cannot be
        reached, or lacks something.
        """
        path = Path(self.name)
        if path.is_dir():
            return self._inside(path)
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
            return self._cached(choose, "nothing is downloaded in offline mode")
        return self._downloaded(name, choose)

    @property
    def offline(self) -> bool:
        """Whether nothing may be downloaded."""
        from huggingface_hub import constants

        return self.local_files_only or constants.HF_HUB_OFFLINE

    @property
    def download_command(self) -> str:
        """The command that downloads the source into the Hub's cache."""
        what = (
            [f"{self.subfolder}/*"]
            if self.subfolder
            else self.files or ["model_index.json", "config.json", "*/*"]
        )
        parts = (
            [f'--include "{name}"' for name in what] if any("*" in name for name in what) else what
        )
        words = ["hf download", os.fspath(self.name), *parts]
        words += [f"--revision {self.revision}"] if self.revision else []
        words += [f"--cache-dir {os.fspath(self.cache_dir)}"] if self.cache_dir else []
        return " ".join(words)

    def _inside(self, folder: Path) -> Path:
        return folder / self.subfolder if self.subfolder else folder

    def _cached(self, choose: Choice, reason: str) -> Path:
        commands = [self.download_command]
        repository = (
            cache_folder(self.cache_dir) / f"models--{os.fspath(self.name).replace('/', '--')}"
        )
        reference = repository / "refs" / (self.revision or "main")
        commit = reference.read_text().strip() if reference.is_file() else self.revision
        if not commit or not (repository / "snapshots" / commit).is_dir():
            raise NotCachedError(
                f"{self.name} is neither a folder nor in the Hub's cache", reason, commands
            )
        folder = self._inside(repository / "snapshots" / commit)
        names = list_files(folder)
        copy = f"The cached copy of {self.name}"
        try:
            absent = [name for name in choose(names) if name not in names]
        except CheckpointError as error:
            lack = f"{copy} is not complete ({str(error).rstrip('.')})"
            raise NotCachedError(lack, reason, commands) from error
        if absent:
            raise NotCachedError(f"{copy} lacks {', '.join(absent)}", reason, commands)
        return folder

    def _downloaded(self, name: str, choose: Choice) -> Path:
        from huggingface_hub import HfApi, snapshot_download

        prefix = f"{self.subfolder}/" if self.subfolder else ""
        try:
            info = HfApi(token=self.token).model_info(name, revision=self.revision)
        # its HTTP library, and with it the errors, changed between versions of the client
        except Exception as error:
            return self._cached(choose, _explain(error, name, self.revision))
        remote = [sibling.rfilename for sibling in info.siblings or ()]
        wanted = [
            prefix + file
            for file in choose([f.removeprefix(prefix) for f in remote if f.startswith(prefix)])
        ]
        if absent := [file for file in wanted if file not in remote]:
            raise CheckpointError(
                f"{name} on the Hub has no file {', '.join(absent)}. Check subfolder and revision."
            )
        hub: HubOptions = {
            "revision": self.revision,
            "cache_dir": self.cache_dir,
            "token": self.token,
        }
        try:
            folder = snapshot_download(
                name, **hub, force_download=self.force_download, allow_patterns=wanted
            )
        except Exception as error:
            raise CheckpointError(f"{name} could not be downloaded: {error}") from error
        return self._inside(Path(folder))


def fetch_all(wanted: Sequence[tuple[Source, Choice]]) -> list[Path]:
    """`Source.fetch` for each; the error names all that is not cached, and a command for each
    repository.
    """
    folders, absent = list[Path](), list[NotCachedError]()
    for source, choose in wanted:
        try:
            folders.append(source.fetch(choose))
        except NotCachedError as error:
            absent.append(error)
    if absent:
        commands = [command for error in absent for command in error.commands]
        raise NotCachedError(
            " and ".join(error.lack for error in absent), absent[0].reason, commands
        )
    return folders


def split_options(options: Mapping[str, Any]) -> tuple[HubOptions, dict[str, Any]]:
    """Part a loader's further arguments into those for the Hub and the rest, without what is always
    so here.
    """
    if options.get("use_safetensors") is False:
        raise InputError(
            "use_safetensors=False asks for pickles, which can run code when read; only "
            "safetensors are. Leave it out."
        )
    hub: Any = {name: options[name] for name in HubOptions.__annotations__ if name in options}
    return hub, {
        name: value for name, value in options.items() if name not in hub and name not in ALWAYS_ON
    }


def fetch_file(name: AnyPath, **hub: Unpack[HubOptions]) -> Path:
    """A single file, after downloading it where `name` is "owner/repository/file" or its whole
    address on the Hub.

    A CheckpointError says that there is none or that it cannot be reached.
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
        r"(?:(?:https?://)?(?:huggingface\.co|hf\.co)/)?([\w-][\w.-]*/[\w-][\w.-]*)/"
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
    source = Source(repository, **hub, files=(file,))
    return source.fetch(lambda names: [file]) / file


def cache_folder(cache_dir: AnyPath | None) -> Path:
    """The Hub's cache: the one given, or the usual one."""
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE)


def list_files(folder: Path) -> list[str]:
    """The files below a folder, relative to it, with forward slashes. Dangling links are left
    out.
    """
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def _explain(error: Exception, name: str, revision: str | None) -> str:
    """Why the Hub did not answer, in words."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reasons = {
        GatedRepoError: "its authors want their terms accepted first, at "
        f"https://huggingface.co/{name}",
        RepositoryNotFoundError: "the Hub has no such repository (or a private one, which needs "
        "token=)",
        RevisionNotFoundError: f"it has no revision {revision!r} on the Hub",
    }
    reached = f"the Hub cannot be reached ({type(error).__name__}: {error})"
    return next((words for kind, words in reasons.items() if isinstance(error, kind)), reached)
