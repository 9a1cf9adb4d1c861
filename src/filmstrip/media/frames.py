"""The frames of one video, whatever they came as, as one uint8 RGB array."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from filmstrip.errors import InputError

Video: TypeAlias = (
    Sequence[PIL.Image.Image | NDArray[Any] | torch.Tensor] | NDArray[Any] | torch.Tensor
)

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
OVERSHOOT = 1e-3  # floats may leave [0, 1] by this much, as rounding does; they are clipped


def as_frames(video: Video) -> NDArray[np.uint8]:
    """Frames of one size as an array `(T, H, W, 3)`. Grey becomes RGB, and the alpha channel is
    dropped.

    Args:
        video: PIL images; arrays `(H, W, C)` or `(H, W)`; tensors `(C, H, W)`; or one array `(T, H,
            W, C)` or tensor `(T, C, H, W)`, with 1, 3 or 4 channels. Floats lie in [0, 1], integers
            are uint8. Anything else, frames of different sizes, and none at all, are an InputError.
    """
    if isinstance(video, (np.ndarray, torch.Tensor)):
        _check_shape(video)
    elif not isinstance(video, (list, tuple)):
        raise InputError(
            "A video is a list of PIL images, arrays or tensors, or one array or tensor, but this "
            "one is a "
            f"{type(video).__name__}."
        )
    if len(video) == 0:
        raise InputError("The video has no frames: give at least one.")
    frames = []
    for index, frame in enumerate(video):
        frames.append(_rgb(frame, f"Frame {index}"))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                f"All frames of a video have the same size, but frame 0 has {frames[0].shape[:2]} "
                f"and frame {index} "
                f"has {frames[-1].shape[:2]}. Resize them first."
            )
    height, width, _ = frames[0].shape
    if height == 0 or width == 0:
        raise InputError(f"The frames are {width}x{height} pixels: both sides must be at least 1.")
    return np.stack(frames)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Turn values in [0, 1] of any floating type into 0 to 255, rounding halves to even as numpy
    does.
    """
    return (images.float() * 255).round_().to(torch.uint8)


def cross_fade(before: torch.Tensor, after: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Fade from one video to another of the same shape, in even steps.

    Args:
        before, after: floats, with the frames along `dim`, such as `(T, H, W, 3)`.

    Returns:
        The same shape. Of n frames the first has the weights n / (n + 1) and 1 / (n + 1).
    """
    num_frames = after.shape[dim]
    weight = torch.linspace(0, 1, num_frames + 2, dtype=after.dtype, device=after.device)[1:-1]
    shape = [1] * after.ndim
    shape[dim] = num_frames
    return torch.lerp(before, after, weight.view(shape))


def _check_shape(video: NDArray[Any] | torch.Tensor) -> None:
    tensor = isinstance(video, torch.Tensor)
    grey = not tensor and video.ndim == 3 and video.shape[-1] not in CHANNELS
    if grey or (video.ndim == 4 and video.shape[1 if tensor else -1] in CHANNELS):
        return
    hint = " Give one video of the batch, such as frames[0]." if video.ndim == 5 else ""
    if tensor and video.ndim == 4 and video.shape[-1] in CHANNELS:
        hint = " Bring its channels forward with .permute(0, 3, 1, 2)."
    kind, order = (
        ("tensor", "channels, height, width") if tensor else ("array", "height, width, channels")
    )
    raise InputError(
        f"A video {kind} has shape (frames, {order}) with 1, 3 or 4 channels, but this one has "
        "shape "
        f"{tuple(video.shape)}.{hint}"
    )


def _rgb(frame: Any, name: str) -> NDArray[np.uint8]:
    """One frame as `(H, W, 3)`."""
    if isinstance(frame, PIL.Image.Image):
        return np.asarray(frame.convert("RGB"))
    if isinstance(frame, torch.Tensor):
        frame = (frame.movedim(0, -1) if frame.ndim == 3 else frame).detach().cpu()
        frame = (frame.float() if frame.is_floating_point() else frame).numpy()
    if not isinstance(frame, np.ndarray):
        raise InputError(
            f"{name} is a {type(frame).__name__}: frames of a list are PIL images, arrays or "
            "tensors."
        )
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim != 3 or frame.shape[-1] not in CHANNELS:
        raise InputError(
            f"{name} must have shape (height, width, channels) with 1, 3 or 4 channels, but it has "
            f"{frame.shape}."
        )
    if frame.dtype.kind == "f" and frame.size:
        low, high = frame.min(), frame.max()
        if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
            raise InputError(
                f"{name} has values from {low:g} to {high:g}: floats must lie in [0, 1]. Scale "
                "them, or give uint8."
            )
        frame = (frame.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    elif frame.dtype != np.uint8 and frame.size:
        raise InputError(f"{name} has type {frame.dtype}: give uint8, or floats in [0, 1].")
    return np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame[..., :3]
