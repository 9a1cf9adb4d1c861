"""The range of the values of a tensor is recognised."""

import logging

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
