"""Work in overlapping tiles whose seams are blended, so that memory does not grow with the picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Tiles:
    """How a dimension is cut, and how the results are joined; lengths in input or output elements as named."""

    size: int  # input elements in a tile
    stride: int  # input elements from one tile to the next
    out_stride: int  # output elements kept of a tile
    blend: int  # output elements over which a tile fades in over the one before

    def starts(self, length: int) -> range:
        """Where the tiles of `length` input elements begin."""
        return range(0, length, self.stride)


def fade(before: torch.Tensor, after: torch.Tensor, extent: int, dim: int) -> torch.Tensor:
    """Fade the first `extent` elements of `after` in over the last ones of `before`, in place, linearly from 0."""
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

    Each tile fades in over the finished one above it, then over the finished one to its left. Only the row above is
    kept. The last tile of each dimension may reach beyond what the caller wants; the caller crops.
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
    """A dimension cut into tiles of one size, spread evenly, that fade into each other smoothly.

    A unit is what the tiles are counted in: a latent, for an autoencoder.
    """

    length: int  # units
    size: int  # units in a tile
    overlap: int  # units that neighbours share at least
    source: int  # elements of the input in a unit
    target: int  # elements of the output in a unit

    def starts(self) -> list[int]:
        """Where the tiles begin, in units."""
        if self.length <= self.size:
            return [0]
        gaps = math.ceil((self.length - self.size) / (self.size - self.overlap))
        return [round(i * (self.length - self.size) / gaps) for i in range(gaps + 1)]

    def abutting(self) -> "EvenTiles":
        """As few tiles of that size as cover the dimension."""
        return replace(self, overlap=0)

    def sources(self) -> list[slice]:
        """Where each tile is in the input; the last takes what is left over."""
        ends = [(start + self.size) * self.source for start in self.starts()]
        return [slice(start * self.source, end) for start, end in zip(self.starts(), [*ends[:-1], None], strict=True)]

    def targets(self) -> list[slice]:
        """Where each tile is in the output."""
        size = min(self.size, self.length) * self.target
        return [slice(start * self.target, start * self.target + size) for start in self.starts()]

    def weights(self) -> list[torch.Tensor]:
        """The share of each tile in its elements of the output; at every place the shares sum to 1."""
        total = torch.zeros(self.length * self.target)
        targets = self.targets()
        raw = []
        for place in targets:
            positions = torch.arange(place.start, place.stop) + 0.5
            before = positions - place.start if place.start else torch.full_like(positions, math.inf)
            after = place.stop - positions if place.stop < len(total) else torch.full_like(positions, math.inf)
            depth = (torch.minimum(before, after) / max(self.overlap * self.target, 1)).clamp(max=1)
            raw.append(torch.sin(depth * math.pi / 2).square())
            total[place] += raw[-1]
        return [share / total[place] for share, place in zip(raw, targets, strict=True)]


def run_blended(
    run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, rows: EvenTiles, columns: EvenTiles
) -> torch.Tensor:
    """Apply `run` to overlapping tiles of frames `(N, C, H, W)` and blend the results, in channels-last memory."""
    joined = None
    for source, target, share in zip(rows.sources(), rows.targets(), rows.weights(), strict=True):
        for column_source, column_target, column_share in zip(
            columns.sources(), columns.targets(), columns.weights(), strict=True
        ):
            tile = run(x[..., source, column_source])
            if joined is None:
                shape = (*tile.shape[:2], rows.length * rows.target, columns.length * columns.target)
                joined = torch.empty(
                    shape, dtype=tile.dtype, device=tile.device, memory_format=torch.channels_last
                ).zero_()
            joined[..., target, column_target] += tile * (share[:, None] * column_share).to(tile)
    assert joined is not None
    return joined
