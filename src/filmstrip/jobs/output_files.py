"""The files that a job writes."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted

DEFAULT_STEM = "out"
DEFAULT_SUFFIX = ".mp4"


def choose_outputs(
    output: str | None, count: int, frames: int, height: int, width: int
) -> Adjusted[tuple[str, ...]]:
    """Choose the files to write, one for each video, and check that they can be written.

    Args:
        output: the file, whose suffix chooses the format; None: a new name in the working
            directory.
        count: the number of videos.
        frames, height, width: the size of each video, to check the free disk space.

    Raises:
        InputError: a file cannot be written.
    """
    from filmstrip.media.export import check_writable

    paths = _unused(count) if output is None else _numbered(Path(output), count)
    for path in paths:
        check_writable(path, frames, height, width)
    replaced = ", ".join(str(path) for path in paths if path.is_file())
    names = tuple(str(path) for path in paths)
    return Adjusted(names, (f"Replacing {replaced}.",) if replaced else ())


def refuse_inputs_as_outputs(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Refuse to write over a picture or clip that is read.

    Args:
        outputs: files to write.
        inputs: files and URLs to read.

    Raises:
        InputError: an output is the same file as an input.
    """
    read = {Path(file).resolve() for file in inputs}
    for output in outputs:
        if Path(output).resolve() in read:
            raise InputError(
                f"{output} is an input of this video and would be written over. Name another file."
            )


def unfinished_path(path: str) -> Path:
    """The file for the finished frames of a video that ends early, instead of `path`."""
    output = Path(path)
    return output.with_stem(f"{output.stem}-unfinished")


def _numbered(output: Path, count: int) -> tuple[Path, ...]:
    """The file itself, or NAME-0001.mp4, NAME-0002.mp4, ..."""
    if count == 1:
        return (output,)
    return tuple(
        output.with_name(f"{output.stem}-{number:04d}{output.suffix}")
        for number in range(1, count + 1)
    )


def _unused(count: int) -> tuple[Path, ...]:
    """`out.mp4`, or `out-2.mp4`, ...: the first name under which nothing exists."""
    for number in itertools.count(1):
        stem = DEFAULT_STEM if number == 1 else f"{DEFAULT_STEM}-{number}"
        paths = _numbered(Path(stem + DEFAULT_SUFFIX), count)
        if not any(path.exists() for path in paths):
            return paths
    raise AssertionError("itertools.count never ends")
