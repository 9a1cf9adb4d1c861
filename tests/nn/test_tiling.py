"""Even tiles cover everything once, and blending gives back what does not depend on the tile."""

from itertools import pairwise

import torch
from hypothesis import given, settings, strategies as st

from filmstrip.nn.norms import GroupNorm, SharedMoments
from filmstrip.nn.tiling import EvenTiles, run_blended


@st.composite
def tiles(draw: st.DrawFn) -> EvenTiles:
    size = draw(st.integers(1, 12))
    return EvenTiles(draw(st.integers(1, 40)), size, draw(st.integers(0, size - 1)))


@settings(deadline=None)
@given(tiles(), st.sampled_from([1, 2, 8]), st.integers(0, 7))
def test_shares_sum_to_one_and_each_element_is_owned_once(
    tiles: EvenTiles, elements: int, rest: int
) -> None:
    total = tiles.length * elements + min(rest, elements - 1)
    shares, owned = torch.zeros(total), torch.zeros(total)
    spread = zip(
        tiles.places(elements), tiles.own(elements), tiles.weights(elements, total), strict=True
    )
    for place, own, share in spread:
        shares[place] += share
        owned[place][own] += 1
        assert share.sum() > 0
    torch.testing.assert_close(shares, torch.ones(total))
    assert (owned == 1).all()


@settings(deadline=None)
@given(tiles())
def test_tiles_overlap_as_asked_and_end_at_the_end(tiles: EvenTiles) -> None:
    starts = tiles.starts()
    assert starts[0] == 0
    assert starts[-1] == max(tiles.length - tiles.size, 0)
    assert all(before + tiles.size - after >= tiles.overlap for before, after in pairwise(starts))
    assert len(starts) == len(set(starts))


@settings(deadline=None, max_examples=25)
@given(tiles(), tiles())
def test_blending_what_no_tile_changes_gives_it_back(rows: EvenTiles, columns: EvenTiles) -> None:
    x = torch.randn(2, 3, rows.length * 2 + 1, columns.length * 2)
    joined = run_blended(lambda tile: 2 * tile, x, rows, columns, 2, 2)
    torch.testing.assert_close(joined, 2 * x)
    assert joined.movedim(1, -1).is_contiguous()


@torch.no_grad()
def test_norms_on_tiles_use_the_moments_of_the_whole() -> None:
    norms = [GroupNorm(32, 1e-5, groups=8, activate=True), GroupNorm(32, 1e-5, groups=4)]
    for norm in norms:
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(2, 32, 20, 14) * torch.linspace(0.1, 3, 14) + 5
    chain = torch.nn.Sequential(*norms)
    whole = chain(x)
    rows, columns = EvenTiles(20, 8, 2), EvenTiles(14, 7, 1)
    with SharedMoments(norms) as shared:
        for norm in norms:
            pieces = [
                (x[..., row, column], own, own_column)
                for row, own in zip(rows.places(1), rows.own(1), strict=True)
                for column, own_column in zip(columns.places(1), columns.own(1), strict=True)
            ]
            shared.find(norm, chain, pieces)
        tiled = run_blended(chain, x, rows, columns, 1, 1)
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(chain(x), whole)
