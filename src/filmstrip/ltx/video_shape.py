"""The shape of a video, and the shapes that LTX can make. It does not import torch."""

from dataclasses import dataclass
from math import ceil

from filmstrip.pipeline.checks import check_count

SIZE_MULTIPLE = 32  # pixels; height and width must be multiples of it


@dataclass(frozen=True)
class VideoShape:
    """Size and length of a video."""

    height: int  # pixels
    width: int  # pixels
    num_frames: int
    frame_rate: float  # frames per second


def round_down_frames(num_frames: int, temporal_compression_ratio: int) -> int:
    """The largest `ratio * k + 1` that is not above `num_frames`."""
    return (num_frames - 1) // temporal_compression_ratio * temporal_compression_ratio + 1


def round_up_shape(shape: VideoShape, temporal_compression_ratio: int) -> VideoShape:
    """The smallest shape that LTX can make and that is not smaller in any dimension.

    Raises:
        InputError: a height, width or number of frames that is no whole number above 0.
    """
    check_count(shape.height, "height")
    check_count(shape.width, "width")
    check_count(shape.num_frames, "num_frames")
    num_latent_frames = ceil((shape.num_frames - 1) / temporal_compression_ratio)
    return VideoShape(
        height=ceil(shape.height / SIZE_MULTIPLE) * SIZE_MULTIPLE,
        width=ceil(shape.width / SIZE_MULTIPLE) * SIZE_MULTIPLE,
        num_frames=num_latent_frames * temporal_compression_ratio + 1,
        frame_rate=shape.frame_rate,
    )
