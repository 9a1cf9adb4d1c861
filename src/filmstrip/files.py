"""Single files: written complete or not at all, and read with errors that name the file."""

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
    """Make a folder, with those above it, unless it is there; an InputError says why it cannot be
    made.
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
    """Yield a path to write a file or a folder to. It takes `path`'s place if the block ends well,
    or vanishes.

    A link goes on pointing at what is replaced. A folder replaces an empty folder only. An
    InputError says why the place cannot be written: no permission, no space.
    """
    target = path.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix=".filmstrip-", dir=target.parent) as folder:
            beside = Path(folder, target.name)
            yield beside
            os.replace(beside, target)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path} cannot be written: {reason}. Free some space or name another place."
        ) from error


@contextlib.contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` to write files to. They move into `folder` if the block ends
    well, or vanish.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            yield Path(beside)
            for file in Path(beside).iterdir():
                os.replace(file, folder / file.name)
    except OSError as error:
        raise InputError(
            f"The files of {folder} cannot be written: {error.strerror or error}."
        ) from error


def is_plain_name(name: str) -> bool:
    """Whether `name` can only be something directly in a folder: no path out of it, or into another
    one.
    """
    fits = name.isprintable() and len(name.encode()) < 256
    return fits and name not in ("", ".", "..") and "/" not in name and "\\" not in name


def write_json(path: Path, content: Any) -> None:
    """Write JSON as diffusers does: sorted, indented by two; arrays and tensors as lists, paths as
    text.

    What has no form in JSON is an InputError.
    """

    def plain(value: Any) -> Any:
        if not hasattr(value, "tolist") and not isinstance(value, Path):
            raise InputError(
                f"{path.name} cannot be written as JSON, which has no form for {value!r}."
            )
        return value.as_posix() if isinstance(value, Path) else value.tolist()

    text = json.dumps(content, indent=2, sort_keys=True, default=plain) + "\n"
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object; a CheckpointError says what is there instead."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise CheckpointError(
            f"{path} is not a JSON file ({error}). Download or save it again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a JSON object of names and values, not {str(content)[:80]}."
        )
    return content
