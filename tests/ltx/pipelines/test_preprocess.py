"""Pictures are cropped to the aspect ratio of the video, blurred, and compressed by H.264."""

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip.ltx.pipelines.preprocess import compress, prepare_picture


def picture(height, width):
    """A smooth picture whose red grows to the right, and whose green grows downwards."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return PIL.Image.fromarray(
        np.stack([red, green, np.full((height, width), 60.0)], -1).astype("uint8")
    )


@pytest.mark.parametrize(
    ("size", "cropped_size"), [((50, 80), (50, 50)), ((80, 50), (50, 50)), ((60, 60), (60, 60))]
)
def test_a_picture_is_cropped_to_its_centre_at_its_resolution(size, cropped_size):
    pixels = prepare_picture(picture(*size), 64, 64, crf=0)
    assert pixels.shape == (1, 3, 1, *cropped_size)
    # Red and green change linearly, so that their mean is 0 only for the centre.
    assert pixels.mean(dim=(2, 3, 4))[0, :2].abs().max() < 0.02


def test_without_just_crop_a_picture_is_resized_to_the_video():
    pixels = prepare_picture(picture(50, 80), 48, 64, just_crop=False, crf=0)
    assert pixels.shape == (1, 3, 1, 48, 64)


def test_pixels_are_from_minus_one_to_one():
    whole = prepare_picture(picture(64, 64), 64, 64, crf=0)
    assert whole.min() < -0.97
    assert 0.97 < whole.max() <= 1


@pytest.mark.parametrize(
    ("size", "even_size"), [((48, 64), (48, 64)), ((49, 65), (48, 64)), ((48, 33), (48, 32))]
)
def test_compression_drops_odd_rows_and_columns(size, even_size):
    assert compress(torch.rand(3, *size), 29).shape == (3, *even_size)


def test_a_higher_crf_changes_pixels_more():
    pixels = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1)
    errors = [(compress(pixels, crf) - pixels).abs().mean() for crf in (1, 20, 29, 45)]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


def test_the_default_crf_changes_a_smooth_picture_little():
    pixels = torch.from_numpy(np.array(picture(64, 64))).permute(2, 0, 1) / 255
    assert (compress(pixels, 29) - pixels).abs().mean() < 0.02


def test_a_grey_picture_becomes_rgb():
    assert prepare_picture(PIL.Image.new("L", (32, 32), 255), 32, 32, crf=0).min() == 1


def test_levels_are_truncated_before_compression_as_the_authors_do():
    """`crf_compressor.py` has `(image * 255.0).byte()`: 100.9 becomes 100, not 101."""
    grey = {level: compress(torch.full((3, 32, 32), level / 255), 1) for level in (100.1, 100.9)}
    assert torch.equal(grey[100.9], grey[100.1])
    brighter = compress(torch.full((3, 32, 32), 101.1 / 255), 1)
    assert not torch.equal(brighter, grey[100.9])
