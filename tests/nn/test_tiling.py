"""Even tiles cover a feature map, and blending joins tiles that agree without a change."""

from itertools import pairwise

import torch
from hypothesis import given, settings, strategies as st

from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.tiled_norms import WholeFrameMoments
from filmstrip.nn.tiling import EvenTileLayout, run_even_tiles


@st.composite
def tiles(draw: st.DrawFn) -> EvenTileLayout:
    size = draw(st.integers(1, 12))
    return EvenTileLayout(draw(st.integers(1, 40)), size, draw(st.integers(0, size - 1)))


@settings(deadline=None)
@given(tiles(), st.sampled_from([1, 2, 8]), st.integers(0, 7))
def test_weights_sum_to_one_and_the_partition_covers_each_element_once(
    tiles: EvenTileLayout, scale: int, remainder: int
) -> None:
    total = tiles.length * scale + min(remainder, scale - 1)
    weights = torch.zeros(total)
    counts = torch.zeros(total)
    for tile, part, weight in zip(
        tiles.slices(scale), tiles.partition(scale), tiles.weights(scale, total), strict=True
    ):
        weights[tile] += weight
        counts[tile][part] += 1
        assert weight.sum() > 0
    torch.testing.assert_close(weights, torch.ones(total))
    assert (counts == 1).all()


@settings(deadline=None)
@given(tiles())
def test_tiles_overlap_by_at_least_the_overlap_and_end_at_the_end(tiles: EvenTileLayout) -> None:
    starts = tiles.starts()
    assert starts[0] == 0
    assert starts[-1] == max(tiles.length - tiles.size, 0)
    for start, next_start in pairwise(starts):
        assert start + tiles.size - next_start >= tiles.overlap
    assert len(starts) == len(set(starts))


@settings(deadline=None, max_examples=25)
@given(tiles(), tiles())
def test_blended_tiles_equal_an_elementwise_function_of_the_whole(
    rows: EvenTileLayout, columns: EvenTileLayout
) -> None:
    x = torch.randn(2, 3, rows.length * 2 + 1, columns.length * 2)
    joined = run_even_tiles(lambda tile: 2 * tile, x, rows, columns, 2, 2)
    torch.testing.assert_close(joined, 2 * x)
    assert joined.movedim(1, -1).is_contiguous()


@torch.no_grad()
def test_norms_of_blended_tiles_use_the_moments_of_the_whole() -> None:
    norms = [GroupNorm(32, 1e-5, groups=8, activate=True), GroupNorm(32, 1e-5, groups=4)]
    for norm in norms:
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(2, 32, 20, 14) * torch.linspace(0.1, 3, 14) + 5
    chain = torch.nn.Sequential(*norms)
    whole = chain(x)
    rows = EvenTileLayout(20, 8, 2)
    columns = EvenTileLayout(14, 7, 1)
    with WholeFrameMoments(norms) as moments:
        for norm in norms:
            tiles = [
                (x[..., row, column], row_part, column_part)
                for row, row_part in zip(rows.slices(1), rows.partition(1), strict=True)
                for column, column_part in zip(columns.slices(1), columns.partition(1), strict=True)
            ]
            moments.measure(norm, chain, tiles)
        tiled = run_even_tiles(chain, x, rows, columns, 1, 1)
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(chain(x), whole)
