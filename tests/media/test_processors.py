"""Processors beyond diffusers' behaviour; tests/parity/test_media.py compares the numbers."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.media.processors import VaeImageProcessor, VideoProcessor

PICTURE = PIL.Image.new("RGB", (40, 24))


def test_the_config_has_every_argument(tmp_path: Path) -> None:
    processor = VideoProcessor(vae_scale_factor=32, resample="bicubic")
    assert processor.config.vae_scale_factor == 32
    assert processor.config.do_resize is True
    assert (
        VideoProcessor.from_config(processor.config, do_resize=False).config.resample == "bicubic"
    )
    processor.save_config(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vae_scale_factor"] == 32


def test_postprocessing_inverts_preprocessing() -> None:
    processor = VideoProcessor()
    video = torch.rand(2, 5, 3, 16, 24)
    result = processor.postprocess_video(processor.preprocess_video(video), "pt")
    torch.testing.assert_close(result, video)


def test_postprocessing_does_not_change_its_input() -> None:
    decoded = torch.rand(1, 3, 2, 8, 8)
    before = decoded.clone()
    for normalize in (True, False):
        for output_type in ("pil", "np", "pt"):
            VideoProcessor(do_normalize=normalize).postprocess_video(decoded, output_type)
    assert torch.equal(decoded, before)


def test_preprocessing_does_not_change_its_input() -> None:
    image = torch.rand(1, 3, 8, 8)
    before = image.clone()
    processor = VaeImageProcessor(do_resize=False, do_normalize=False, do_binarize=True)
    assert set(processor.preprocess(image).unique().tolist()) == {0.0, 1.0}
    assert torch.equal(image, before)


def test_arrays_are_denormalised_too() -> None:
    np.testing.assert_array_equal(
        VaeImageProcessor.denormalize(np.array([-3.0, -1.0, 0.0, 1.0])), [0, 0, 0.5, 1]
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((8, 8, 3), 255, np.uint8), "has values from 255 to 255, where"),
        (torch.full((3, 8, 8), -1.0), "has values from -1 to -1, where"),
    ],
)
def test_values_outside_0_to_1_give_a_warning(
    image: Any, message: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("filmstrip"), "propagate", True)
    VaeImageProcessor().preprocess(image)
    assert message in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_convert_rgb": True, "do_convert_grayscale": True}, "exclude each other"),
        ({"resample": "area"}, "resample='area' is not a filter. Use one of linear"),
        ({"vae_scale_factor": 0}, "vae_scale_factor=0 must be at least 1"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VaeImageProcessor(**options)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (None, {}, "but these are NoneType"),
        ("cat.png", {}, "but these are str"),
        ([], {}, "There is no picture"),
        ([PICTURE, torch.zeros(3, 8, 8)], {}, "one type in a list, but these are Image, Tensor"),
        (torch.zeros(8, 8), {}, r"but this one is a Tensor of shape \(8, 8\)"),
        (torch.zeros(1, 2, 3, 8, 8), {}, r"shape \(1, 2, 3, 8, 8\)"),
        (np.zeros(8), {}, r"but this one is a ndarray of shape \(8,\)"),
        (np.zeros((0, 8, 8, 3)), {}, r"There is no picture: the shape is \(0, 8, 8, 3\)"),
        (
            [torch.zeros(3, 8, 8), torch.zeros(3, 8, 16)],
            {},
            r"number 0 has \(3, 8, 8\) and number 1 has \(3, 8, 16\)",
        ),
        (torch.zeros(3, 8, 8, dtype=torch.int64), {}, r"dtype torch.int64 cannot be resized"),
        (
            PIL.Image.new("RGB", (40, 5)),
            {},
            "cannot be 40x0 pixels. Is it smaller than vae_scale_factor, 8",
        ),
        (PICTURE, {"height": 0, "width": 8}, "cannot be 8x0 pixels"),
        (
            PICTURE,
            {"resize_mode": "zoom"},
            "resize_mode='zoom' does not work on a Image. Use default or crop",
        ),
    ],
)
def test_invalid_pictures_are_refused(image: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VaeImageProcessor().preprocess(image, **options)


def test_pictures_of_two_sizes_need_resizing() -> None:
    pictures = [PICTURE, PIL.Image.new("RGB", (24, 24))]
    assert VaeImageProcessor().preprocess(pictures).shape == (2, 3, 24, 40)
    with pytest.raises(InputError, match=r"number 1 has \(24, 24, 3\). Resize them"):
        VaeImageProcessor(do_resize=False).preprocess(pictures)


def test_a_mode_for_pil_images_is_refused_for_others() -> None:
    with pytest.raises(InputError, match="resize_mode='crop' does not work on a Tensor"):
        VaeImageProcessor().resize(torch.zeros(1, 3, 8, 8), 4, 4, resize_mode="crop")


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (None, "not a NoneType"),
        ([], "not an empty list"),
        (torch.zeros(3, 3), r"the shape is \(3, 3\)"),
        (
            [[PICTURE] * 2, [PICTURE] * 3],
            r"number 0 has \(2, 3, 24, 40\) and number 1 has \(3, 3, 24, 40\)",
        ),
        (["a", "b"], "but these are str"),
    ],
)
def test_invalid_videos_are_refused(video: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoProcessor().preprocess_video(video)


def test_invalid_decoded_tensors_are_refused() -> None:
    with pytest.raises(InputError, match="Only a tensor can be postprocessed, not a ndarray"):
        VaeImageProcessor().postprocess(np.zeros((1, 3, 8, 8)))
    with pytest.raises(InputError, match=r"not \(2, 3, 8, 8\)"):
        VideoProcessor().postprocess_video(torch.zeros(2, 3, 8, 8))
    with pytest.raises(InputError, match="output_type='latent' is unknown for videos"):
        VideoProcessor().postprocess_video(torch.zeros(1, 3, 2, 8, 8), "latent")
    with pytest.raises(InputError, match="1 to 4 channels"):
        VaeImageProcessor().postprocess(torch.zeros(2, 5, 8, 8))


def test_binarising_rounds_a_half_up() -> None:
    processor = VaeImageProcessor(do_resize=False, do_normalize=False, do_binarize=True)
    image = torch.tensor([0.0, 0.49, 0.5, 1.0]).view(1, 1, 2, 2)
    assert processor.preprocess(image).flatten().tolist() == [0, 0, 1, 1]


def test_default_sizes_are_rounded_down_to_multiples_of_the_scale_factor() -> None:
    processor = VaeImageProcessor(vae_scale_factor=8)
    forms = (
        PIL.Image.new("RGB", (47, 31)),
        np.zeros((1, 31, 47, 3), np.float32),
        torch.zeros(1, 3, 31, 47),
    )
    for image in forms:
        assert processor.get_default_height_width(image) == (24, 40)
        assert processor.get_default_height_width(image, 50, 17) == (48, 16)


def test_white_is_preprocessed_to_one_and_postprocessed_to_white() -> None:
    white = PIL.Image.new("RGB", (8, 8), (255, 255, 255))
    pixels = VaeImageProcessor().preprocess(white)
    assert pixels.min() == pixels.max() == 1
    (image,) = VaeImageProcessor().postprocess(pixels)
    assert image.getcolors() == [(64, (255, 255, 255))]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_the_mode_of_pil_images_follows_the_channels(channels: int, mode: str) -> None:
    images = VaeImageProcessor().postprocess(torch.zeros(2, channels, 5, 7))
    assert [(image.mode, image.size) for image in images] == [(mode, (7, 5))] * 2


@pytest.mark.parametrize("size", [(4, 8), (8, 4)])
def test_crop_covers_the_size_and_cuts_both_ends_evenly(size: tuple[int, int]) -> None:
    """Along the axis that is cropped, the border of the picture is cut off at both ends."""
    height, width = size
    picture = PIL.Image.new("RGB", (16, 16), "blue")
    picture.paste("red", (2, 2, 14, 14))
    processor = VaeImageProcessor(resample="nearest")
    cropped = processor.resize(picture, height, width, resize_mode="crop")
    assert cropped.size == (width, height)
    red = (np.asarray(cropped) == (255, 0, 0)).all(-1)
    expected = np.ones((height, width), bool)
    if width > height:
        expected[:, [0, -1]] = False
    else:
        expected[[0, -1]] = False
    np.testing.assert_array_equal(red, expected)


@pytest.mark.parametrize(
    ("option", "channels"),
    [({}, 4), ({"do_convert_rgb": True}, 3), ({"do_convert_grayscale": True}, 1)],
)
def test_pil_images_are_converted_only_on_request(option: dict[str, bool], channels: int) -> None:
    image = PIL.Image.new("RGBA", (8, 8))
    assert VaeImageProcessor(**option).preprocess(image).shape == (1, channels, 8, 8)
