"""Loading pictures and videos from a path or a URL."""

import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import PIL.Image
from PIL import ImageOps, ImageSequence

from filmstrip.errors import InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger

logger = get_logger(__name__)

URL_SCHEMES = ("http://", "https://")
TIMEOUT = 30  # seconds without an answer
PICTURE_SIGNATURES = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff")
# In other formats several pictures are thumbnails or pages, not an animation.
ANIMATED_FORMATS = {"GIF", "PNG", "WEBP"}

Images = list[PIL.Image.Image]


def load_image(
    image: AnyPath | PIL.Image.Image,
    convert_method: Callable[[PIL.Image.Image], PIL.Image.Image] | None = None,
) -> PIL.Image.Image:
    """Load a still picture, rotated as its EXIF orientation says.

    Args:
        image: a path, an http(s) URL or a PIL image.
        convert_method: applied to the rotated picture. Without it the picture is converted to RGB
            and its transparency dropped (see `flatten`).

    Raises:
        InputError: there is no such file, it is not a picture, or it is an animation.
    """
    if not isinstance(image, PIL.Image.Image):
        with _local_file(image, "picture") as path, open_picture(path) as picture:
            num_frames = getattr(picture, "n_frames", 1)
            if picture.format in ANIMATED_FORMATS and num_frames > 1:
                raise InputError(
                    f"{image} is animated ({num_frames} frames), and a still picture is needed. "
                    "Save one of its frames as a picture, or take one of those that load_video "
                    "reads."
                )
            image = picture.copy()
    upright = ImageOps.exif_transpose(image)
    return convert_method(upright) if convert_method else upright.convert("RGB")


def flatten(image: PIL.Image.Image, background: str = "white") -> PIL.Image.Image:
    """Composite a transparent picture on a background; convert others to 8-bit RGB.

    Args:
        image: a PIL image of any mode. 16-bit modes are scaled to 8 bits.
        background: a colour that PIL knows.
    """
    if image.mode.startswith("I"):  # 16 bits, which PIL would clip at 255
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    elif image.mode == "La":  # which PIL converts only to LA
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    canvas = PIL.Image.new("RGBA", layer.size, background)
    return PIL.Image.alpha_composite(canvas, layer).convert("RGB")


@overload
def load_video(
    video: AnyPath,
    convert_method: Callable[[Images], Images] | None = None,
    return_fps: Literal[False] = False,
) -> Images: ...


@overload
def load_video(
    video: AnyPath,
    convert_method: Callable[[Images], Images] | None = None,
    *,
    return_fps: Literal[True],
) -> tuple[Images, float]: ...


@overload
def load_video(
    video: AnyPath,
    convert_method: Callable[[Images], Images] | None,
    return_fps: Literal[True],
) -> tuple[Images, float]: ...


def load_video(
    video: AnyPath,
    convert_method: Callable[[Images], Images] | None = None,
    return_fps: bool = False,
) -> Images | tuple[Images, float]:
    """Load all frames of a video as RGB pictures, rotated as the file says.

    Args:
        video: a path or http(s) URL of anything that FFmpeg decodes, or of a GIF, WebP or PNG,
            animated or not.
        convert_method: applied to the list of frames.
        return_fps: also return the frame rate.

    Returns:
        The frames, or `(frames, frames per second)`.

    Raises:
        InputError: there is no such file, it has no video or cannot be read, or it does not state
            the frame rate that `return_fps` asks for.
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
    """Read the frames of a video as `load_video` does, and the frame rate if the file states it.

    Raises:
        InputError: as for `load_video`.
    """
    with _local_file(video, "video") as path:
        return _read_animation(path) if is_picture(path) else _decode(path)


def is_picture(path: Path) -> bool:
    """Whether a file has the signature of a GIF, PNG, JPEG or WebP.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if start.startswith(b"RIFF"):  # also the container of WAV and AVI
        return start[8:] == b"WEBP"
    return start.startswith(PICTURE_SIGNATURES)


@contextmanager
def open_picture(path: Path) -> Iterator[PIL.Image.Image]:
    """Open a picture with PIL; errors of PIL inside the block become an `InputError`."""
    try:
        with PIL.Image.open(path) as picture:
            yield picture
    except InputError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(
            f"{path} is not a picture that can be read. Give a PNG, JPEG, WebP or GIF file."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, PIL.Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read: {error}. The file may be damaged.") from error


@contextmanager
def open_video(path: Path) -> Iterator[Any]:
    """Open a video with PyAV; errors of FFmpeg inside the block become an `InputError`.

    A file without a video stream is refused likewise.
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
            f"{path} cannot be read as a video: {reason}. It may be damaged, or not a video."
        ) from error


def _decode(path: Path) -> tuple[Images, float | None]:
    """All frames of the first video stream, and its average rate."""
    from av.video.reformatter import Interpolation, VideoReformatter

    # Without full chroma interpolation colours come out about one level too dark.
    interpolation = (
        Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
    )
    reformatter = VideoReformatter()
    frames = []
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            rgb = reformatter.reformat(
                frame, format="rgb24", interpolation=interpolation, threads=1
            )
            picture = PIL.Image.fromarray(rgb.to_ndarray())
            if frame.rotation:
                picture = picture.rotate(frame.rotation, expand=True)
            frames.append(picture)
        stated_frames = stream.frames
        rate = stream.average_rate
    if not frames:
        raise InputError(f"No frame of {path} can be decoded. The file may be damaged.")
    if len(frames) < stated_frames:
        logger.warning(
            "Only %d of the %d frames of %s could be decoded.", len(frames), stated_frames, path
        )
    return frames, float(rate) if rate else None


def _read_animation(path: Path) -> tuple[Images, float | None]:
    """All frames of a GIF, WebP or PNG, and their mean rate."""
    frames = []
    milliseconds = 0.0
    with open_picture(path) as picture:
        for frame in ImageSequence.Iterator(picture):
            frames.append(frame.convert("RGB"))
            milliseconds += frame.info.get("duration") or 0
    fps = len(frames) * 1000 / milliseconds if milliseconds else None
    return frames, fps


@contextmanager
def _local_file(source: object, noun: str) -> Iterator[Path]:
    """The path of a file; a URL is downloaded to a temporary one.

    Args:
        source: the path or URL that the caller passed.
        noun: what errors call it, "picture" or "video".
    """
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(
            f"A {noun} must be a path or a URL, but this one is a {type(source).__name__}."
        )
    if not str(source).startswith(URL_SCHEMES):
        path = Path(source)
        if not os.path.exists(path):  # unlike Path.exists, false for impossible names
            raise InputError(
                f"There is no {noun} {source}. Check the path; a URL starts with http:// or "
                "https://."
            )
        if path.is_dir():
            raise InputError(f"{source} is a folder. Give the file of one {noun}.")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="filmstrip-") as folder:
        path = Path(folder) / "download"
        _download(str(source), path)
        try:
            yield path
        except InputError as error:  # name the URL, not the temporary file
            raise InputError(str(error).replace(str(path), str(source))) from error


def _download(url: str, path: Path) -> None:
    """Download a URL to a file; an `InputError` says why it failed."""
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "filmstrip"})
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT) as response,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(
            f"{url} could not be fetched: {error}. Check the address and the network."
        ) from error
