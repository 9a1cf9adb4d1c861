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
from filmstrip.media.frames import Video, as_frames
from filmstrip.media.provenance import FOLDER_FILE, to_ascii, to_exif, to_text

logger = get_logger(__name__)

QUALITY = 7.0  # of save_video: CRF 15, above what the eye can tell from the frames
PALETTE_SAMPLE = 8192  # pixels by which the colours of a GIF's frame are chosen
SPARE = 1 << 20  # bytes of headers and recipe
BT709, LIMITED_RANGE = (
    1,
    1,
)  # code points of H.273 for matrix, primaries and transfer; FFmpeg's for 16 to 235

Frames: TypeAlias = NDArray[np.uint8]  # (T, H, W, 3), RGB


@dataclass(frozen=True)
class Format:
    """A kind of output that `save_video` knows."""

    write: Callable[
        [Frames, Path, Fraction, float, str | None], None
    ]  # frames, place, fps, quality, recipe's text
    bytes_per_pixel: (
        float  # of a frame, for hard pictures; decides how much free space is asked for
    )


def export_to_video(
    video_frames: Video,
    output_video_path: AnyPath | None = None,
    fps: float = 10,
    quality: float | None = 5.0,
    bitrate: int | str | None = None,
    macro_block_size: int | None = 16,
) -> str:
    """Write frames as H.264 4:2:0 with diffusers' arguments and return the path.

    Unusable frames or arguments, and a file that cannot be written, are an InputError.

    Args:
        video_frames: one video, as `frames.as_frames` takes it.
        output_video_path: ends in .mp4, .mov or .mkv; None makes a temporary mp4.
        fps: frames a second, fractions included.
        quality: 0 (worst) to 10 (lossless, which few players show); see `crf`. None is x264's CRF
            23.
        bitrate: bits a second, as a number or as FFmpeg writes it ("800k"), instead of `quality`.
        macro_block_size: other sizes are scaled up to the next even multiple of it, bicubic. None
            or 1 keeps the size, but an odd side gets its last row or column twice, since 4:2:0
            needs even sides.
    """
    rate = _fps(fps)
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
    frames = as_frames(video_frames)
    path = Path(output_video_path or Path(tempfile.mkdtemp(prefix="filmstrip-"), "video.mp4"))
    if path.suffix.lower() not in MOVFLAGS:
        raise InputError(f"{path} must end in one of {', '.join(MOVFLAGS)} to hold an H.264 video.")
    _check_target(path)
    with replacing(make_folder(path.parent) / path.name) as part:
        _encode(frames, part, rate, options, block=math.lcm(macro_block_size or 1, 2))
    return str(path)


def export_to_gif(image: Video, output_gif_path: AnyPath | None = None, fps: float = 10) -> str:
    """Write frames as a GIF that loops for ever, temporary without a path, and return its path; as
    diffusers does.

    Each frame lasts `1000 // fps` milliseconds, cut to the hundredths of a second that a GIF counts
    in: 24 fps play as 25. `save_video` keeps the length right, dithers, and is much faster. Errors
    are those of `export_to_video`.
    """
    duration = 1000 // _fps(fps)
    frames = as_frames(image)
    path = Path(output_gif_path or Path(tempfile.mkdtemp(prefix="filmstrip-"), "video.gif"))
    if path.suffix.lower() != ".gif":
        raise InputError(f"{path} must end in .gif. For other formats use save_video.")
    _check_target(path)
    with replacing(make_folder(path.parent) / path.name) as part:
        _save_animation(
            map(PIL.Image.fromarray, frames), part, format="GIF", duration=duration, optimize=False
        )
    return str(path)


def save_video(
    frames: Video,
    path: AnyPath,
    fps: float,
    quality: float = QUALITY,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write one video in the format that the name's ending says, complete or not at all. Errors are
    those of `export_to_video`.

    Args:
        frames: one video, as `frames.as_frames` takes it. An odd side of an H.264 video gets its
            last line twice.
        path: ends in .mp4, .mov, .mkv (H.264), .gif or .webp, or has no ending, or is an empty
            folder: a folder of PNG frames. A file that is there is replaced.
        fps: frames a second, fractions included.
        quality: 0 to 10. For H.264 see `crf`; 10 is lossless there and in WebP. GIF and PNG do not
            use it.
        recipe: kept in the file, see `filmstrip.media.provenance`.
    """
    path = Path(path)
    write = format_of(path).write
    rate, quality, text = _fps(fps), _quality(quality), None if recipe is None else to_text(recipe)
    checked = as_frames(frames)
    _check_target(path)
    with replacing(make_folder(path.parent) / path.name) as part:
        write(checked, part, rate, quality, text)
    return path


def check_writable(path: AnyPath, frames: int, height: int, width: int) -> None:
    """Find out before any work whether `save_video` can write such a video there. Leaves nothing
    behind.

    An InputError says why not: unknown ending, a folder for a file or the other way round or not
    empty, no permission, no space.
    """
    path = Path(path)
    needed = int(frames * height * width * format_of(path).bytes_per_pixel) + SPARE
    parent = _check_target(path)
    try:
        with tempfile.TemporaryFile(dir=parent):
            free = shutil.disk_usage(parent).free
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {parent}: {error.strerror}. Name another place."
        ) from error
    if free < needed:
        raise InputError(
            f"{path} may need up to {needed / 1e6:,.0f} MB ({frames} frames of {width}x{height}), "
            f"and {parent} "
            f"has {free / 1e6:,.0f} MB free. Free some space or name another place."
        )


def crf(quality: float | None) -> dict[str, str]:
    """The x264 option for a quality of 0 to 10: CRF 51 to 0, as imageio-ffmpeg 0.6 (`write_frames`)
    has it.
    """
    return {} if quality is None else {"crf": str(int((1 - _quality(quality) / 10.0) * 51))}


def format_of(path: Path) -> Format:
    """The format that a path's ending names; an `InputError` for others."""
    suffix = "" if os.path.isdir(path) else path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{path} ends in {path.suffix}, which is no format that can be written. Use "
            f"{', '.join(filter(None, FORMATS))}, or a name without an ending for a folder of PNG "
            "frames."
        )
    return FORMATS[suffix]


def _write_h264(
    frames: Frames, path: Path, fps: Fraction, quality: float, recipe: str | None
) -> None:
    _encode(frames, path, fps, crf(quality), recipe)


def _encode(
    frames: Frames,
    path: Path,
    fps: Fraction,
    options: dict[str, str],
    recipe: str | None = None,
    block: int = 2,
) -> None:
    """H.264 in 4:2:0, scaled up to multiples of `block` (even), in BT.709 by matrix and by tag.

    Untagged files are decoded by BT.601 in some players and by BT.709 in others.
    """
    import av

    if (
        block == 2
    ):  # repeat the last row or column where a side is odd: every given pixel stays as it is
        frames = np.pad(
            frames, ((0, 0), *((0, side % 2) for side in frames.shape[1:3]), (0, 0)), mode="edge"
        )
    given = width, height = frames.shape[2], frames.shape[1]
    size = tuple(math.ceil(side / block) * block for side in given)
    if size != given:
        logger.warning(
            "The frames are scaled from %dx%d to %dx%d, multiples of %d.", *given, *size, block
        )
    converter = _to_yuv(width, height, size, 1 / fps)
    try:
        with av.open(
            str(path), "w", options={"movflags": MOVFLAGS[path.suffix.lower()]}
        ) as container:
            if recipe is not None:
                container.metadata["comment"] = recipe
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = LIMITED_RANGE
            for index, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, 1 / fps
                converter.push(frame)
                container.mux(stream.encode(converter.pull()))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _to_yuv(width: int, height: int, size: tuple[int, ...], time_base: Fraction) -> Any:
    """A filter that scales RGB frames (bicubic, FFmpeg's default) and converts them to BT.709 in
    4:2:0.

    The chroma samples go where H.264 has them unless told otherwise, at the left of their two
    columns: FFmpeg's default, the middle, moves colours by half a pixel. The two flags keep it from
    rounding colours down.
    """
    from av import VideoFormat
    from av.filter import Graph

    graph = Graph()
    matrix = "out_color_matrix=bt709:out_range=tv:out_h_chr_pos=0:out_v_chr_pos=128"
    graph.link_nodes(
        graph.add_buffer(
            width=width, height=height, format=VideoFormat("rgb24"), time_base=time_base
        ),
        graph.add(
            "scale", f"{size[0]}:{size[1]}:flags=bicubic+accurate_rnd+full_chroma_inp:{matrix}"
        ),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _write_gif(
    frames: Frames, path: Path, fps: Fraction, quality: float, recipe: str | None
) -> None:
    comment = {} if recipe is None else {"comment": to_ascii(recipe)}
    duration = _durations(len(frames), fps, 10)
    _save_animation(
        map(_indexed, frames), path, format="GIF", duration=duration, optimize=False, **comment
    )


def _indexed(frame: NDArray[np.uint8]) -> PIL.Image.Image:
    """A frame in 256 colours of its own, chosen by a sample of its pixels, with dithering (Floyd
    and Steinberg).

    PIL's own conversion looks at every pixel and does not dither: it takes a second for 768x512,
    and shows bands.
    """
    sample = np.random.default_rng(0).choice(frame.reshape(-1, 3), PALETTE_SAMPLE)
    palette = PIL.Image.fromarray(sample[None]).quantize(256, PIL.Image.Quantize.MEDIANCUT)
    return PIL.Image.fromarray(frame).quantize(
        palette=palette, dither=PIL.Image.Dither.FLOYDSTEINBERG
    )


def _write_webp(
    frames: Frames, path: Path, fps: Fraction, quality: float, recipe: str | None
) -> None:
    options: dict[str, Any] = {} if recipe is None else {"exif": to_exif(recipe)}
    options["quality"] = round(
        100 - (10 - quality) ** 2
    )  # 75, WebP's usual, at 5; it needs more bits than H.264 above
    options |= {"lossless": quality == 10, "duration": _durations(len(frames), fps, 1)}
    _save_animation(map(PIL.Image.fromarray, frames), path, format="WEBP", **options)


def _write_folder(
    frames: Frames, path: Path, fps: Fraction, quality: float, recipe: str | None
) -> None:
    path.mkdir()
    for index, frame in enumerate(frames):
        PIL.Image.fromarray(frame).save(path / f"frame_{index:05d}.png")
    if recipe is not None:
        (path / FOLDER_FILE).write_text(recipe, "utf-8")


def _save_animation(pictures: Iterable[PIL.Image.Image], path: Path, **options: Any) -> None:
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, loop=0, **options)


def _durations(count: int, fps: Fraction, tick: int) -> list[int]:
    """Milliseconds each frame lasts, in whole ticks, so that frame n starts within half a tick of n
    / fps.
    """
    starts = [round(index * 1000 / fps / tick) * tick for index in range(count + 1)]
    return [max(end - start, tick) for start, end in pairwise(starts)]


def _fps(fps: float) -> Fraction:
    if not isinstance(fps, Real) or not 0.001 <= fps <= 1000:
        raise InputError(f"fps={fps!r} must be a number of frames a second between 0.001 and 1000.")
    return Fraction(float(fps)).limit_denominator(100_000)


def _quality(quality: float) -> float:
    if not isinstance(quality, Real) or not 0 <= quality <= 10:
        raise InputError(f"quality={quality!r} must be a number from 0 (worst) to 10 (best).")
    return quality


def _check_target(path: Path) -> Path:
    """That a path can have that name, and what is there now can be replaced. Returns the nearest
    folder above.
    """
    parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise InputError(f"{path} cannot be written: {parent} is not a folder.")
    try:
        path.lstat()
    except FileNotFoundError:
        return parent
    except (OSError, ValueError) as error:  # too long a name, a null byte, no permission to look
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{str(path)!r} cannot be written: {reason}. Name another place."
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
        raise InputError(f"{path} is neither a file nor a folder. Name another place.")
    elif not path.suffix:
        raise InputError(
            f"{path} is a file, and a folder of frames is to be written: add .mp4 or the like."
        )
    return parent


# FFmpeg's options for what holds H.264. "faststart" puts the index first: a browser starts before
# it has everything.
MOVFLAGS = {
    ".mp4": "+faststart",
    ".mov": "+faststart+use_metadata_tags",  # without these tags a comment ends at 64 kB
    ".mkv": "",
}
FORMATS = {
    **dict.fromkeys(MOVFLAGS, Format(_write_h264, bytes_per_pixel=1.0)),
    ".gif": Format(_write_gif, bytes_per_pixel=1.5),
    ".webp": Format(_write_webp, bytes_per_pixel=3.0),
    "": Format(_write_folder, bytes_per_pixel=3.0),
}
