"""Loading pictures and videos from a path or a URL."""

import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
from PIL import ImageOps, ImageSequence

from filmstrip.errors import InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger

logger = get_logger(__name__)

URL_SCHEMES = ("http://", "https://")
TIMEOUT = 30  # seconds without an answer
PICTURE_SIGNATURES = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
ANIMATED_FORMATS = {
    "GIF",
    "PNG",
    "WEBP",
}  # several pictures in other formats are thumbnails or pages, not a film

Images = list[PIL.Image.Image]


def load_image(
    image: AnyPath | PIL.Image.Image,
    convert_method: Callable[[PIL.Image.Image], PIL.Image.Image] | None = None,
) -> PIL.Image.Image:
    """Load a still picture, turned upright as its EXIF orientation says.

    Args:
        image: a path, an http(s) URL or a PIL image. No such file, no picture, or an animated one:
            an InputError.
        convert_method: applied to the upright picture, which else becomes RGB, less its
            transparency (see `flatten`).
    """
    if not isinstance(image, PIL.Image.Image):
        with _local_file(image, "picture") as path, open_picture(path) as picture:
            if (
                picture.format in ANIMATED_FORMATS
                and (count := getattr(picture, "n_frames", 1)) > 1
            ):
                raise InputError(
                    f"{image} is animated ({count} frames), and a still picture is needed. Save "
                    "one of its frames as "
                    "a picture, or take one of those that load_video reads."
                )
            image = picture.copy()
    upright = ImageOps.exif_transpose(image)
    return convert_method(upright) if convert_method else upright.convert("RGB")


def flatten(image: PIL.Image.Image, background: str = "white") -> PIL.Image.Image:
    """Composite a transparent picture on a background colour that PIL knows; others just become
    RGB, of 8 bits.
    """
    if image.mode.startswith("I"):  # 16 bits, which PIL would cut off at 255
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    elif image.mode == "La":  # which PIL converts to nothing but LA
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, background), layer).convert(
        "RGB"
    )


def load_video(
    video: AnyPath,
    convert_method: Callable[[Images], Images] | None = None,
    return_fps: bool = False,
) -> Any:
    """Load all frames of a video as a list of RGB pictures, turned upright as the file says.

    Args:
        video: a path or http(s) URL of anything FFmpeg decodes, or of a GIF, WebP or PNG, animated
            or not. No such file, no video in it, or one that cannot be read: an InputError.
        convert_method: applied to the list of frames.
        return_fps: return `(frames, frames per second)`; an InputError if the file does not say how
            many.
    """
    frames, fps = read_video(video)
    if convert_method is not None:
        frames = convert_method(frames)
    if not return_fps:
        return frames
    if fps is None:
        raise InputError(
            f"{video} does not say how many frames a second it has: load it without "
            "return_fps=True."
        )
    return frames, fps


def read_video(video: AnyPath) -> tuple[Images, float | None]:
    """The frames of `load_video`, and how many the file shows a second, if it says so."""
    with _local_file(video, "video") as path:
        return _read_animation(path) if is_picture(path) else _decode(path)


def is_picture(path: Path) -> bool:
    """Whether the file starts like a GIF, PNG, JPEG or WebP."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return start.startswith(PICTURE_SIGNATURES) and (start[:4] != b"RIFF" or start[8:] == b"WEBP")


@contextmanager
def open_picture(path: Path) -> Iterator[PIL.Image.Image]:
    """Open a picture with PIL; whatever PIL finds wrong with it inside the block becomes an
    `InputError`.
    """
    try:
        with PIL.Image.open(path) as picture:
            yield picture
    except InputError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(
            f"{path} is no picture that can be read. Give a PNG, JPEG, WebP or GIF file."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, PIL.Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read: {error}. The file may be damaged.") from error


@contextmanager
def open_video(path: Path) -> Iterator[Any]:
    """Open a file that has a video stream with PyAV; what FFmpeg finds wrong becomes an
    `InputError`.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(
                    f"{path} has no video stream: it holds something else, or is damaged."
                )
            yield container
    except InputError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} cannot be read as a video: {reason}. It may be damaged, or no video."
        ) from error


def _decode(path: Path) -> tuple[Images, float | None]:
    """All frames of the first video stream, and its average rate."""
    from av.video.reformatter import Interpolation, VideoReformatter

    # Without full chroma interpolation colours come out about one level too dark.
    precise = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
    frames, reformatter = [], VideoReformatter()
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            rgb = reformatter.reformat(frame, format="rgb24", interpolation=precise, threads=1)
            picture = PIL.Image.fromarray(rgb.to_ndarray())
            frames.append(
                picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
            )
        promised, rate = stream.frames, stream.average_rate
    if not frames:
        raise InputError(f"No frame of {path} can be decoded. The file may be damaged.")
    if len(frames) < promised:
        logger.warning(
            "Only %d of the %d frames of %s could be decoded.", len(frames), promised, path
        )
    return frames, float(rate) if rate else None


def _read_animation(path: Path) -> tuple[Images, float | None]:
    """Every frame of a GIF, WebP or PNG, and the mean rate."""
    frames, milliseconds = [], 0.0
    with open_picture(path) as picture:
        for frame in ImageSequence.Iterator(picture):
            frames.append(frame.convert("RGB"))
            milliseconds += frame.info.get("duration") or 0
    return frames, len(frames) * 1000 / milliseconds if milliseconds else None


@contextmanager
def _local_file(source: object, what: str) -> Iterator[Path]:
    """The path of `source`; that of a URL is a temporary file."""
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(
            f"A {what} is given as a path or a URL, but this one is a {type(source).__name__}."
        )
    if not str(source).startswith(URL_SCHEMES):
        path = Path(source)
        if not os.path.exists(path):  # unlike Path.exists, false for impossible names
            raise InputError(
                f"There is no {what} {source}. Check the path; a URL starts with http:// or "
                "https://."
            )
        if path.is_dir():
            raise InputError(f"{source} is a folder. Give the file of one {what}.")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="filmstrip-") as folder:
        path = Path(folder) / "download"
        try:
            request = urllib.request.Request(str(source), headers={"User-Agent": "filmstrip"})
            with (
                urllib.request.urlopen(request, timeout=TIMEOUT) as response,
                path.open("wb") as file,
            ):
                shutil.copyfileobj(response, file)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise InputError(
                f"{source} could not be fetched: {error}. Check the address and the network."
            ) from error
        try:
            yield path
        except InputError as error:  # name what the user knows
            raise InputError(str(error).replace(str(path), str(source))) from error
