"""Files that are written complete or not at all, and JSON files."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from filmstrip.errors import CheckpointError, InputError

AnyPath: TypeAlias = str | os.PathLike[str]


def make_folder(path: AnyPath) -> Path:
    """Make a folder and its parents, unless it exists.

    Raises:
        InputError: It cannot be made: there is a file of this name, or no permission.
    """
    folder = Path(path)
    if folder.is_file():
        raise InputError(f"{folder} is a file. Give the folder to save in.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    return folder


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file or a folder to.

    If the block succeeds, it replaces `path`; if not, it is removed. If `path` is a link, its
    target is replaced. A folder replaces only an empty folder.

    Raises:
        InputError: `path` cannot be written, for example without permission or space.
    """
    target = path.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix=".filmstrip-", dir=target.parent) as folder:
            temporary = Path(folder, target.name)
            yield temporary
            os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path} cannot be written: {reason}. Free some space or name another path."
        ) from error


@contextlib.contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to write files to.

    If the block succeeds, they move into `folder`; if not, they are removed.

    Raises:
        InputError: The files cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            yield Path(temporary)
            for file in Path(temporary).iterdir():
                os.replace(file, folder / file.name)
    except OSError as error:
        raise InputError(
            f"The files of {folder} cannot be written: {error.strerror or error}."
        ) from error


def is_plain_name(name: str) -> bool:
    """Whether `name` is a file name without a path, so that it cannot lead out of a folder."""
    if not name.isprintable() or len(name.encode()) >= 256:
        return False
    return name not in ("", ".", "..") and "/" not in name and "\\" not in name


def write_json(path: Path, content: Any) -> None:
    """Write JSON as diffusers does: sorted, indented by two.

    Arrays and tensors are written as lists, paths as text.

    Raises:
        InputError: A value cannot be written as JSON, or the path cannot be written.
    """

    def convert(value: Any) -> Any:
        if isinstance(value, Path):
            return value.as_posix()
        if hasattr(value, "tolist"):
            return value.tolist()
        raise InputError(f"{path.name} cannot be written as JSON, which has no form for {value!r}.")

    text = json.dumps(content, indent=2, sort_keys=True, default=convert) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises:
        CheckpointError: The file is missing, cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested too deeply
        raise CheckpointError(
            f"{path} is not a JSON file ({error}). Download or save it again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a JSON object of names and values, not {str(content)[:80]}."
        )
    return content
