"""Pictures and videos to tensors for a VAE, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from PIL.Image import Resampling

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.media.frames import to_uint8
from filmstrip.weights.config import Configurable

logger = get_logger(__name__)

Picture: TypeAlias = PIL.Image.Image | NDArray[Any] | torch.Tensor
ArrayOrTensor = TypeVar("ArrayOrTensor", NDArray[Any], torch.Tensor)
AnyPicture = TypeVar("AnyPicture", PIL.Image.Image, NDArray[Any], torch.Tensor)

RESAMPLING = {
    "linear": Resampling.BILINEAR,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "lanczos": Resampling.LANCZOS,
    "nearest": Resampling.NEAREST,
}
OUTPUT_TYPES = ("pil", "np", "pt", "latent")


class VaeImageProcessor(Configurable):
    """Turns pictures into the tensor that a VAE encodes, and what it decodes into pictures.

    The same arguments, methods and numbers as diffusers' class of this name, less its inpainting helpers.

    Args:
        do_resize: fit sizes to multiples of `vae_scale_factor`, rounding down.
        vae_scale_factor: pixels on a side for one latent.
        vae_latent_channels: a tensor with as many channels is taken for latents, and passed through.
        resample: filter for PIL images: "nearest", "bilinear", "bicubic" or "lanczos". Arrays and tensors take the
            nearest pixel.
        reducing_gap: PIL's speed-up for strong reductions.
        do_normalize: map [0, 1] to [-1, 1], and back after decoding.
        do_binarize: round to 0 and 1.
        do_convert_rgb: make PIL images RGB.
        do_convert_grayscale: make PIL images grey; a 3-D array or tensor then is a batch of grey pictures.

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
            raise InputError("do_convert_rgb and do_convert_grayscale exclude each other: set one of them.")
        if resample not in RESAMPLING:
            raise InputError(f"resample={resample!r} is no filter. Use one of {', '.join(RESAMPLING)}.")
        if vae_scale_factor < 1:
            raise InputError(f"vae_scale_factor={vae_scale_factor} must be at least 1.")

    def preprocess(
        self,
        image: Picture | Sequence[Picture],
        height: int | None = None,
        width: int | None = None,
        resize_mode: str = "default",
        crops_coords: tuple[int, int, int, int] | None = None,
    ) -> torch.Tensor:
        """Turn one picture or a batch into a tensor `(B, C, H, W)`, in [-1, 1] when `do_normalize` is set.

        Args:
            image: a PIL image; an array `(H, W)`, `(H, W, C)` or `(B, H, W, C)`; a tensor `(C, H, W)` or
                `(B, C, H, W)`, values in [0, 1]; or a list of one of them.
            height, width: size of the result, rounded down to a multiple of `vae_scale_factor`; by default that of
                the first picture.
            resize_mode: for PIL images, see `resize`.
            crops_coords: left, upper, right and lower bound to cut from PIL images first.

        Raises:
            InputError: other types or shapes, or sizes that cannot be made one batch.
        """
        pictures = self._listed(image)
        if isinstance(pictures[0], PIL.Image.Image):
            return self._scale(self._batch_of_pil(pictures, height, width, resize_mode, crops_coords))
        batch = self._joined(pictures)
        if isinstance(pictures[0], torch.Tensor) and batch.shape[1] == self.config.vae_latent_channels:
            return batch
        if self.config.do_resize:
            batch = self.resize(batch, *self.get_default_height_width(batch, height, width))
        return self._scale(batch)

    def postprocess(
        self, image: torch.Tensor, output_type: str = "pil", do_denormalize: Sequence[bool] | None = None
    ) -> Any:
        """Turn a decoded batch into pictures.

        Args:
            image: `(B, C, H, W)`.
            output_type: "pil" (list of PIL images), "np" (float32 `(B, H, W, C)`), "pt" (`(B, C, H, W)`) or "latent"
                (nothing is done). Others give "np" with a warning, as in diffusers.
            do_denormalize: for each picture whether to map [-1, 1] to [0, 1]; by default what `do_normalize` says.

        Raises:
            InputError: not a tensor of four dimensions, or flags of another number than pictures.
        """
        if not isinstance(image, torch.Tensor):
            raise InputError(f"Only a tensor can be postprocessed, not a {type(image).__name__}.")
        if output_type not in OUTPUT_TYPES:
            known = ", ".join(OUTPUT_TYPES)
            logger.warning("output_type=%r is not one of %s: 'np' is used instead.", output_type, known)
            output_type = "np"
        return image if output_type == "latent" else self._output(image, output_type, do_denormalize)

    def resize(self, image: AnyPicture, height: int, width: int, resize_mode: str = "default") -> AnyPicture:
        """Resize a PIL image, an array `(B, H, W, C)` or a tensor `(B, C, H, W)`.

        Args:
            resize_mode: "default" stretches. For PIL images also "crop": keep the aspect ratio, cover the size and
                cut the overhang evenly; and "fill": fit inside, and smear the edges over the rest.

        Raises:
            InputError: a size below 1, or a mode that is unknown or not for this type.
        """
        if height < 1 or width < 1:
            raise InputError(
                f"A picture cannot be {width}x{height} pixels. Is it smaller than vae_scale_factor, "
                f"{self.config.vae_scale_factor}?"
            )
        if isinstance(image, PIL.Image.Image):
            return self._resize_pil(image, height, width, resize_mode)
        if resize_mode != "default":
            raise InputError(f"resize_mode={resize_mode!r} works on PIL images only, not on a {type(image).__name__}.")
        if isinstance(image, np.ndarray):
            return self.pt_to_numpy(self.resize(self.numpy_to_pt(image), height, width))
        if not (image.is_floating_point() or image.dtype == torch.uint8):
            raise InputError(f"A picture of type {image.dtype} cannot be resized: give floats in [0, 1].")
        return torch.nn.functional.interpolate(image, size=(height, width))

    def get_default_height_width(
        self, image: Picture, height: int | None = None, width: int | None = None
    ) -> tuple[int, int]:
        """Height and width, by default those of the picture, rounded down to multiples of `vae_scale_factor`."""
        if isinstance(image, PIL.Image.Image):
            own_height, own_width = image.height, image.width
        else:
            own_height, own_width = image.shape[2:4] if isinstance(image, torch.Tensor) else image.shape[1:3]
        factor = self.config.vae_scale_factor
        height, width = own_height if height is None else height, own_width if width is None else width
        return height - height % factor, width - width % factor

    @staticmethod
    def pil_to_numpy(images: PIL.Image.Image | Sequence[PIL.Image.Image]) -> NDArray[np.float32]:
        """PIL images of one size to float32 `(B, H, W)` or `(B, H, W, C)` in [0, 1]."""
        arrays = [np.asarray(image) for image in ([images] if isinstance(images, PIL.Image.Image) else images)]
        _check_same_shape([array.shape for array in arrays])
        return np.stack(arrays).astype(np.float32) / np.float32(255)

    @staticmethod
    def numpy_to_pil(images: NDArray[Any]) -> list[PIL.Image.Image]:
        """An array `(H, W, C)` or `(B, H, W, C)` in [0, 1] to PIL images."""
        return _pil_images(((images if images.ndim == 4 else images[None]) * 255).round().astype(np.uint8))

    @staticmethod
    def numpy_to_pt(images: NDArray[Any]) -> torch.Tensor:
        """An array `(B, H, W)` or `(B, H, W, C)` to a tensor `(B, C, H, W)` of the same memory."""
        return torch.from_numpy(images if images.ndim == 4 else images[..., None]).movedim(-1, -3)

    @staticmethod
    def pt_to_numpy(images: torch.Tensor) -> NDArray[np.float32]:
        """A tensor `(..., C, H, W)` to a float32 array `(..., H, W, C)`."""
        return images.movedim(-3, -1).contiguous().cpu().float().numpy()

    @staticmethod
    def normalize(images: ArrayOrTensor) -> ArrayOrTensor:
        """[0, 1] to [-1, 1]."""
        return 2.0 * images - 1.0

    @staticmethod
    def denormalize(images: ArrayOrTensor) -> ArrayOrTensor:
        """[-1, 1] to [0, 1], clipped."""
        return (images * 0.5 + 0.5).clip(0, 1)

    @staticmethod
    def binarize(image: ArrayOrTensor) -> ArrayOrTensor:
        """0 below 0.5, 1 from there on."""
        binary = image >= 0.5
        return binary.to(image.dtype) if isinstance(binary, torch.Tensor) else binary.astype(image.dtype)

    @staticmethod
    def convert_to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
        """Make a PIL image RGB; transparency is dropped."""
        return image.convert("RGB")

    @staticmethod
    def convert_to_grayscale(image: PIL.Image.Image) -> PIL.Image.Image:
        """Make a PIL image grey, 8 bits."""
        return image.convert("L")

    def _listed(self, image: Picture | Sequence[Picture]) -> Sequence[Any]:
        """Pictures as a list of one type, none of them empty; arrays and tensors of any shape."""
        if isinstance(image, (np.ndarray, torch.Tensor)) and image.ndim == 3 and self.config.do_convert_grayscale:
            image = _with_channel(image)
        pictures = image if isinstance(image, (list, tuple)) else [image]
        if not pictures:
            raise InputError("There is no picture: the list is empty.")
        kinds = (PIL.Image.Image, np.ndarray, torch.Tensor)
        if not any(all(isinstance(picture, kind) for picture in pictures) for kind in kinds):
            raise InputError(
                "Pictures are PIL images, arrays or tensors, one type in a list, but these are "
                f"{', '.join(sorted({type(picture).__name__ for picture in pictures}))}."
            )
        return pictures

    def _batch_of_pil(
        self,
        pictures: Sequence[PIL.Image.Image],
        height: int | None,
        width: int | None,
        resize_mode: str,
        crops_coords: tuple[int, int, int, int] | None,
    ) -> torch.Tensor:
        if crops_coords is not None:
            pictures = [picture.crop(crops_coords) for picture in pictures]
        if self.config.do_resize:
            size = self.get_default_height_width(pictures[0], height, width)
            pictures = [self.resize(picture, *size, resize_mode=resize_mode) for picture in pictures]
        if self.config.do_convert_rgb:
            pictures = [self.convert_to_rgb(picture) for picture in pictures]
        elif self.config.do_convert_grayscale:
            pictures = [self.convert_to_grayscale(picture) for picture in pictures]
        return self.numpy_to_pt(self.pil_to_numpy(pictures))

    def _joined(self, pictures: Sequence[Any]) -> torch.Tensor:
        """Arrays or tensors, single or batches already, to one tensor `(B, C, H, W)`."""
        first = pictures[0]
        grey = isinstance(first, np.ndarray) or self.config.do_convert_grayscale  # two dimensions do then
        if first.ndim not in (3, 4) and not (grey and first.ndim == 2):
            raise InputError(
                "A picture is an array (height, width, channels), a tensor (channels, height, width) or a batch of "
                f"them, but this one is a {type(first).__name__} of shape {tuple(first.shape)}."
            )
        batched = first.ndim == 4
        _check_same_shape([tuple(picture.shape)[batched:] for picture in pictures])
        if isinstance(first, np.ndarray):
            batch = self.numpy_to_pt(np.concatenate(pictures) if batched else np.stack(pictures))
        else:
            batch = torch.cat(list(pictures)) if batched else torch.stack(list(pictures))
            batch = batch.unsqueeze(1) if batch.ndim == 3 else batch
        if batch.numel() == 0:
            raise InputError(f"There is no picture: the shape is {tuple(first.shape)}.")
        return batch

    def _scale(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalise and binarise, as the config says. Values below 0 are taken to be normalised already."""
        normalize = self.config.do_normalize
        if normalize and batch.min() < 0:
            logger.warning(
                "The picture has values down to %g, where [0, 1] is expected: it is taken to be in [-1, 1] already.",
                batch.min(),
            )
            normalize = False
        elif normalize and batch.max() > 1:
            logger.warning("The picture has values up to %g, where [0, 1] is expected: divide it first.", batch.max())
        batch = self.normalize(batch) if normalize else batch
        return self.binarize(batch) if self.config.do_binarize else batch

    def _resize_pil(self, image: PIL.Image.Image, height: int, width: int, mode: str) -> PIL.Image.Image:
        resample = RESAMPLING[self.config.resample]
        if mode == "default":
            return image.resize((width, height), resample, reducing_gap=self.config.reducing_gap)
        if mode not in ("fill", "crop"):
            raise InputError(f"resize_mode={mode!r} is unknown. Use default, fill or crop.")
        # One side is met exactly; the other is short of it (fill) or over it (crop).
        wider = image.width / image.height > width / height
        if wider == (mode == "fill"):
            inner = width, image.height * width // image.width
        else:
            inner = image.width * height // image.height, height
        if 0 in inner:
            raise InputError(
                f"A picture of {image.width}x{image.height} pixels is too narrow to fit in {width}x{height}."
            )
        resized = image.resize(inner, resample)
        canvas = PIL.Image.new("RGB", (width, height))
        left, top = width // 2 - inner[0] // 2, height // 2 - inner[1] // 2
        canvas.paste(resized, (left, top))
        if mode == "fill":
            _smear_edges(canvas, resized, left, top)
        return canvas

    def _output(self, images: torch.Tensor, output_type: str, do_denormalize: Sequence[bool] | None) -> Any:
        """`(..., C, H, W)` to the type asked for, in one pass, on the device until the last."""
        images = self._denormalized(images, do_denormalize)
        if output_type == "pt":
            return images.contiguous()
        if output_type == "np":
            return self.pt_to_numpy(images)
        arrays = to_uint8(images).movedim(-3, -1).contiguous().cpu().numpy()
        return _pil_images(arrays) if arrays.ndim == 4 else [_pil_images(video) for video in arrays]

    def _denormalized(self, images: torch.Tensor, flags: Sequence[bool] | None) -> torch.Tensor:
        """Map to [0, 1] what the flags say, one for each picture `(C, H, W)` of a batch or video."""
        if flags is None:
            return self.denormalize(images) if self.config.do_normalize else images
        count = images.shape[-4]
        if len(flags) < count:
            raise InputError(f"do_denormalize has {len(flags)} entries for {count} pictures: give one for each.")
        mask = torch.tensor(list(flags[:count]), dtype=torch.bool, device=images.device)
        return torch.where(mask[:, None, None, None], self.denormalize(images), images)


class VideoProcessor(VaeImageProcessor):
    """Turns videos into the tensor that a video VAE encodes, and what it decodes into videos.

    The same arguments, methods and numbers as diffusers' class of this name.
    """

    def preprocess_video(
        self, video: Any, height: int | None = None, width: int | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """Turn one video or a batch into a tensor `(B, C, T, H, W)`, in [-1, 1] when `do_normalize` is set.

        Args:
            video: a list of PIL images; an array `(T, H, W, C)` or tensor `(T, C, H, W)`, values in [0, 1]; a list of
                these; or one array or tensor of five dimensions, batch first.
            height, width: size of the result, rounded down to a multiple of `vae_scale_factor`; by default that of
                the first frame.
            kwargs: further arguments of `preprocess`.

        Raises:
            InputError: other types or shapes, or videos of different shapes.
        """
        videos = [self.preprocess(frames, height, width, **kwargs) for frames in _videos(video)]
        _check_same_shape([tuple(item.shape) for item in videos])
        return torch.stack(videos).permute(0, 2, 1, 3, 4)

    def postprocess_video(
        self, video: torch.Tensor, output_type: str = "np", do_denormalize: Sequence[bool] | None = None
    ) -> Any:
        """Turn a decoded batch of videos into frames.

        Args:
            video: `(B, C, T, H, W)`.
            output_type: "pil" (a list of PIL images for each video), "np" (float32 `(B, T, H, W, C)`) or "pt"
                (`(B, T, C, H, W)`).
            do_denormalize: for each frame whether to map [-1, 1] to [0, 1]; by default what `do_normalize` says.

        Raises:
            InputError: another output type, or not a tensor of five dimensions.
        """
        if output_type not in ("pil", "np", "pt"):
            raise InputError(f"output_type={output_type!r} is unknown for videos. Use pil, np or pt.")
        if not isinstance(video, torch.Tensor) or video.ndim != 5:
            given = tuple(video.shape) if isinstance(video, torch.Tensor) else type(video).__name__
            raise InputError(f"A tensor (batch, channels, frames, height, width) is postprocessed, not {given}.")
        return self._output(video.transpose(1, 2), output_type, do_denormalize)

    @staticmethod
    def classify_height_width_bin(height: int, width: int, ratios: Mapping[Any, Sequence[float]]) -> tuple[int, int]:
        """The `(height, width)` from a table whose key, the ratio of height to width, is nearest to the given."""
        nearest = min(ratios, key=lambda ratio: abs(float(ratio) - height / width))
        return int(ratios[nearest][0]), int(ratios[nearest][1])

    @staticmethod
    def resize_and_crop_tensor(samples: torch.Tensor, new_width: int, new_height: int) -> torch.Tensor:
        """Resize videos `(B, C, T, H, W)` bilinearly to cover a size, and cut the overhang evenly."""
        batch, _, _, height, width = samples.shape
        if (height, width) == (new_height, new_width):
            return samples
        ratio = max(new_height / height, new_width / width)
        # max: a ratio that rounding made a little too small must not leave a pixel uncovered
        size = max(int(height * ratio), new_height), max(int(width * ratio), new_width)
        frames = torch.nn.functional.interpolate(samples.transpose(1, 2).flatten(0, 1), size=size, mode="bilinear")
        top, left = (size[0] - new_height) // 2, (size[1] - new_width) // 2
        cut = frames[..., top : top + new_height, left : left + new_width]
        return cut.unflatten(0, (batch, -1)).transpose(1, 2)


def _videos(video: Any) -> Sequence[Any]:
    """The videos of a batch, each as `VaeImageProcessor.preprocess` takes it."""
    if isinstance(video, (np.ndarray, torch.Tensor)):
        if video.ndim not in (3, 4, 5):
            raise InputError(
                f"A video has four dimensions and a batch of videos five, but the shape is {tuple(video.shape)}."
            )
        return list(video) if video.ndim == 5 else [video]
    if not isinstance(video, (list, tuple)) or not video:
        given = "an empty list" if isinstance(video, (list, tuple)) else f"a {type(video).__name__}"
        raise InputError(f"A video is a list of PIL images, an array or a tensor, or a list of videos, not {given}.")
    first = video[0]
    if isinstance(first, (np.ndarray, torch.Tensor)) and first.ndim == 5:
        return [item for batch in video for item in batch]
    single = isinstance(first, PIL.Image.Image) or (isinstance(first, (np.ndarray, torch.Tensor)) and first.ndim < 4)
    return [video] if single else video


def _with_channel(image: NDArray[Any] | torch.Tensor) -> NDArray[Any] | torch.Tensor:
    """Three dimensions of grey pictures to four: `(B, H, W)`, `(1, H, W)` for a tensor, `(H, W, 1)` for an array."""
    if isinstance(image, torch.Tensor):
        return image.unsqueeze(1)
    return image[None] if image.shape[-1] == 1 else image[..., None]


def _smear_edges(canvas: PIL.Image.Image, inner: PIL.Image.Image, left: int, top: int) -> None:
    """Fill the bars beside `inner`, which stands at (left, top), with its outermost rows or columns."""
    (width, height), (right, bottom) = canvas.size, (left + inner.width, top + inner.height)
    if top > 0:
        canvas.paste(inner.resize((width, top), box=(0, 0, width, 0)), (0, 0))
        canvas.paste(inner.resize((width, top), box=(0, inner.height, width, inner.height)), (0, bottom))
    elif left > 0:
        canvas.paste(inner.resize((left, height), box=(0, 0, 0, height)), (0, 0))
        canvas.paste(inner.resize((left, height), box=(inner.width, 0, inner.width, height)), (right, 0))


def _pil_images(images: NDArray[np.uint8]) -> list[PIL.Image.Image]:
    """An array `(B, H, W, C)` as PIL images; one channel gives grey ones."""
    if images.shape[-1] not in (1, 2, 3, 4):
        raise InputError(f"PIL images have 1 to 4 channels, but the array has shape {images.shape}.")
    grey = images.shape[-1] == 1
    return [PIL.Image.fromarray(picture[..., 0] if grey else picture) for picture in images]


def _check_same_shape(shapes: Sequence[tuple[int, ...]]) -> None:
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise InputError(
                f"Pictures and videos of one batch have the same shape, but number 0 has {shapes[0]} and number "
                f"{index} has {shape}. Resize them, or process them one by one."
            )
