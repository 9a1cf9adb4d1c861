"""The range of the values of a tensor is recognised."""

import logging

import numpy as np
import pytest
import torch

from filmstrip.svd.pipelines.images import to_images


@pytest.mark.parametrize(
    ("high", "is_8_bit"), [(1.0, False), (1.5, False), (2.0, False), (2.01, True), (255.0, True)]
)
def test_floats_above_2_are_taken_for_0_to_255_with_a_warning(
    high: float,
    is_8_bit: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("filmstrip"), "propagate", True)
    picture = torch.linspace(0, high, 3 * 4 * 4).view(3, 4, 4)
    (image,) = to_images(picture)
    torch.testing.assert_close(image, picture / 255 if is_8_bit else picture)
    assert ("divided by 255" in caplog.text) is is_8_bit


def test_floats_with_a_negative_value_are_not_taken_for_0_to_255() -> None:
    picture = torch.linspace(-3, 3, 3 * 4 * 4).view(3, 4, 4)
    (image,) = to_images(picture)
    assert torch.equal(image, picture)


def test_arrays_beyond_their_range_are_clamped() -> None:
    high = np.full((4, 4, 3), 1.5, np.float32)
    high[0] = 0.0
    (image,) = to_images(high)
    assert np.asarray(image)[0].max() == 0
    assert np.asarray(image)[1:].min() == 255
    low = np.full((4, 4, 3), -1.5, np.float32)
    low[0] = 3.0
    (image,) = to_images(low)
    assert np.asarray(image)[0].min() == 255
    assert np.asarray(image)[1:].max() == 0


@pytest.mark.parametrize("grey", [False, True])
def test_booleans_are_black_and_white(grey: bool) -> None:
    mask = np.eye(4, dtype=bool) if grey else np.eye(4, dtype=bool)[..., None].repeat(3, axis=2)
    (image,) = to_images(mask)
    assert np.array_equal(np.asarray(image)[..., 0], np.eye(4) * 255)
    (tensor,) = to_images(torch.eye(4, dtype=torch.bool)[None].repeat(3, 1, 1))
    assert torch.equal(tensor[0], torch.eye(4))
