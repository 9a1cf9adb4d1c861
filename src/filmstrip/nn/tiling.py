"""Work in overlapping tiles whose seams are blended, so that memory does not grow with the
picture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import torch

from filmstrip.errors import InputError


class Tiled:
    """The switch of an autoencoder that can work in tiles, whose sizes are its attributes, in
    pixels and frames.
    """

    use_tiling = False

    def disable_tiling(self) -> None:
        """Encode and decode in one piece."""
        self.use_tiling = False

    def _tile(self, **dimensions: tuple[int | None, int | None, int]) -> None:
        """Work in tiles of these sizes and strides, with the length of a latent; `None` keeps what
        is set.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        tiling: dict[str, int] = {}
        for name, (size, stride, latent) in dimensions.items():
            asked = {f"tile_sample_min_{name}": size, f"tile_sample_stride_{name}": stride}
            found = {
                key: getattr(self, key) if value is None else value for key, value in asked.items()
            }
            size, stride = found.values()
            if not latent <= stride <= size:
                raise InputError(
                    f"The tiles' {name} is {size} and their stride {stride}; the stride must be "
                    f"between {latent}, a "
                    "latent, and the size."
                )
            tiling |= found
        for key, value in tiling.items():
            setattr(self, key, value)
        self.use_tiling = True


@dataclass(frozen=True)
class Tiles:
    """How a dimension is cut, and how the results are joined; lengths in input or output elements
    as named.
    """

    size: int  # input elements in a tile
    stride: int  # input elements from one tile to the next
    out_stride: int  # output elements kept of a tile
    blend: int  # output elements over which a tile fades in over the one before

    def starts(self, length: int) -> range:
        """Where the tiles of `length` input elements begin."""
        return range(0, length, self.stride)


def fade(before: torch.Tensor, after: torch.Tensor, extent: int, dim: int) -> torch.Tensor:
    """Fade the first `extent` elements of `after` in over the last ones of `before`, in place,
    linearly from 0.
    """
    extent = min(before.shape[dim], after.shape[dim], extent)
    if extent == 0:
        return after
    weight = torch.arange(extent, dtype=after.dtype, device=after.device) / extent
    weight = weight.view([-1 if axis == dim % after.ndim else 1 for axis in range(after.ndim)])
    head = after.narrow(dim, 0, extent)
    tail = before.narrow(dim, before.shape[dim] - extent, extent)
    head.copy_(tail * (1 - weight) + head * weight)
    return after


def run_tiled(
    run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, rows: Tiles, columns: Tiles
) -> torch.Tensor:
    """Apply `run` to overlapping tiles of the last two dimensions of `x` and join the results.

    Each tile fades in over the finished one above it, then over the finished one to its left. Only
    the row above is kept. The last tile of each dimension may reach beyond what the caller wants;
    the caller crops.
    """
    height, width = x.shape[-2:]
    above: list[torch.Tensor] = []
    joined = []
    for top in rows.starts(height):
        row: list[torch.Tensor] = []
        for left in columns.starts(width):
            tile = run(x[..., top : top + rows.size, left : left + columns.size])
            if above:
                fade(above[len(row)], tile, rows.blend, dim=-2)
            if row:
                fade(row[-1], tile, columns.blend, dim=-1)
            row.append(tile)
        kept = [tile[..., : rows.out_stride, : columns.out_stride] for tile in row]
        joined.append(torch.cat(kept, dim=-1))
        above = row
    return torch.cat(joined, dim=-2)


@dataclass(frozen=True)
class EvenTiles:
    """A dimension cut into tiles of one size, spread evenly, that fade into each other where they
    overlap.

    Near its edge a tile may be wrong, as it lacks what lies beyond: in the outer third of an
    overlap it has no share. A unit is what tiles are counted in (for an autoencoder, a latent);
    frames have one or more elements in a unit.
    """

    length: int  # units
    size: int  # units in a tile
    overlap: int  # units that neighbours share at least

    def starts(self) -> list[int]:
        """Where the tiles begin, in units."""
        if self.length <= self.size:
            return [0]
        gaps = math.ceil((self.length - self.size) / (self.size - self.overlap))
        return [round(i * (self.length - self.size) / gaps) for i in range(gaps + 1)]

    def places(self, elements: int) -> list[slice]:
        """Where the tiles are in frames of so many elements in a unit; the last takes what is left
        over.
        """
        ends = [(start + self.size) * elements for start in self.starts()]
        return [
            slice(start * elements, end)
            for start, end in zip(self.starts(), [*ends[:-1], None], strict=True)
        ]

    def own(self, elements: int) -> list[slice]:
        """What, within each tile, is nearer to its middle than to that of another."""
        starts = [start * elements for start in self.starts()]
        borders = [
            (before + self.size * elements + after) // 2 for before, after in pairwise(starts)
        ]
        return [
            slice(low - start, None if high is None else high - start)
            for start, low, high in zip(starts, [0, *borders], [*borders, None], strict=True)
        ]

    def weights(self, elements: int, total: int) -> list[torch.Tensor]:
        """The share of each tile in its elements, of `total` in all; at every place the shares sum
        to 1.
        """
        positions, overlap = torch.arange(total) + 0.5, self.overlap * elements
        depths = []
        for place in self.places(elements):
            inside = torch.full_like(positions, math.inf)
            if place.start:
                inside = torch.minimum(inside, positions - place.start)
            if place.stop is not None:
                inside = torch.minimum(inside, place.stop - positions)
            depths.append(((inside - overlap / 3) / max(overlap / 3, 1)).clamp(0, 1))
        shares = torch.stack(depths).mul(math.pi / 2).sin().square()
        shares = shares / shares.sum(dim=0)
        return [share[place] for share, place in zip(shares, self.places(elements), strict=True)]


def run_blended(
    run: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    rows: EvenTiles,
    columns: EvenTiles,
    source: int,
    target: int,
) -> torch.Tensor:
    """Apply `run` to overlapping tiles of frames `(N, C, H, W)` and blend the results, in
    channels-last memory.

    A unit of the tiles has `source` elements in `x` and `target` in the result.
    """
    height, width = (side * target // source for side in x.shape[-2:])
    ways = (
        zip(tiles.places(source), tiles.places(target), tiles.weights(target, total), strict=True)
        for tiles, total in ((rows, height), (columns, width))
    )
    joined = None
    for (place, to, share), (column, column_to, column_share) in product(*ways):
        tile = run(x[..., place, column])
        if joined is None:
            joined = tile.new_zeros([tile.shape[0], height, width, tile.shape[1]]).movedim(-1, 1)
        joined[..., to, column_to] += tile * (share[:, None] * column_share).to(tile)
    assert joined is not None
    return joined
