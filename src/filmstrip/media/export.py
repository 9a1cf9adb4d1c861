"""Writing videos: H.264 files, animations, folders of frames."""

import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from filmstrip.errors import InputError
from filmstrip.files import AnyPath, make_folder, replacing
from filmstrip.logging import get_logger
from filmstrip.media.frames import Video, to_uint8_frames
from filmstrip.media.provenance import PROVENANCE_FILE, to_ascii, to_exif, to_text

logger = get_logger(__name__)

QUALITY = 7.0  # default of save_video: CRF 15, visually lossless
PALETTE_SAMPLE = 8192  # pixels from which the palette of a GIF's frame is computed
HEADER_BYTES = 1 << 20  # estimate for headers and provenance
BT709 = 1  # code point of H.273 for the matrix, the primaries and the transfer function
LIMITED_RANGE = 1  # FFmpeg's code for luma from 16 to 235

Frames: TypeAlias = NDArray[np.uint8]  # (T, H, W, 3), RGB
# Arguments: frames, path, frames a second, quality, provenance as text.
Writer: TypeAlias = Callable[[Frames, Path, Fraction, float, str | None], None]


@dataclass(frozen=True)
class OutputFormat:
    """A format that `save_video` writes.

    Attributes:
        write: writes the frames.
        bytes_per_pixel: upper estimate of the file size, for frames that compress badly.
        even_size: whether width and height must be even, as chroma has half the resolution.
    """

    write: Writer
    bytes_per_pixel: float
    even_size: bool = False


def export_to_video(
    video_frames: Video,
    output_video_path: AnyPath | None = None,
    fps: float = 10,
    quality: float | None = 5.0,
    bitrate: int | str | None = None,
    macro_block_size: int | None = 16,
) -> str:
    """Write frames as H.264 4:2:0, with diffusers' arguments.

    Args:
        video_frames: one video, in a form that `frames.to_uint8_frames` takes.
        output_video_path: ends in .mp4, .mov or .mkv; None makes a temporary mp4.
        fps: frames a second, 0.001 to 1000, fractions included.
        quality: 0 (worst) to 10 (lossless, which few players show); see `crf`. None is x264's
            default, CRF 23.
        bitrate: bits a second, as a number or as FFmpeg writes it ("800k"), instead of `quality`.
        macro_block_size: height and width are scaled up to the next even multiple of it, bicubic.
            With None or 1 the size is kept, but an odd height or width is padded by repeating the
            last row or column, since 4:2:0 needs even sizes.

    Returns:
        The path.

    Raises:
        InputError: frames or arguments cannot be used, or the file cannot be written.
    """
    rate = _check_fps(fps)
    if bitrate is not None and not re.fullmatch(r"[1-9]\d*(\.\d+)?[kKM]?", str(bitrate)):
        raise InputError(
            f'bitrate={bitrate!r} must be a number of bits a second, such as 800000 or "800k".'
        )
    if macro_block_size is not None and (
        not isinstance(macro_block_size, int) or macro_block_size < 0
    ):
        raise InputError(
            f"macro_block_size={macro_block_size!r} must be a whole number of pixels, or None."
        )
    options = {"b": "0", **crf(quality)} if bitrate is None else {"b": str(bitrate)}
    frames = to_uint8_frames(video_frames)
    path = Path(output_video_path or _temporary_path("video.mp4"))
    if path.suffix.lower() not in MOVFLAGS:
        raise InputError(f"{path} must end in one of {', '.join(MOVFLAGS)} to hold an H.264 video.")
    _check_target(path)
    multiple = math.lcm(macro_block_size or 1, 2)
    with replacing(make_folder(path.parent) / path.name) as temporary:
        _encode_h264(frames, temporary, rate, options, size_multiple=multiple)
    return str(path)


def export_to_gif(image: Video, output_gif_path: AnyPath | None = None, fps: float = 10) -> str:
    """Write frames as a GIF that loops for ever, with diffusers' arguments and numbers.

    Each frame lasts `1000 // fps` milliseconds, cut to hundredths of a second, the unit of a GIF:
    24 fps play as 25. `save_video` keeps the length right, dithers, and is much faster.

    Args:
        image: one video, in a form that `frames.to_uint8_frames` takes.
        output_gif_path: ends in .gif; None makes a temporary file.
        fps: frames a second, 0.001 to 1000.

    Returns:
        The path.

    Raises:
        InputError: frames or arguments cannot be used, or the file cannot be written.
    """
    duration = 1000 // _check_fps(fps)
    frames = to_uint8_frames(image)
    path = Path(output_gif_path or _temporary_path("video.gif"))
    if path.suffix.lower() != ".gif":
        raise InputError(f"{path} must end in .gif. For other formats use save_video.")
    _check_target(path)
    pictures = map(PIL.Image.fromarray, frames)
    with replacing(make_folder(path.parent) / path.name) as temporary:
        _save_animation(pictures, temporary, format="GIF", duration=duration, optimize=False)
    return str(path)


def save_video(
    frames: Video,
    path: AnyPath,
    fps: float,
    quality: float = QUALITY,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write one video in the format of the path's suffix. A failed write leaves no file.

    Args:
        frames: one video, in a form that `frames.to_uint8_frames` takes. An odd height or width of
            an H.264 video is padded by repeating the last row or column.
        path: ends in .mp4, .mov, .mkv (H.264), .gif or .webp; a path without a suffix, or an
            empty folder, becomes a folder of PNG frames. An existing file is replaced.
        fps: frames a second, 0.001 to 1000, fractions included.
        quality: 0 to 10. For H.264 see `crf`; 10 is lossless there and in WebP. GIF and PNG do not
            use it.
        provenance: the settings that made the video, to store in the file; see
            `filmstrip.media.provenance`.

    Returns:
        The path.

    Raises:
        InputError: frames or arguments cannot be used, or the file cannot be written.
    """
    path = Path(path)
    write = format_of(path).write
    rate = _check_fps(fps)
    quality = _check_quality(quality)
    text = None if provenance is None else to_text(provenance)
    array = to_uint8_frames(frames)
    _check_target(path)
    with replacing(make_folder(path.parent) / path.name) as temporary:
        write(array, temporary, rate, quality, text)
    return path


def check_writable(path: AnyPath, num_frames: int, height: int, width: int) -> None:
    """Check that `save_video` can write a video of this size. Nothing is written.

    Args:
        path: as in `save_video`.
        num_frames, height, width: the size of the video.

    Raises:
        InputError: the suffix is unknown, the path is a folder but the suffix that of a file or the
            reverse, the folder is not empty, or permission or space is missing.
    """
    path = Path(path)
    pixels = num_frames * height * width
    needed = int(pixels * format_of(path).bytes_per_pixel) + HEADER_BYTES
    parent = _check_target(path)
    try:
        with tempfile.TemporaryFile(dir=parent):
            free = shutil.disk_usage(parent).free
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {parent}: {error.strerror}. Name another path."
        ) from error
    if free < needed:
        raise InputError(
            f"{path} may need up to {needed / 1e6:,.0f} MB ({num_frames} frames of "
            f"{width}x{height}), and {parent} has {free / 1e6:,.0f} MB free. Free some space or "
            "name another path."
        )


def crf(quality: float | None) -> dict[str, str]:
    """The x264 option for a quality of 0 to 10: CRF 51 to 0, as in imageio-ffmpeg 0.6.

    Args:
        quality: 0 (worst) to 10 (lossless); None: no option, which is x264's default.

    Raises:
        InputError: another value.
    """
    if quality is None:
        return {}
    return {"crf": str(int((1 - _check_quality(quality) / 10.0) * 51))}


def format_of(path: Path) -> OutputFormat:
    """The format of a path's suffix.

    Raises:
        InputError: the suffix is unknown.
    """
    suffix = "" if os.path.isdir(path) else path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{path} ends in {path.suffix}, which is not a format that can be written. Use "
            f"{', '.join(filter(None, FORMATS))}, or a name without a suffix for a folder of PNG "
            "frames."
        )
    return FORMATS[suffix]


def _temporary_path(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="filmstrip-"), name)


def _write_h264(
    frames: Frames, path: Path, fps: Fraction, quality: float, provenance: str | None
) -> None:
    _encode_h264(frames, path, fps, crf(quality), provenance)


def _encode_h264(
    frames: Frames,
    path: Path,
    fps: Fraction,
    options: dict[str, str],
    provenance: str | None = None,
    size_multiple: int = 2,
) -> None:
    """Encode H.264 in 4:2:0, with the matrix of BT.709 and tagged so.

    Untagged files are decoded by BT.601 in some players and by BT.709 in others.

    Args:
        options: of x264.
        provenance: the text of the `comment` tag.
        size_multiple: an even number; frames are scaled up to multiples of it. For 2 they are
            padded instead, so that no pixel changes.
    """
    import av

    if size_multiple == 2:
        _, height, width, _ = frames.shape
        frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    _, height, width, _ = frames.shape
    coded_width = math.ceil(width / size_multiple) * size_multiple
    coded_height = math.ceil(height / size_multiple) * size_multiple
    if (coded_width, coded_height) != (width, height):
        logger.warning(
            "The frames are scaled from %dx%d to %dx%d, multiples of %d.",
            width,
            height,
            coded_width,
            coded_height,
            size_multiple,
        )
    converter = _yuv_converter((width, height), (coded_width, coded_height), 1 / fps)
    movflags = MOVFLAGS[path.suffix.lower()]
    flags = {"movflags": movflags} if movflags else {}
    try:
        with av.open(str(path), "w", options=flags) as container:
            if provenance is not None:
                container.metadata["comment"] = provenance
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.width = coded_width
            stream.height = coded_height
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.colorspace = BT709
            context.color_primaries = BT709
            context.color_trc = BT709
            context.color_range = LIMITED_RANGE
            for index, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = index
                frame.time_base = 1 / fps
                converter.push(frame)
                container.mux(stream.encode(converter.pull()))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _yuv_converter(size: tuple[int, int], coded_size: tuple[int, int], time_base: Fraction) -> Any:
    """A filter that scales RGB frames (bicubic) and converts them to BT.709 in 4:2:0.

    The chroma samples go where H.264 has them by default, at the left of their two columns: the
    default of FFmpeg's filter, the middle, shifts colours by half a pixel. The flags `accurate_rnd`
    and `full_chroma_inp` keep it from rounding colours down.

    Args:
        size: width and height of the frames.
        coded_size: width and height of the result.
        time_base: seconds from one frame to the next.
    """
    from av import VideoFormat
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=size[0], height=size[1], format=VideoFormat("rgb24"), time_base=time_base
    )
    flags = "flags=bicubic+accurate_rnd+full_chroma_inp"
    matrix = "out_color_matrix=bt709:out_range=tv:out_h_chr_pos=0:out_v_chr_pos=128"
    scale = graph.add("scale", f"{coded_size[0]}:{coded_size[1]}:{flags}:{matrix}")
    graph.link_nodes(
        source, scale, graph.add("format", "yuv420p"), graph.add("buffersink")
    ).configure()
    return graph


def _write_gif(
    frames: Frames, path: Path, fps: Fraction, quality: float, provenance: str | None
) -> None:
    options: dict[str, Any] = {} if provenance is None else {"comment": to_ascii(provenance)}
    options["duration"] = _durations(len(frames), fps, unit=10)
    options["optimize"] = False
    _save_animation(map(_quantize, frames), path, format="GIF", **options)


def _quantize(frame: NDArray[np.uint8]) -> PIL.Image.Image:
    """Reduce a frame to a palette of 256 colours, dithered (Floyd and Steinberg).

    The palette comes from a sample of the frame's pixels. PIL's own conversion looks at every pixel
    and does not dither: it takes a second for 768x512, and shows bands.
    """
    sample = np.random.default_rng(0).choice(frame.reshape(-1, 3), PALETTE_SAMPLE)
    palette = PIL.Image.fromarray(sample[None]).quantize(256, PIL.Image.Quantize.MEDIANCUT)
    return PIL.Image.fromarray(frame).quantize(
        palette=palette, dither=PIL.Image.Dither.FLOYDSTEINBERG
    )


def _write_webp(
    frames: Frames, path: Path, fps: Fraction, quality: float, provenance: str | None
) -> None:
    options: dict[str, Any] = {} if provenance is None else {"exif": to_exif(provenance)}
    # 75, WebP's default, at 5; above that WebP needs more bits than H.264.
    options["quality"] = round(100 - (10 - quality) ** 2)
    options["lossless"] = quality == 10
    options["duration"] = _durations(len(frames), fps, unit=1)
    _save_animation(map(PIL.Image.fromarray, frames), path, format="WEBP", **options)


def _write_folder(
    frames: Frames, path: Path, fps: Fraction, quality: float, provenance: str | None
) -> None:
    path.mkdir()
    for index, frame in enumerate(frames):
        PIL.Image.fromarray(frame).save(path / f"frame_{index:05d}.png")
    if provenance is not None:
        (path / PROVENANCE_FILE).write_text(provenance, "utf-8")


def _save_animation(pictures: Iterable[PIL.Image.Image], path: Path, **options: Any) -> None:
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, loop=0, **options)


def _durations(num_frames: int, fps: Fraction, unit: int) -> list[int]:
    """How long each frame lasts, in milliseconds, as multiples of `unit`.

    Rounding errors do not accumulate: frame n starts within half a unit of n / fps.
    """
    starts = [round(index * 1000 / fps / unit) * unit for index in range(num_frames + 1)]
    return [max(end - start, unit) for start, end in pairwise(starts)]


def _check_fps(fps: float) -> Fraction:
    """The frame rate as a fraction that encoders take."""
    if not isinstance(fps, Real) or not 0.001 <= fps <= 1000:
        raise InputError(f"fps={fps!r} must be a number of frames a second between 0.001 and 1000.")
    return Fraction(float(fps)).limit_denominator(100_000)


def _check_quality(quality: float) -> float:
    if not isinstance(quality, Real) or not 0 <= quality <= 10:
        raise InputError(f"quality={quality!r} must be a number from 0 (worst) to 10 (best).")
    return quality


def _check_target(path: Path) -> Path:
    """Check that the path is a valid name, and that a file or folder there can be replaced.

    Returns:
        The nearest existing folder above it.
    """
    parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise InputError(f"{path} cannot be written: {parent} is not a folder.")
    try:
        path.lstat()
    except FileNotFoundError:
        return parent
    except (OSError, ValueError) as error:  # name too long, null byte, no permission
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{str(path)!r} cannot be written: {reason}. Name another path."
        ) from error
    if path.is_dir():
        if path.suffix.lower() in FORMATS and path.suffix:
            raise InputError(
                f"{path} is a folder, and a file is to be written there. Name another file."
            )
        if any(path.iterdir()):
            raise InputError(
                f"The folder {path} is not empty. Name an empty or a new one for the frames."
            )
    elif not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder. Name another path.")
    elif not path.suffix:
        raise InputError(
            f"{path} is a file, and a folder of frames is to be written: add .mp4 or the like."
        )
    return parent


# FFmpeg's options for the containers of H.264. "faststart" puts the index first, so that a browser
# starts before it has the whole file; "use_metadata_tags" allows comments longer than 64 kB.
MOVFLAGS = {
    ".mp4": "+faststart",
    ".mov": "+faststart+use_metadata_tags",
    ".mkv": "",
}
FORMATS = {
    **dict.fromkeys(MOVFLAGS, OutputFormat(_write_h264, bytes_per_pixel=1.0, even_size=True)),
    ".gif": OutputFormat(_write_gif, bytes_per_pixel=1.5),
    ".webp": OutputFormat(_write_webp, bytes_per_pixel=3.0),
    "": OutputFormat(_write_folder, bytes_per_pixel=3.0),
}
