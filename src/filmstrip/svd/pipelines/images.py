"""The picture that a video starts from, for the autoencoder and for CLIP."""

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

# RGB; a tensor is `(3, H, W)`, in [0, 1], or in [-1, 1] if a value is below 0.
Image: TypeAlias = PIL.Image.Image | torch.Tensor
BACKGROUND = "white"  # of transparent pictures
MIN_DEVIATION = 0.001  # of the blur, where a picture is not made smaller


def to_images(image: Any) -> list[Image]:
    """Convert one picture or several to a list of RGB pictures.

    Args:
        image: a PIL image of any mode; an array `(H, W)`, `(H, W, C)` or `(B, H, W, C)`; a tensor
            `(H, W)`, `(C, H, W)` or `(B, C, H, W)`; or a list of these. Grey becomes RGB, and
            transparency is composited on white. Integers are 0 to 255; floats are in [0, 1], or
            [-1, 1] if one is below 0, or [0, 255] if one is above 2. Arrays are converted to 8
            bits.

    Returns:
        PIL images from PIL images and arrays, tensors `(3, H, W)` from tensors.

    Raises:
        InputError: another type, an empty list, a file that cannot be read, or pixels that are not
            numbers.
    """
    if isinstance(image, list | tuple):
        if not image:
            raise InputError("There is no picture: image is an empty list.")
        images = list[Image]()
        for item in image:
            images.extend(to_images(item))
        return images
    if isinstance(image, PIL.Image.Image):
        return [_rgb_image(image)]
    if isinstance(image, np.ndarray):
        return list(_images_of_array(image))
    if isinstance(image, torch.Tensor):
        return list(_rgb_tensor(image, "a tensor"))
    raise InputError(
        f"image is of type {type(image).__name__}; give a PIL image, an array, a tensor, or a list "
        "of them (`filmstrip.load_image` reads files)."
    )


def vae_input(
    images: Sequence[Image], processor: VideoProcessor, height: int, width: int
) -> torch.Tensor:
    """The autoencoder's input, `(B, 3, height, width)` in [-1, 1].

    PIL images are resized by Lanczos, tensors by the nearest pixel, as in diffusers.
    """
    return torch.cat([processor.preprocess(image, height, width) for image in images])


def clip_input(images: Sequence[Image], size: int) -> torch.Tensor:
    """CLIP's input, `(B, 3, size, size)` in float32 in [0, 1], on the CPU, resized without
    aliasing.

    A tensor of that size is unchanged in any range, as in diffusers, which takes no other size.
    """
    return torch.stack([_clip_picture(image, size) for image in images])


def resize_antialiased(picture: torch.Tensor, size: int) -> torch.Tensor:
    """Resize `(C, H, W)` to `(C, size, size)`: blur, then bicubic interpolation.

    A dimension that shrinks by a factor f is blurred with a Gaussian of deviation (f - 1) / 2, as
    in scikit-image's `resize`. The kernel is cut at two deviations, as in kornia's
    (Stability-AI/generative-models, `FrozenOpenCLIPImageEmbedder`). Corners are aligned.
    """
    for dim in (2, 1):
        shrink_factor = picture.shape[dim] / size
        deviation = max((shrink_factor - 1) / 2, MIN_DEVIATION)
        picture = _blur(picture, deviation, dim)
    return F.interpolate(picture[None], size=(size, size), mode="bicubic", align_corners=True)[0]


def _blur(picture: torch.Tensor, deviation: float, dim: int) -> torch.Tensor:
    """Convolve along a dimension with a Gaussian; the edges are mirrored."""
    if deviation == MIN_DEVIATION:
        return picture
    width = int(max(4 * deviation, 3)) | 1
    offsets = torch.arange(width, dtype=picture.dtype) - width // 2
    kernel = torch.exp(-offsets.square() / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    rows = picture.movedim(dim, -1)
    flat = rows.reshape(-1, 1, rows.shape[-1])
    padded = F.pad(flat, (width // 2, width // 2), mode="reflect")
    return F.conv1d(padded, kernel.view(1, 1, -1)).view(rows.shape).movedim(-1, dim)


def _rgb_image(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a PIL image to RGB on white. PIL reads its file here."""
    if not all(image.size):
        raise InputError(f"image is a picture of {image.width}x{image.height} pixels.")
    try:
        num_frames = getattr(image, "n_frames", 1) if image.format in ANIMATED_FORMATS else 1
        if num_frames > 1:
            logger.warning(
                "image is animated (%d frames); the video starts from its current frame.",
                num_frames,
            )
        return flatten(image, BACKGROUND)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"image cannot be read: {error}. Its file may be damaged or closed."
        ) from error


def _images_of_array(array: np.ndarray[Any, Any]) -> list[PIL.Image.Image]:
    """Convert an array of one or several pictures to PIL images of 8 bits."""
    tensor = torch.from_numpy(_to_torch_dtype(array).copy())
    if array.ndim > 2:
        tensor = tensor.movedim(-1, -3)
    batch = _rgb_tensor(tensor, "an array")
    if batch.min() < 0:
        batch = (batch + 1) / 2
    pictures = to_uint8(batch.clamp(0, 1)).movedim(1, -1)
    return [PIL.Image.fromarray(picture.numpy()) for picture in pictures]


def _clip_picture(image: Image, size: int) -> torch.Tensor:
    if isinstance(image, PIL.Image.Image):
        image = VideoProcessor.numpy_to_pt(VideoProcessor.pil_to_numpy(image))[0]
    elif image.shape[1:] == (size, size):
        return image.float().cpu()
    pixels = image.float().cpu()
    signed = pixels if pixels.min() < 0 else pixels * 2 - 1
    return (resize_antialiased(signed, size) + 1) / 2


def _to_torch_dtype(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert an array to a dtype that torch supports."""
    if array.dtype == np.uint16:
        return array.astype(np.float32) / np.float32(65535)
    if array.dtype.kind not in "biuf":
        raise InputError(f"image is an array of type {array.dtype}; give whole numbers or floats.")
    return array


def _rgb_tensor(pixels: torch.Tensor, name: str) -> torch.Tensor:
    """Convert one picture or a batch to floats `(B, 3, H, W)`.

    Grey is repeated, and transparency is composited on white.

    Args:
        pixels: `(H, W)`, `(C, H, W)` or `(B, C, H, W)`.
        name: "a tensor" or "an array", for errors.
    """
    batch = _as_batch(pixels, name)
    if batch.dtype == torch.bool:
        batch = batch.float()
    elif not batch.is_floating_point():
        batch = batch.float() / 255
    low = batch.min().item()
    high = batch.max().item()
    if not math.isfinite(low) or not math.isfinite(high):
        raise InputError(f"image is {name} with values from {low} to {high}; give finite ones.")
    if high > 2 and low >= 0:
        logger.warning(
            "image has values up to %g; they are taken to be in [0, 255] and divided by 255.",
            high,
        )
        batch = batch / 255
    if batch.shape[1] == 4:
        unsigned = (batch + 1) / 2 if low < 0 else batch
        colour, alpha = unsigned.split((3, 1), dim=1)
        return colour * alpha + (1 - alpha)
    return batch.expand(-1, 3, -1, -1)


def _as_batch(pixels: torch.Tensor, name: str) -> torch.Tensor:
    """Convert one picture or a batch to `(B, C, H, W)` with 1, 3 or 4 channels."""
    batch = pixels[None] if pixels.ndim == 2 else pixels
    batch = batch[None] if batch.ndim == 3 else batch
    if batch.ndim == 4 and batch.shape[1] in (1, 3, 4) and batch.numel():
        return batch
    if name == "an array":
        order = "(height, width, channels)"
        shape = pixels.shape if pixels.ndim == 2 else pixels.movedim(-3, -1).shape
    else:
        order = "(channels, height, width)"
        shape = pixels.shape
    raise InputError(
        f"image is {name} of shape {tuple(shape)}; give {order} with 1, 3 or 4 channels, or a "
        "batch of them."
    )
