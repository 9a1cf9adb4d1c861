"""Work in overlapping tiles whose seams are blended, so that memory does not grow with the picture."""

from collections.abc import Callable
from dataclasses import dataclass

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
