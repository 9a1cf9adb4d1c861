"""Latents and tokens: packing, normalising, positions, statistics and tone mapping, by formula."""

import math

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import (
    LatentShape,
    adain,
    denormalize,
    expand_rows,
    normalize,
    pack,
    token_positions,
    tone_map,
    unpack,
)

SHAPE = LatentShape(num_frames=3, height=2, width=4)


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, 5, 3, 2, 4)


def test_tokens_are_ordered_by_frame_then_row_then_column(latents: torch.Tensor) -> None:
    tokens = pack(latents)
    assert tokens.shape == (2, SHAPE.num_tokens, 5)
    for frame in range(3):
        for row in range(2):
            for column in range(4):
                token = tokens[:, (frame * 2 + row) * 4 + column]
                assert torch.equal(token, latents[:, :, frame, row, column])
    assert torch.equal(unpack(tokens, SHAPE), latents)


def test_latents_are_normalised_by_channel_and_scaled(latents: torch.Tensor) -> None:
    mean = torch.arange(5.0)
    std = torch.arange(1.0, 6.0)
    normalized = normalize(latents, mean, std, 0.5)
    for channel in range(5):
        expected = (latents[:, channel] - channel) / (channel + 1) / 2
        torch.testing.assert_close(normalized[:, channel], expected)
    torch.testing.assert_close(denormalize(normalized, mean, std, 0.5), latents)
    assert normalize(latents.half(), mean, std, 0.5).dtype == torch.float16


def test_rows_are_expanded_in_the_order_of_the_prompts() -> None:
    rows = torch.arange(4.0).view(2, 2)
    assert expand_rows(rows, 2, "pictures") is rows
    assert torch.equal(expand_rows(rows, 6, "pictures"), rows[[0, 0, 0, 1, 1, 1]])
    assert torch.equal(expand_rows(rows[:1], 3, "pictures"), rows[[0, 0, 0]])
    with pytest.raises(InputError, match="There are 2 pictures for 3 videos"):
        expand_rows(rows, 3, "pictures")


@pytest.mark.parametrize(
    ("causal", "first_frame", "frames"),
    [
        (False, 0, [0, 8, 16]),
        (False, 5, [5, 13, 21]),
        (True, 0, [0, 1, 9]),
        (True, 16, [16, 17, 25]),
    ],
)
def test_positions_are_seconds_and_pixels(
    causal: bool, first_frame: int, frames: list[int]
) -> None:
    positions = token_positions(SHAPE, (8, 32), 25.0, causal, first_frame)
    assert positions.shape == (1, 3, SHAPE.num_tokens)
    assert positions.dtype == torch.float32
    grid = positions.unflatten(2, (3, 2, 4))[0]
    torch.testing.assert_close(grid[0, :, 1, 2], torch.tensor(frames) / 25.0)
    assert grid[1, 0, :, 3].tolist() == [0, 32]
    assert grid[2, 2, 1].tolist() == [0, 32, 64, 96]
    assert token_positions(SHAPE, (8, 32), 25.0, True, device=torch.device("meta")).is_meta


def test_adain_gives_the_statistics_of_the_reference(latents: torch.Tensor) -> None:
    reference = 3 * torch.randn(2, 5, 3, 4, 8) + 7
    matched = adain(latents, reference)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(matched, dim=(2, 3, 4)), statistic(reference, dim=(2, 3, 4))
        )
    std, mean = torch.std_mean(latents[1, 2])
    standardised = (matched[1, 2] - matched[1, 2].mean()) / matched[1, 2].std()
    torch.testing.assert_close((latents[1, 2] - mean) / std, standardised)
    torch.testing.assert_close(adain(latents, reference, 0.0), latents)
    torch.testing.assert_close(adain(latents, reference, 0.25), 0.75 * latents + 0.25 * matched)


@pytest.mark.parametrize("compression", [0.0, 0.3, 1.0])
def test_tone_mapping_follows_its_formula(compression: float) -> None:
    """`tone_map_latents` of Lightricks/LTX-Video."""
    for value in (-4.0, -1.0, 0.0, 0.5, 3.0):
        factor = 0.75 * compression
        sigmoid = 1 / (1 + math.exp(-4 * factor * (abs(value) - 1)))
        expected = value * (1 - 0.8 * factor * sigmoid)
        assert tone_map(torch.tensor(value), compression).item() == pytest.approx(expected)
