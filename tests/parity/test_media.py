"""The processors give the results of the installed diffusers, over tables of inputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor as DiffusersImageProcessor
from diffusers.utils import (
    export_to_gif as diffusers_export_to_gif,
    load_image as diffusers_load_image,
    load_video as diffusers_load_video,
)
from diffusers.video_processor import VideoProcessor as DiffusersVideoProcessor

from filmstrip.media.export import export_to_gif
from filmstrip.media.load import load_image, load_video
from filmstrip.media.processors import VaeImageProcessor, VideoProcessor


def array(*shape: int, dtype: Any = np.float32, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(sum(shape)).random(shape)
    return (low + (high - low) * random).astype(dtype)


def tensor(*shape: int, dtype: torch.dtype = torch.float32, low: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(array(*shape, low=low)).to(dtype)


def picture(mode: str, width: int, height: int) -> PIL.Image.Image:
    noise = array(height, width, 4, dtype=np.uint8, high=255.99)
    return PIL.Image.fromarray(noise).convert(mode)


IMAGES: dict[str, Callable[[], Any]] = {
    "RGB": lambda: picture("RGB", 50, 37),
    "L": lambda: picture("L", 50, 37),
    "RGBA": lambda: picture("RGBA", 32, 24),
    "1": lambda: picture("1", 33, 17),
    "P": lambda: picture("P", 33, 17),
    "I": lambda: picture("I", 33, 17),
    "LA": lambda: picture("LA", 33, 17),
    "list of RGB": lambda: [picture("RGB", 50, 37), picture("RGB", 20, 60)],
    "array HW": lambda: array(37, 50),
    "array HWC": lambda: array(37, 50, 3),
    "array HW1": lambda: array(37, 50, 1),
    "array BHWC": lambda: array(2, 37, 50, 3),
    "array float64": lambda: array(37, 50, 3, dtype=np.float64),
    "array uint8": lambda: array(37, 50, 3, dtype=np.uint8, high=255.99),
    "array of negatives": lambda: array(37, 50, 3, low=-1.0),
    "array reversed": lambda: array(37, 50, 3)[::-1, ::-1],
    "list of arrays": lambda: [array(37, 50, 3), array(37, 50, 3) ** 2],
    "list of array batches": lambda: [array(1, 37, 50, 3), array(2, 37, 50, 3)],
    "tensor CHW": lambda: tensor(3, 37, 50),
    "tensor 1HW": lambda: tensor(1, 37, 50),
    "tensor BCHW": lambda: tensor(2, 3, 37, 50),
    "tensor float16": lambda: tensor(3, 37, 50, dtype=torch.float16),
    "tensor bfloat16": lambda: tensor(3, 37, 50, dtype=torch.bfloat16),
    "tensor of negatives": lambda: tensor(3, 37, 50, low=-1.0),
    "tensor of latents": lambda: tensor(2, 4, 25, 24, low=-3.0),
    "list of tensors": lambda: [tensor(3, 37, 50), tensor(3, 37, 50) ** 2],
    "list of tensor batches": lambda: [tensor(1, 3, 37, 50), tensor(2, 3, 37, 50)],
}
GREY_IMAGES: dict[str, Callable[[], Any]] = {
    "RGB": IMAGES["RGB"],
    "array HW1": IMAGES["array HW1"],
    "array BHW": lambda: array(2, 37, 50),
    "list of array HW": lambda: [array(37, 50), array(37, 50)],
    "tensor BHW": lambda: tensor(2, 37, 50),
    "tensor 1HW": IMAGES["tensor 1HW"],
    "list of tensor HW": lambda: [tensor(37, 50), tensor(37, 50)],
}
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "factor 16": {"vae_scale_factor": 16},
    "bicubic": {"resample": "bicubic"},
    "linear with gap": {"resample": "linear", "reducing_gap": 2},
    "nearest": {"resample": "nearest"},
    "not resized": {"do_resize": False},
    "not normalised": {"do_normalize": False},
    "binarised": {"do_normalize": False, "do_binarize": True},
    "normalised and binarised": {"do_binarize": True},
    "RGB": {"do_convert_rgb": True},
    "other latents": {"vae_latent_channels": 3},
}


def both(
    config: dict[str, Any], call: Callable[[Any], Any], video: bool = False
) -> tuple[Any, Any]:
    """The results of filmstrip and of diffusers for the same call."""
    ours, reference = (
        (VideoProcessor, DiffusersVideoProcessor)
        if video
        else (VaeImageProcessor, DiffusersImageProcessor)
    )
    return call(ours(**config)), call(reference(**config))


def assert_same(ours: Any, reference: Any) -> None:
    """Equal to the last bit, with the same types, shapes and PIL modes."""
    assert type(ours) is type(reference)
    if isinstance(ours, list):
        assert len(ours) == len(reference)
        for result, expected in zip(ours, reference, strict=True):
            assert_same(result, expected)
    elif isinstance(ours, PIL.Image.Image):
        assert ours.mode == reference.mode
        assert ours.size == reference.size
        assert ours.tobytes() == reference.tobytes()
    else:
        assert ours.dtype == reference.dtype
        assert ours.shape == reference.shape
        np.testing.assert_array_equal(
            *(x.float().numpy() if isinstance(x, torch.Tensor) else x for x in (ours, reference))
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("image", IMAGES)
def test_preprocess_gives_diffusers_numbers(image: str, config: str) -> None:
    if image == "list of RGB" and config == "not resized":
        pytest.skip("pictures of two sizes cannot be one batch")
    assert_same(*both(CONFIGS[config], lambda processor: processor.preprocess(IMAGES[image]())))


@pytest.mark.parametrize("image", GREY_IMAGES)
def test_preprocess_gives_diffusers_numbers_for_grey_pictures(image: str) -> None:
    assert_same(
        *both(
            {"do_convert_grayscale": True},
            lambda processor: processor.preprocess(GREY_IMAGES[image]()),
        )
    )


@pytest.mark.parametrize("image", ["RGB", "L", "RGBA", "array BHWC", "tensor BCHW"])
@pytest.mark.parametrize("size", [(24, 88), (70, 24), (37, 50), (None, 16), (64, None), (1, 8)])
@pytest.mark.parametrize("mode", ["default", "crop"])
def test_preprocess_to_a_size_gives_diffusers_numbers(
    image: str, size: tuple[int | None, int | None], mode: str
) -> None:
    config = {"vae_scale_factor": 1}
    assert_same(
        *both(
            config, lambda processor: processor.preprocess(IMAGES[image](), *size, resize_mode=mode)
        )
    )


@pytest.mark.parametrize("output_type", ["pil", "np", "pt", "latent"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalize", [True, False])
def test_postprocess_gives_diffusers_numbers(
    output_type: str, channels: int, dtype: torch.dtype, normalize: bool
) -> None:
    low = -1.5 if normalize else 0.0  # a picture that is not denormalised must be in [0, 1] already
    decoded = tensor(2, channels, 9, 14, dtype=dtype, low=low)
    config = {"do_normalize": normalize}
    assert_same(*both(config, lambda processor: processor.postprocess(decoded, output_type)))


def test_an_unknown_output_type_gives_an_array_as_in_diffusers() -> None:
    assert_same(*both({}, lambda processor: processor.postprocess(tensor(1, 3, 8, 8), "jax")))


def test_helpers_give_diffusers_numbers() -> None:
    pictures = [picture("RGB", 9, 7)] * 2
    images = array(2, 7, 9, 3)
    batch = tensor(2, 3, 7, 9)
    calls: list[Callable[[Any], Any]] = [
        lambda p: p.pil_to_numpy(pictures),
        lambda p: p.pil_to_numpy(picture("L", 9, 7)),
        lambda p: p.numpy_to_pil(images),
        lambda p: p.numpy_to_pil(images[0]),
        lambda p: p.numpy_to_pil(images[..., :1]),
        lambda p: p.numpy_to_pt(images),
        lambda p: p.numpy_to_pt(images[..., 0]),
        lambda p: p.pt_to_numpy(batch),
        lambda p: p.normalize(images),
        lambda p: p.denormalize(batch),
        lambda p: p.resize(images, 8, 5),
        lambda p: p.resize(batch, 3, 20),
        lambda p: np.array(p.get_default_height_width(pictures[0])),
        lambda p: np.array(p.get_default_height_width(images, 30)),
        lambda p: np.array(p.get_default_height_width(batch, None, 17)),
    ]
    for call in calls:
        assert_same(*both({}, call))


VIDEOS: dict[str, Callable[[], Any]] = {
    "PIL": lambda: [picture("RGB", 50, 37), picture("RGB", 50, 37)],
    "lists of PIL": lambda: [
        [picture("RGB", 50, 37), picture("RGB", 40, 32)],
        [picture("L", 50, 37).convert("RGB")] * 2,
    ],
    "array": lambda: array(3, 37, 50, 3),
    "list of frames": lambda: [array(37, 50, 3), array(37, 50, 3)],
    "list of arrays": lambda: [array(3, 37, 50, 3), array(3, 37, 50, 3)],
    "array batch": lambda: array(2, 3, 37, 50, 3),
    "list of array batches": lambda: [array(1, 3, 37, 50, 3), array(2, 3, 37, 50, 3)],
    "tensor": lambda: tensor(3, 3, 37, 50),
    "list of tensor frames": lambda: [tensor(3, 37, 50), tensor(3, 37, 50)],
    "list of tensors": lambda: [tensor(3, 3, 37, 50), tensor(3, 3, 37, 50)],
    "tensor batch": lambda: tensor(2, 3, 3, 37, 50),
    "list of tensor batches": lambda: [tensor(1, 3, 3, 37, 50), tensor(1, 3, 3, 37, 50)],
    "one array picture": lambda: array(37, 50, 3),
    "one tensor picture": lambda: tensor(3, 37, 50),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("video", VIDEOS)
@pytest.mark.parametrize("size", [(None, None), (32, 64)])
def test_preprocess_video_gives_diffusers_numbers(
    video: str, size: tuple[int | None, int | None]
) -> None:
    config = {"vae_scale_factor": 16}
    assert_same(
        *both(
            config, lambda processor: processor.preprocess_video(VIDEOS[video](), *size), video=True
        )
    )


def test_preprocess_video_crops_like_diffusers() -> None:
    crop = {"height": 16, "width": 48, "resize_mode": "crop"}
    assert_same(
        *both({}, lambda processor: processor.preprocess_video(VIDEOS["PIL"](), **crop), video=True)
    )


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_postprocess_video_gives_diffusers_numbers(
    output_type: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    decoded = tensor(2, 3, 5, 9, 14, dtype=dtype, low=-1.5).to(memory_format=layout)
    ours, reference = both(
        {}, lambda processor: processor.postprocess_video(decoded, output_type), video=True
    )
    assert_same(ours, reference)
    if output_type != "pil":
        assert ours.flags.c_contiguous if output_type == "np" else ours.is_contiguous()


def test_load_image_gives_diffusers_pictures(tmp_path: Any) -> None:
    for mode, orientation in (("RGB", 1), ("RGB", 6), ("RGBA", 1), ("L", 3), ("P", 1), ("CMYK", 8)):
        path = str(tmp_path / f"{mode}-{orientation}.{'jpg' if mode == 'CMYK' else 'png'}")
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        picture(mode, 20, 12).save(path, exif=exif)
        assert_same(load_image(path), diffusers_load_image(path))


def test_gifs_are_diffusers_gifs(tmp_path: Any) -> None:
    frames = [
        picture("RGB", 20, 12),
        picture("RGB", 20, 12).rotate(180),
        picture("L", 20, 12).convert("RGB"),
    ]
    for fps in (10, 24, 7):
        ours = export_to_gif(frames, str(tmp_path / "filmstrip.gif"), fps)
        reference = diffusers_export_to_gif(frames, str(tmp_path / "diffusers.gif"), fps)
        assert (tmp_path / "filmstrip.gif").read_bytes() == (
            tmp_path / "diffusers.gif"
        ).read_bytes()
        loaded, rate = load_video(ours, return_fps=True)
        expected, expected_rate = diffusers_load_video(reference, return_fps=True)
        assert_same(loaded, [frame.convert("RGB") for frame in expected])
        assert rate == expected_rate
