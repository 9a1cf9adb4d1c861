"""The inputs of a job: pictures and clips, and which of their frames it uses."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.json_dataclass import JsonDataclass

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST_PICTURE = 8  # pixels of width and height
BACKGROUND = "white"  # of transparent pictures

EXTEND = "extend"  # the role of a clip that the video continues,
EXTEND_BEFORE = "extend-before"  # and of one that it leads up to


@dataclass(frozen=True)
class MediaFile(JsonDataclass):
    """A picture or clip, with its size and hash at the time of planning."""

    path: str  # or an http(s) URL
    width: int
    height: int
    num_frames: int | None = None  # None: a picture
    sha256: str | None = None  # of the file; None for a URL

    @property
    def is_picture(self) -> bool:
        """Whether it is read as a still picture."""
        return self.num_frames is None

    def read(self) -> list["Image"]:
        """Read all frames; a picture is one frame.

        Raises:
            InputError: the file is missing, cannot be read, or has changed since the job was
                planned.
        """
        if self.is_picture:
            frames = [read_picture(self.path).value]
        else:
            from filmstrip.media.load import read_video

            frames, _ = read_video(self.path)
        if describe(self.path, frames, self.is_picture) != self:
            raise InputError(
                f"{self.path} has changed since the job was planned. Plan the job again, or put "
                "the old file back."
            )
        return frames


@dataclass(frozen=True)
class MediaInput(JsonDataclass):
    """The frames of a picture or clip that a job uses, and their position in its video."""

    role: str  # "image", "video", EXTEND or EXTEND_BEFORE
    file: MediaFile
    start: int = 0  # the first frame of the file that is used
    stop: int = 1  # the frame after the last one that is used
    frame_index: int = 0  # the frame of the video at which they begin
    strength: float = 1.0  # 0 to 1

    @property
    def num_frames(self) -> int:
        """How many frames of the file are used."""
        return self.stop - self.start

    @property
    def is_extended(self) -> bool:
        """Whether the video continues this clip, or leads up to it."""
        return self.role in (EXTEND, EXTEND_BEFORE)

    def __str__(self) -> str:
        """The value of the command line option for this input."""
        if self.is_extended:
            return self.file.path
        return f"{self.file.path}@{self.frame_index}:{self.strength:g}"


def describe(path: str, frames: list["Image"], is_picture: bool) -> MediaFile:
    """Describe a picture or clip whose frames were read.

    Args:
        path: a path or an http(s) URL.
        frames: all frames of the file.
        is_picture: whether it is a still picture, not a clip.
    """
    local = Path(path)
    sha256 = None
    if local.is_file():
        with local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    width, height = frames[0].size
    return MediaFile(path, width, height, None if is_picture else len(frames), sha256)


def read_picture(source: str) -> Adjusted["Image"]:
    """Read a picture as RGB, rotated as its EXIF orientation says, without transparency.

    Args:
        source: a path or an http(s) URL.

    Raises:
        InputError: it cannot be read or is too small.
    """
    from filmstrip.media.load import flatten, load_image

    picture = load_image(source, convert_method=lambda upright: upright)
    if min(picture.size) < SMALLEST_PICTURE:
        raise InputError(
            f"{source} is {picture.width}x{picture.height}: give a picture of at least "
            f"{SMALLEST_PICTURE}x{SMALLEST_PICTURE}."
        )
    opaque = flatten(picture, BACKGROUND)
    if not picture.has_transparency_data:
        return Adjusted(opaque)
    return Adjusted(opaque, (f"{source} is transparent: it is put on {BACKGROUND}.",))
