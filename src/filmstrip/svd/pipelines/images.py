"""The picture that a video starts from: whatever it is given as, for the autoencoder and for
CLIP.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from torch.nn import functional as F

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.media.frames import to_uint8
from filmstrip.media.load import ANIMATED_FORMATS, flatten
from filmstrip.media.processors import VideoProcessor

logger = get_logger(__name__)

Image: TypeAlias = (
    PIL.Image.Image | torch.Tensor
)  # RGB; a tensor is (3, H, W), in [0, 1], or [-1, 1] if below 0
BACKGROUND = "white"
NARROWEST = 0.001  # deviation of the blur where a picture is not made smaller: none


def to_images(image: Any) -> list[Image]:
    """One picture or a batch, as a list.

    Args:
        image: a PIL image of any mode; an array `(H, W)`, `(H, W, C)` or `(B, H, W, C)`; a tensor
            `(H, W)`, `(C, H, W)` or `(B, C, H, W)`; or a list of such. Grey becomes RGB, and
            transparency is composited on white. Whole numbers are 0 to 255; floats are in [0, 1],
            or [-1, 1] if one is below 0, or [0, 255] if one is above 2. Arrays are taken as
            pictures of 8 bits.

    Raises:
        InputError: anything else, nothing, a file that cannot be read, or pixels that are no
            numbers.
    """
    if isinstance(image, list | tuple):
        if not image:
            raise InputError("There is no picture: image is an empty list.")
        return [image for item in image for image in to_images(item)]
    if isinstance(image, PIL.Image.Image):
        return [_image(image)]
    if isinstance(image, np.ndarray):
        channels_first = torch.from_numpy(_plain(image).copy())
        batch = _rgb(
            channels_first.movedim(-1, -3) if image.ndim > 2 else channels_first, "an array"
        )
        batch = (batch + 1) / 2 if batch.min() < 0 else batch
        return [
            PIL.Image.fromarray(picture.numpy())
            for picture in to_uint8(batch.clamp(0, 1)).movedim(1, -1)
        ]
    if isinstance(image, torch.Tensor):
        return list(_rgb(image, "a tensor"))
    raise InputError(
        f"image is of type {type(image).__name__}; give a PIL image, an array, a tensor, or a list "
        "of them "
        "(`filmstrip.load_image` reads files)."
    )


def vae_input(
    images: Sequence[Image], processor: VideoProcessor, height: int, width: int
) -> torch.Tensor:
    """`(B, 3, height, width)` in [-1, 1]: PIL images by Lanczos, tensors by the nearest pixel, as
    in diffusers.
    """
    return torch.cat([processor.preprocess(image, height, width) for image in images])


def clip_input(images: Sequence[Image], size: int) -> torch.Tensor:
    """`(B, 3, size, size)` in float32 in [0, 1], on the CPU, made smaller without aliasing.

    A tensor of that size stays as it is, whatever its range, as in diffusers, which knows no other
    size.
    """
    return torch.stack([_clip_view(image, size) for image in images])


def resize_antialiased(picture: torch.Tensor, size: int) -> torch.Tensor:
    """Resize `(C, H, W)` to `(C, size, size)`: blur, then bicubic interpolation between the centres
    of the corners.

    A side that shrinks by a factor f is blurred with a Gaussian of deviation (f - 1) / 2, as in
    scikit-image's `resize`, cut at two deviations, as in kornia's (Stability-AI/generative-models,
    `FrozenOpenCLIPImageEmbedder`).
    """
    for axis in (2, 1):
        picture = _blur(picture, max((picture.shape[axis] / size - 1) / 2, NARROWEST), axis)
    return F.interpolate(picture[None], size=(size, size), mode="bicubic", align_corners=True)[0]


def _blur(picture: torch.Tensor, deviation: float, axis: int) -> torch.Tensor:
    """Convolve along an axis with a Gaussian, the edges mirrored."""
    if deviation == NARROWEST:
        return picture
    width = int(max(4 * deviation, 3)) | 1
    offsets = torch.arange(width, dtype=picture.dtype) - width // 2
    kernel = torch.exp(-offsets.square() / (2 * deviation**2))
    rows = picture.movedim(axis, -1)
    padded = F.pad(rows.reshape(-1, 1, rows.shape[-1]), (width // 2, width // 2), mode="reflect")
    return (
        F.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1)).view(rows.shape).movedim(-1, axis)
    )


def _image(image: PIL.Image.Image) -> PIL.Image.Image:
    """RGB, less its transparency. PIL reads a file only now."""
    if not all(image.size):
        raise InputError(f"image is a picture of {image.width}x{image.height} pixels.")
    try:
        if image.format in ANIMATED_FORMATS and (count := getattr(image, "n_frames", 1)) > 1:
            logger.warning(
                "image is animated (%d frames); the video starts from the one that it stands at.",
                count,
            )
        return flatten(image, BACKGROUND)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"image cannot be read: {error}. Its file may be damaged or closed."
        ) from error


def _clip_view(image: Image, size: int) -> torch.Tensor:
    if isinstance(image, PIL.Image.Image):
        image = VideoProcessor.numpy_to_pt(VideoProcessor.pil_to_numpy(image))[0]
    elif image.shape[1:] == (size, size):
        return image.float().cpu()
    image = image.float().cpu()
    signed = image if image.min() < 0 else image * 2 - 1
    return (resize_antialiased(signed, size) + 1) / 2


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array in a type that torch has too."""
    if array.dtype == np.uint16:
        return array.astype(np.float32) / np.float32(65535)
    if array.dtype.kind not in "biuf":
        raise InputError(f"image is an array of type {array.dtype}; give whole numbers or floats.")
    return array


def _rgb(pixels: torch.Tensor, what: str) -> torch.Tensor:
    """One picture or a batch as `(B, 3, H, W)` floats; grey is repeated, and transparency
    composited.
    """
    batch = pixels[None] if pixels.ndim == 2 else pixels
    batch = batch[None] if batch.ndim == 3 else batch
    if batch.ndim != 4 or batch.shape[1] not in (1, 3, 4) or not batch.numel():
        order = "(height, width, channels)" if what == "an array" else "(channels, height, width)"
        shape = tuple(
            pixels.shape if what == "a tensor" or pixels.ndim == 2 else pixels.movedim(-3, -1).shape
        )
        raise InputError(
            f"image is {what} of shape {shape}; give {order} with 1, 3 or 4 channels, or a batch "
            "of them."
        )
    if batch.dtype == torch.bool:
        batch = batch.float()
    elif not batch.is_floating_point():
        batch = batch.float() / 255
    low, high = batch.min().item(), batch.max().item()
    if not math.isfinite(low) or not math.isfinite(high):
        raise InputError(f"image is {what} with values from {low} to {high}; give finite ones.")
    if high > 2 and low >= 0:
        logger.warning(
            "image has values up to %g; they are taken to be in [0, 255] and divided by 255.", high
        )
        batch = batch / 255
    if batch.shape[1] == 4:
        colour, alpha = ((batch + 1) / 2 if low < 0 else batch).split((3, 1), dim=1)
        return colour * alpha + (1 - alpha)
    return batch.expand(-1, 3, -1, -1)
