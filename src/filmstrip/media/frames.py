"""The frames of one video, whatever they came as, as uint8 RGB arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from filmstrip.errors import InputError

Video: TypeAlias = (
    "Sequence[PIL.Image.Image] | Sequence[NDArray[Any]] | Sequence[torch.Tensor] | NDArray[Any] | torch.Tensor"
)

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
OVERSHOOT = 1e-3  # floats may leave [0, 1] by this much, as rounding does; they are clipped


@dataclass(frozen=True)
class Frames:
    """A video that iterates as `(H, W, 3)` uint8 RGB arrays, each converted when its turn comes.

    Grey becomes RGB, and the alpha channel is dropped.
    """

    source: Sequence[Any] | NDArray[Any]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for index in range(len(self.source)):
            yield _rgb(self.source[index], index)


def as_frames(video: Video) -> Frames:
    """Check `video` and wrap it.

    Args:
        video: PIL images; arrays `(H, W, C)` or `(H, W)`; tensors `(C, H, W)`; or one array `(T, H, W, C)`
            or tensor `(T, C, H, W)`, with 1, 3 or 4 channels. Floats lie in [0, 1], integers are uint8.

    Raises:
        InputError: no frames, other types, frames of different sizes. Floats outside [0, 1] raise it when
            their frame is read.
    """
    if isinstance(video, (list, tuple)) and video and all(isinstance(frame, torch.Tensor) for frame in video):
        _same_size([tuple(frame.shape) for frame in video])
        video = torch.stack(list(video))
    if isinstance(video, torch.Tensor):
        video = _tensor_to_array(video)
    if isinstance(video, np.ndarray):
        grey = video.ndim == 3 and video.shape[-1] not in CHANNELS
        if not grey and (video.ndim != 4 or video.shape[-1] not in CHANNELS):
            raise InputError(
                "A video array has shape (frames, height, width, channels) with 1, 3 or 4 channels, but this one "
                f"has shape {video.shape}.{_batch_hint(video.ndim)}"
            )
    elif not isinstance(video, (list, tuple)):
        raise InputError(
            "A video is a list of PIL images, arrays or tensors, or one array or tensor, but this one is a "
            f"{type(video).__name__}."
        )
    if len(video) == 0:
        raise InputError("The video has no frames: give at least one.")
    sizes = [_size(frame, index) for index, frame in enumerate(video)]
    _same_size(sizes)
    height, width = sizes[0]
    if height == 0 or width == 0:
        raise InputError(f"The frames are {width}x{height} pixels: both sides must be at least 1.")
    return Frames(video, height, width)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Turn values in [0, 1] of any floating type into 0 to 255, rounding halves to even as numpy does."""
    return (images.float() * 255).round_().to(torch.uint8)


def _tensor_to_array(video: torch.Tensor) -> NDArray[np.uint8]:
    """`(T, C, H, W)` to `(T, H, W, C)` uint8: converted where the tensor is, moved once."""
    if video.ndim != 4 or video.shape[1] not in CHANNELS:
        channels_last = video.ndim == 4 and video.shape[-1] in CHANNELS
        hint = " Bring its channels forward with .permute(0, 3, 1, 2)." if channels_last else ""
        raise InputError(
            "A video tensor has shape (frames, channels, height, width) with 1, 3 or 4 channels, but this one "
            f"has shape {tuple(video.shape)}.{hint}{_batch_hint(video.ndim)}"
        )
    if video.is_floating_point() and video.numel():
        low, high = (float(bound) for bound in torch.aminmax(video.detach()))
        _check_range(low, high, "The video")
        video = to_uint8(video.detach().clamp(0, 1))
    elif video.dtype != torch.uint8:
        raise _type_error("The video", video.dtype)
    return video.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _rgb(frame: Any, index: int) -> NDArray[np.uint8]:
    if not isinstance(frame, np.ndarray):
        return np.asarray(frame.convert("RGB"))
    if np.issubdtype(frame.dtype, np.floating):
        _check_range(float(frame.min()), float(frame.max()), f"Frame {index}")
        frame = (frame.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    if frame.ndim == 2:
        frame = frame[..., None]
    return np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else np.ascontiguousarray(frame[..., :3])


def _size(frame: Any, index: int) -> tuple[int, int]:
    """Height and width of one frame, once it is known to be a picture."""
    if isinstance(frame, np.ndarray):
        if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[-1] not in CHANNELS):
            raise InputError(
                f"Frame {index} must have shape (height, width, channels) with 1, 3 or 4 channels, but it has "
                f"shape {frame.shape}."
            )
        if frame.dtype != np.uint8 and frame.dtype.kind != "f":
            raise _type_error(f"Frame {index}", frame.dtype)
        return int(frame.shape[0]), int(frame.shape[1])

    if not isinstance(frame, PIL.Image.Image):
        raise InputError(
            f"Frame {index} is a {type(frame).__name__}: the frames of a list are PIL images, arrays or tensors."
        )
    return frame.height, frame.width


def _same_size(sizes: Sequence[tuple[int, ...]]) -> None:
    for index, size in enumerate(sizes):
        if size != sizes[0]:
            raise InputError(
                f"All frames of a video have the same size, but frame 0 has {sizes[0]} and frame {index} has "
                f"{size}. Resize them first."
            )


def _check_range(low: float, high: float, what: str) -> None:
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        raise InputError(
            f"{what} has values from {low:g} to {high:g}: floats must lie in [0, 1]. Scale them, or give uint8."
        )


def _type_error(what: str, dtype: object) -> InputError:
    return InputError(f"{what} has type {dtype}: give uint8, or floats in [0, 1].")


def _batch_hint(ndim: int) -> str:
    return " Give one video of the batch, such as frames[0]." if ndim == 5 else ""
