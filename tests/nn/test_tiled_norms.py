"""Norms of tiles with the moments of whole frames equal the norms of the frames."""

import pytest
import torch

from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.tiled_norms import WholeFrameMoments


@pytest.mark.parametrize("with_shift", [False, True])
@pytest.mark.parametrize("activate", [False, True])
def test_norms_of_tiles_equal_the_norm_of_the_whole_frame(with_shift: bool, activate: bool) -> None:
    norm = GroupNorm(6, eps=1e-5, groups=3, activate=activate)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    frames = torch.randn(2, 6, 4, 10) * torch.linspace(0.1, 3, 10) + torch.linspace(-2, 2, 10)
    shift = torch.randn(2, 6) if with_shift else None
    column_slices = [slice(0, 7), slice(7, 10)]
    whole_tile = slice(None)
    with torch.no_grad():
        whole = norm(frames, shift)
        with WholeFrameMoments([norm]) as moments:
            moments.measure(
                norm,
                lambda tile: norm(tile, shift),
                [(frames[..., columns], whole_tile, whole_tile) for columns in column_slices],
            )
            tiles = [norm(frames[..., columns].clone(), shift) for columns in column_slices]
        torch.testing.assert_close(torch.cat(tiles, dim=-1), whole)
        torch.testing.assert_close(norm(frames, shift), whole)


def test_only_the_counted_rows_and_columns_of_a_tile_are_measured() -> None:
    norm = GroupNorm(2, eps=1e-5, groups=1)
    frames = torch.randn(1, 2, 6, 6) + torch.linspace(0, 5, 6)
    tiles = [
        (frames[..., :4, :], slice(0, 3), slice(None)),
        (frames[..., 2:, :], slice(1, 4), slice(None)),
    ]
    with torch.no_grad():
        whole = norm(frames)
        with WholeFrameMoments([norm]) as moments:
            moments.measure(norm, norm, tiles)
            torch.testing.assert_close(norm(frames.clone()), whole)
