"""Pictures and videos to tensors for a VAE, and back."""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from PIL.Image import Resampling

from filmstrip.config import Configurable
from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.media.frames import to_uint8

logger = get_logger(__name__)

Picture: TypeAlias = PIL.Image.Image | NDArray[Any] | torch.Tensor
ArrayOrTensor = TypeVar("ArrayOrTensor", NDArray[Any], torch.Tensor)
AnyPicture = TypeVar("AnyPicture", PIL.Image.Image, NDArray[Any], torch.Tensor)

FILTERS = ("bilinear", "bicubic", "lanczos", "nearest")
RESAMPLING = {"linear": Resampling.BILINEAR, **{name: Resampling[name.upper()] for name in FILTERS}}
OUTPUT_TYPES = ("pil", "np", "pt", "latent")


class VaeImageProcessor(Configurable):
    """Converts pictures to the tensor that a VAE encodes, and decoded tensors to pictures.

    The numbers are those of diffusers' class of this name. Its helpers for inpainting and for
    safety checkers are left out.

    Args:
        do_resize: resize to multiples of `vae_scale_factor`, rounded down.
        vae_scale_factor: height and width of a latent in pixels, at least 1.
        vae_latent_channels: a tensor with this many channels is taken for latents and returned as
            it is.
        resample: filter for PIL images, one of `RESAMPLING`. Arrays and tensors are resized by the
            nearest pixel.
        reducing_gap: PIL's speed-up for strong reductions.
        do_normalize: map [0, 1] to [-1, 1], and back after decoding.
        do_binarize: round to 0 and 1.
        do_convert_rgb: convert PIL images to RGB.
        do_convert_grayscale: convert PIL images to grey; a 3-D array or tensor is then a batch of
            grey pictures.

    Raises:
        InputError: an unknown filter, a scale factor below 1, or both conversions at once.
    """

    config_name = "config.json"

    def __init__(
        self,
        do_resize: bool = True,
        vae_scale_factor: int = 8,
        vae_latent_channels: int = 4,
        resample: str = "lanczos",
        reducing_gap: int | None = None,
        do_normalize: bool = True,
        do_binarize: bool = False,
        do_convert_rgb: bool = False,
        do_convert_grayscale: bool = False,
    ) -> None:
        if do_convert_rgb and do_convert_grayscale:
            raise InputError(
                "do_convert_rgb and do_convert_grayscale exclude each other: set one of them."
            )
        if resample not in RESAMPLING:
            raise InputError(
                f"resample={resample!r} is not a filter. Use one of {', '.join(RESAMPLING)}."
            )
        if vae_scale_factor < 1:
            raise InputError(f"vae_scale_factor={vae_scale_factor} must be at least 1.")
        self._mode = "RGB" if do_convert_rgb else "L" if do_convert_grayscale else None

    def preprocess(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        resize_mode: str = "default",
    ) -> torch.Tensor:
        """Convert one picture or a batch to a tensor for the VAE.

        Args:
            image: a PIL image; an array `(H, W)`, `(H, W, C)` or `(B, H, W, C)`; a tensor `(C, H,
                W)` or `(B, C, H, W)`; or a list of one of these. Values are in [0, 1], or already
                in [-1, 1] if one is below 0.
            height, width: in pixels, by default those of the first picture; rounded down to
                multiples of `vae_scale_factor`.
            resize_mode: for PIL images, see `resize`.

        Returns:
            `(B, C, H, W)`, in [-1, 1] where `do_normalize` is set.

        Raises:
            InputError: another type or shape, or sizes that cannot be one batch.
        """
        pictures = self._to_list(image)
        if isinstance(pictures[0], PIL.Image.Image):
            if self.config.do_resize:
                size = self.get_default_height_width(pictures[0], height, width)
                pictures = [
                    self.resize(picture, *size, resize_mode=resize_mode) for picture in pictures
                ]
            if self._mode:
                pictures = [picture.convert(self._mode) for picture in pictures]
            batch = self.numpy_to_pt(self.pil_to_numpy(pictures))
        else:
            batch = self._to_batch(pictures)
            is_tensor = isinstance(pictures[0], torch.Tensor)
            if is_tensor and batch.shape[1] == self.config.vae_latent_channels:
                return batch
            if self.config.do_resize:
                batch = self.resize(batch, *self.get_default_height_width(batch, height, width))
        if self.config.do_normalize:
            low = batch.min()
            high = batch.max()
            if low < 0 or high > 1:
                logger.warning(
                    "The picture has values from %g to %g, where [0, 1] is expected.", low, high
                )
            batch = batch if low < 0 else self.normalize(batch)
        return (batch >= 0.5).to(batch.dtype) if self.config.do_binarize else batch

    def postprocess(self, image: torch.Tensor, output_type: str = "pil") -> Any:
        """Convert a decoded batch to pictures.

        Args:
            image: `(B, C, H, W)`, in [-1, 1] where `do_normalize` is set, else in [0, 1].
            output_type: "pil" (list of PIL images), "np" (float32 `(B, H, W, C)`), "pt" (`(B, C, H,
                W)`) or "latent" (`image` unchanged). Others give "np" with a warning, as in
                diffusers.

        Raises:
            InputError: `image` is not a tensor, or its channels do not fit PIL.
        """
        if not isinstance(image, torch.Tensor):
            raise InputError(f"Only a tensor can be postprocessed, not a {type(image).__name__}.")
        if output_type not in OUTPUT_TYPES:
            known = ", ".join(OUTPUT_TYPES)
            logger.warning(
                "output_type=%r is not one of %s: 'np' is used instead.", output_type, known
            )
            output_type = "np"
        return image if output_type == "latent" else self._to_output(image, output_type)

    def resize(
        self, image: AnyPicture, height: int, width: int, resize_mode: str = "default"
    ) -> AnyPicture:
        """Resize pictures.

        Args:
            image: a PIL image, an array `(B, H, W, C)` or a tensor `(B, C, H, W)`.
            height, width: in pixels.
            resize_mode: "default" stretches; "crop", for PIL images, keeps the aspect ratio, covers
                the size and crops the centre.

        Raises:
            InputError: a size below 1, or a mode that is unknown or not for this type.
        """
        if height < 1 or width < 1:
            raise InputError(
                f"A picture cannot be {width}x{height} pixels. Is it smaller than "
                f"vae_scale_factor, {self.config.vae_scale_factor}?"
            )
        is_pil = isinstance(image, PIL.Image.Image)
        modes = ("default", "crop") if is_pil else ("default",)
        if resize_mode not in modes:
            raise InputError(
                f"resize_mode={resize_mode!r} does not work on a {type(image).__name__}. Use "
                f"{' or '.join(modes)}."
            )
        if isinstance(image, PIL.Image.Image):
            return self._resize_pil(image, height, width, resize_mode)
        if isinstance(image, np.ndarray):
            return self.pt_to_numpy(self.resize(self.numpy_to_pt(image), height, width))
        if not (image.is_floating_point() or image.dtype == torch.uint8):
            raise InputError(
                f"A picture of dtype {image.dtype} cannot be resized: give floats in [0, 1]."
            )
        return torch.nn.functional.interpolate(image, size=(height, width))

    def _resize_pil(
        self, image: PIL.Image.Image, height: int, width: int, resize_mode: str
    ) -> PIL.Image.Image:
        resample = RESAMPLING[self.config.resample]
        if resize_mode == "default":
            return image.resize((width, height), resample, reducing_gap=self.config.reducing_gap)
        if image.width / image.height < width / height:
            covering_width = width
            covering_height = image.height * width // image.width
        else:
            covering_width = image.width * height // image.height
            covering_height = height
        left = covering_width // 2 - width // 2
        top = covering_height // 2 - height // 2
        resized = image.resize((covering_width, covering_height), resample).convert("RGB")
        return resized.crop((left, top, left + width, top + height))

    def get_default_height_width(
        self, image: Picture, height: int | None = None, width: int | None = None
    ) -> tuple[int, int]:
        """Height and width rounded down to multiples of `vae_scale_factor`.

        Args:
            image: the picture, or a batch `(B, C, H, W)` or `(B, H, W, C)`, whose size is the
                default.
            height, width: in pixels.
        """
        if isinstance(image, PIL.Image.Image):
            default_height = image.height
            default_width = image.width
        elif isinstance(image, torch.Tensor):
            default_height, default_width = image.shape[2:4]
        else:
            default_height, default_width = image.shape[1:3]
        height = default_height if height is None else height
        width = default_width if width is None else width
        factor = self.config.vae_scale_factor
        return height - height % factor, width - width % factor

    @staticmethod
    def pil_to_numpy(images: PIL.Image.Image | Sequence[PIL.Image.Image]) -> NDArray[np.float32]:
        """Convert PIL images of one size to float32 `(B, H, W)` or `(B, H, W, C)` in [0, 1]."""
        if isinstance(images, PIL.Image.Image):
            images = [images]
        arrays = [np.asarray(image) for image in images]
        _check_same_shape([array.shape for array in arrays])
        return np.stack(arrays).astype(np.float32) / np.float32(255)

    @staticmethod
    def numpy_to_pil(images: NDArray[Any]) -> list[PIL.Image.Image]:
        """Convert an array `(H, W, C)` or `(B, H, W, C)` in [0, 1] to PIL images."""
        batch = images if images.ndim == 4 else images[None]
        return _to_pil_images((batch * 255).round().astype(np.uint8))

    @staticmethod
    def numpy_to_pt(images: NDArray[Any]) -> torch.Tensor:
        """View an array `(B, H, W)` or `(B, H, W, C)` as a tensor `(B, C, H, W)`."""
        return torch.from_numpy(images if images.ndim == 4 else images[..., None]).movedim(-1, -3)

    @staticmethod
    def pt_to_numpy(images: torch.Tensor) -> NDArray[np.float32]:
        """Convert a tensor `(..., C, H, W)` to a float32 array `(..., H, W, C)`."""
        return images.movedim(-3, -1).contiguous().cpu().float().numpy()

    @staticmethod
    def normalize(images: ArrayOrTensor) -> ArrayOrTensor:
        """Map [0, 1] to [-1, 1]."""
        return 2.0 * images - 1.0

    @staticmethod
    def denormalize(images: ArrayOrTensor) -> ArrayOrTensor:
        """Map [-1, 1] to [0, 1], clipped."""
        return (images * 0.5 + 0.5).clip(0, 1)

    def _to_list(self, image: Picture | Sequence[Picture]) -> Sequence[Any]:
        """Pictures as a list of one type. It is not empty; shapes are not checked."""
        if self.config.do_convert_grayscale and isinstance(image, torch.Tensor) and image.ndim == 3:
            image = image.unsqueeze(1)
        elif self.config.do_convert_grayscale and isinstance(image, np.ndarray) and image.ndim == 3:
            image = image[None] if image.shape[-1] == 1 else image[..., None]
        pictures = image if isinstance(image, (list, tuple)) else [image]
        if not pictures:
            raise InputError("There is no picture: the list is empty.")
        for picture_type in (PIL.Image.Image, np.ndarray, torch.Tensor):
            if all(isinstance(picture, picture_type) for picture in pictures):
                return pictures
        raise InputError(
            "Pictures are PIL images, arrays or tensors, one type in a list, but these are "
            f"{', '.join(sorted({type(picture).__name__ for picture in pictures}))}."
        )

    def _to_batch(self, pictures: Sequence[Any]) -> torch.Tensor:
        """Join arrays or tensors, single pictures or batches, to one tensor `(B, C, H, W)`."""
        first = pictures[0]
        may_be_2d = isinstance(first, np.ndarray) or self.config.do_convert_grayscale
        if first.ndim not in (3, 4) and not (may_be_2d and first.ndim == 2):
            raise InputError(
                "A picture is an array (height, width, channels), a tensor (channels, height, "
                "width) or a batch of them, but this one is a "
                f"{type(first).__name__} of shape {tuple(first.shape)}."
            )
        is_batch = first.ndim == 4
        _check_same_shape([tuple(picture.shape)[is_batch:] for picture in pictures])
        if isinstance(first, np.ndarray):
            batch = self.numpy_to_pt(np.concatenate(pictures) if is_batch else np.stack(pictures))
        else:
            batch = torch.cat(list(pictures)) if is_batch else torch.stack(list(pictures))
            batch = batch.unsqueeze(1) if batch.ndim == 3 else batch
        if batch.numel() == 0:
            raise InputError(f"There is no picture: the shape is {tuple(first.shape)}.")
        return batch

    def _to_output(self, images: torch.Tensor, output_type: str) -> Any:
        """Convert `(..., C, H, W)` to "pil", "np" or "pt"; it stays on the device until the end."""
        images = self.denormalize(images) if self.config.do_normalize else images
        if output_type == "pt":
            return images.contiguous()
        if output_type == "np":
            return self.pt_to_numpy(images)
        arrays = to_uint8(images).movedim(-3, -1).contiguous().cpu().numpy()
        if arrays.ndim == 4:
            return _to_pil_images(arrays)
        return [_to_pil_images(video) for video in arrays]


class VideoProcessor(VaeImageProcessor):
    """Converts videos to the tensor that a video VAE encodes, and decoded tensors to videos.

    The numbers are those of diffusers' class of this name.
    """

    def preprocess_video(
        self,
        video: Any,
        height: int | None = None,
        width: int | None = None,
        resize_mode: str = "default",
    ) -> torch.Tensor:
        """Convert one video or a batch to a tensor for the VAE.

        Args:
            video: a list of PIL images; an array `(T, H, W, C)` or tensor `(T, C, H, W)`; a list of
                these; or an array or tensor with a batch dimension in front. Values are in [0, 1].
            height, width, resize_mode: as in `preprocess`.

        Returns:
            `(B, C, T, H, W)`, in [-1, 1] where `do_normalize` is set.

        Raises:
            InputError: another type or shape, or videos of different shapes.
        """
        videos = [
            self.preprocess(frames, height, width, resize_mode) for frames in _to_videos(video)
        ]
        _check_same_shape([tuple(item.shape) for item in videos])
        return torch.stack(videos).permute(0, 2, 1, 3, 4)

    def postprocess_video(self, video: torch.Tensor, output_type: str = "np") -> Any:
        """Convert a decoded batch of videos to frames.

        Args:
            video: `(B, C, T, H, W)`, in [-1, 1] where `do_normalize` is set, else in [0, 1].
            output_type: "pil" (a list of images for each video), "np" (float32 `(B, T, H, W, C)`)
                or "pt" (`(B, T, C, H, W)`).

        Raises:
            InputError: `video` is not such a tensor, or the output type is unknown.
        """
        if output_type not in ("pil", "np", "pt"):
            raise InputError(
                f"output_type={output_type!r} is unknown for videos. Use pil, np or pt."
            )
        if not isinstance(video, torch.Tensor) or video.ndim != 5:
            received = (
                tuple(video.shape) if isinstance(video, torch.Tensor) else type(video).__name__
            )
            raise InputError(
                "A tensor (batch, channels, frames, height, width) is postprocessed, not "
                f"{received}."
            )
        return self._to_output(video.transpose(1, 2), output_type)


def _to_videos(video: Any) -> Sequence[Any]:
    """The videos of a batch, each in a form that `VaeImageProcessor.preprocess` takes."""
    if isinstance(video, (np.ndarray, torch.Tensor)):
        if video.ndim not in (3, 4, 5):
            raise InputError(
                "A video has four dimensions and a batch of videos five, but the shape is "
                f"{tuple(video.shape)}."
            )
        return list(video) if video.ndim == 5 else [video]
    if not isinstance(video, (list, tuple)) or not video:
        received = (
            "an empty list" if isinstance(video, (list, tuple)) else f"a {type(video).__name__}"
        )
        raise InputError(
            "A video is a list of PIL images, an array or a tensor, or a list of videos, not "
            f"{received}."
        )
    first = video[0]
    if isinstance(first, PIL.Image.Image):
        return [video]
    if isinstance(first, (np.ndarray, torch.Tensor)):
        if first.ndim == 5:
            return [item for batch in video for item in batch]
        if first.ndim < 4:
            return [video]
    return video


def _to_pil_images(images: NDArray[np.uint8]) -> list[PIL.Image.Image]:
    """Convert an array `(B, H, W, C)` to PIL images; one channel gives grey ones."""
    if images.shape[-1] not in (1, 2, 3, 4):
        raise InputError(
            f"PIL images have 1 to 4 channels, but the array has shape {images.shape}."
        )
    if images.shape[-1] == 1:
        images = images[..., 0]
    return [PIL.Image.fromarray(picture) for picture in images]


def _check_same_shape(shapes: Sequence[tuple[int, ...]]) -> None:
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise InputError(
                "Pictures and videos of one batch have the same shape, but number 0 has "
                f"{shapes[0]} and number {index} has {shape}. Resize them, or process them one by "
                "one."
            )
