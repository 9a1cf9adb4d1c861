"""Frames of a video: conversion to uint8 RGB, and cross-fading."""

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
OVERSHOOT = 1e-3  # floats may exceed [0, 1] by this much, through rounding; they are clipped


def to_uint8_frames(video: Video) -> NDArray[np.uint8]:
    """Convert one video of any form to a uint8 RGB array.

    Args:
        video: PIL images; arrays `(H, W, C)` or `(H, W)`; tensors `(C, H, W)`; or one array `(T, H,
            W, C)` or tensor `(T, C, H, W)`, with 1, 3 or 4 channels. Floats lie in [0, 1], integers
            are uint8. Grey becomes RGB, and an alpha channel is dropped.

    Returns:
        `(T, H, W, 3)`.

    Raises:
        InputError: the video has another form, frames of different sizes, or no frames.
    """
    if isinstance(video, (np.ndarray, torch.Tensor)):
        _check_shape(video)
    elif not isinstance(video, (list, tuple)):
        raise InputError(
            "A video is a list of PIL images, arrays or tensors, or one array or tensor, but this "
            f"one is a {type(video).__name__}."
        )
    if len(video) == 0:
        raise InputError("The video has no frames: give at least one.")
    frames = []
    for index, frame in enumerate(video):
        frames.append(_to_uint8_rgb(frame, f"Frame {index}"))
        if frames[-1].shape != frames[0].shape:
            raise InputError(
                f"All frames of a video have the same size, but frame 0 has {frames[0].shape[:2]} "
                f"and frame {index} has {frames[-1].shape[:2]}. Resize them first."
            )
    height, width, _ = frames[0].shape
    if height == 0 or width == 0:
        raise InputError(
            f"The frames are {width}x{height} pixels: width and height must be at least 1."
        )
    return np.stack(frames)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Convert floats in [0, 1] to uint8, rounding halves to even as numpy does."""
    return (images.float() * 255).round_().to(torch.uint8)


def cross_fade(before: torch.Tensor, after: torch.Tensor, dim: int) -> torch.Tensor:
    """Blend linearly from one video to another along a dimension.

    With n frames, the weights of `after` are 1 / (n + 1), ..., n / (n + 1): strictly between 0 and
    1, so that the neighbouring frames continue the blend.

    Args:
        before, after: tensors of the same shape and floating dtype.
        dim: the dimension of the frames.

    Returns:
        A tensor of that shape.
    """
    num_frames = after.shape[dim]
    weights = torch.linspace(0, 1, num_frames + 2, device=after.device, dtype=after.dtype)[1:-1]
    shape = [1] * after.ndim
    shape[dim] = num_frames
    return torch.lerp(before, after, weights.view(shape))


def _check_shape(video: NDArray[Any] | torch.Tensor) -> None:
    """Refuse an array or tensor that is not one video, with a hint at the likely mistake."""
    is_tensor = isinstance(video, torch.Tensor)
    if is_tensor:
        fits = video.ndim == 4 and video.shape[1] in CHANNELS
    else:
        is_grey = video.ndim == 3 and video.shape[-1] not in CHANNELS
        fits = is_grey or (video.ndim == 4 and video.shape[-1] in CHANNELS)
    if fits:
        return
    hint = ""
    if video.ndim == 5:
        hint = " Give one video of the batch, such as frames[0]."
    elif is_tensor and video.ndim == 4 and video.shape[-1] in CHANNELS:
        hint = " Bring its channels forward with .permute(0, 3, 1, 2)."
    form = (
        "tensor has shape (frames, channels, height, width)"
        if is_tensor
        else "array has shape (frames, height, width, channels)"
    )
    raise InputError(
        f"A video {form} with 1, 3 or 4 channels, but this one has shape {tuple(video.shape)}."
        f"{hint}"
    )


def _to_uint8_rgb(frame: Any, name: str) -> NDArray[np.uint8]:
    """Convert one frame to `(H, W, 3)`; `name` is how errors call it."""
    if isinstance(frame, PIL.Image.Image):
        return np.asarray(frame.convert("RGB"))
    if isinstance(frame, torch.Tensor):
        frame = frame.detach().cpu()
        if frame.ndim == 3:
            frame = frame.movedim(0, -1)
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
    frame = _scale_to_uint8(frame, name)
    return np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame[..., :3]


def _scale_to_uint8(frame: NDArray[Any], name: str) -> NDArray[Any]:
    """Scale floats in [0, 1] to uint8; keep uint8 and empty frames; refuse others."""
    if frame.dtype == np.uint8 or frame.size == 0:
        return frame
    if frame.dtype.kind != "f":
        raise InputError(f"{name} has dtype {frame.dtype}: give uint8, or floats in [0, 1].")
    low = frame.min()
    high = frame.max()
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        raise InputError(
            f"{name} has values from {low:g} to {high:g}: floats must lie in [0, 1]. Scale "
            "them, or give uint8."
        )
    return (frame.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
