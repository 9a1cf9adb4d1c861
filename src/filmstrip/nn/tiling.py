"""Computation in overlapping tiles whose results are blended, so that memory does not grow with the
size of the frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from filmstrip.errors import InputError

TileFunction = Callable[[torch.Tensor], torch.Tensor]


class TilingMixin:
    """Tiling of an autoencoder, on or off.

    The sizes of tiles and their strides, in pixels and frames, are the attributes
    `tile_sample_min_*` and `tile_sample_stride_*`, as in diffusers.
    """

    use_tiling = False

    def disable_tiling(self) -> None:
        """Encode and decode whole frames."""
        self.use_tiling = False

    def _set_tiling(self, **dimensions: tuple[int | None, int | None, int]) -> None:
        """Switch tiling on.

        Args:
            dimensions: for each of "height", "width" and "num_frames", the size of a tile, its
                stride, and the pixels or frames of a latent; `None` keeps the current value.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        changes: dict[str, int] = {}
        for name, (new_size, new_stride, latent) in dimensions.items():
            size_name = f"tile_sample_min_{name}"
            stride_name = f"tile_sample_stride_{name}"
            size = getattr(self, size_name) if new_size is None else new_size
            stride = getattr(self, stride_name) if new_stride is None else new_stride
            if not latent <= stride <= size:
                raise InputError(
                    f"The tiles' {name} is {size} and their stride {stride}; the stride must be "
                    f"between {latent}, a latent, and the size."
                )
            changes |= {size_name: size, stride_name: stride}
        for name, value in changes.items():
            setattr(self, name, value)
        self.use_tiling = True


def blend(before: torch.Tensor, after: torch.Tensor, extent: int, dim: int) -> torch.Tensor:
    """Blend the last `extent` elements of `before` into the first ones of `after`, in place.

    The weight of `after` rises linearly from 0.

    Args:
        extent: elements along `dim`, at most as many as both tensors have.

    Returns:
        `after`.
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


@dataclass(frozen=True)
class StridedTileLayout:
    """Tiles at a fixed stride along one dimension; the last may be shorter. This is diffusers'
    layout.
    """

    size: int  # input elements of a tile
    stride: int  # input elements from one tile to the next
    output_stride: int  # output elements that are kept of a tile
    output_overlap: int  # output elements over which a tile is blended with the previous one

    def starts(self, length: int) -> range:
        """The first input element of each tile, for an input of this length."""
        return range(0, length, self.stride)


def run_strided_tiles(
    function: TileFunction,
    x: torch.Tensor,
    rows: StridedTileLayout,
    columns: StridedTileLayout,
) -> torch.Tensor:
    """Apply a function to overlapping tiles of the last two dimensions of `x` and join the results.

    Each tile is cross-faded with the finished tile above it, then with the finished tile to its
    left. Only the row above is kept in memory.

    Args:
        x: `(..., H, W)`.
        rows, columns: layouts along height and width.

    Returns:
        The joined results, which may be larger than the output for the whole of `x`; the caller
        crops them.
    """
    height, width = x.shape[-2:]
    row_above: list[torch.Tensor] = []
    joined_rows = []
    for top in rows.starts(height):
        row: list[torch.Tensor] = []
        for left in columns.starts(width):
            tile = function(x[..., top : top + rows.size, left : left + columns.size])
            if row_above:
                blend(row_above[len(row)], tile, rows.output_overlap, dim=-2)
            if row:
                blend(row[-1], tile, columns.output_overlap, dim=-1)
            row.append(tile)
        kept = [tile[..., : rows.output_stride, : columns.output_stride] for tile in row]
        joined_rows.append(torch.cat(kept, dim=-1))
        row_above = row
    return torch.cat(joined_rows, dim=-2)


@dataclass(frozen=True)
class EvenTileLayout:
    """Tiles of one size, spread evenly over one dimension.

    The layout is in latents; `scale` is the number of elements of a feature map for one latent.
    Blending weights rise over the middle third of an overlap. The outer third, where a tile lacks
    context, has weight 0.
    """

    length: int  # latents
    size: int  # latents in a tile
    overlap: int  # the least number of latents that neighbouring tiles have in common

    def starts(self) -> list[int]:
        """The first latent of each tile."""
        if self.length <= self.size:
            return [0]
        gaps = math.ceil((self.length - self.size) / (self.size - self.overlap))
        return [round(i * (self.length - self.size) / gaps) for i in range(gaps + 1)]

    def slices(self, scale: int) -> list[slice]:
        """The tiles in a feature map of this scale; the last one includes any remainder."""
        starts = self.starts()
        slices = [slice(start * scale, (start + self.size) * scale) for start in starts[:-1]]
        return [*slices, slice(starts[-1] * scale, None)]

    def partition(self, scale: int) -> list[slice]:
        """The part of each tile, relative to its start, whose nearest tile centre is its own.

        These parts do not overlap, and together cover the feature map.
        """
        starts = [start * scale for start in self.starts()]
        borders = [
            (start + self.size * scale + next_start) // 2 for start, next_start in pairwise(starts)
        ]
        parts = []
        for start, low, high in zip(starts, [0, *borders], [*borders, None], strict=True):
            parts.append(slice(low - start, None if high is None else high - start))
        return parts

    def weights(self, scale: int, total: int) -> list[torch.Tensor]:
        """The blending weights of each tile; at every element of the feature map they sum to 1.

        Args:
            total: elements of the feature map.
        """
        positions = torch.arange(total) + 0.5
        overlap = self.overlap * scale
        ramps = []
        for tile in self.slices(scale):
            distance = torch.full_like(positions, math.inf)  # from the tile's inner edges
            if tile.start:
                distance = torch.minimum(distance, positions - tile.start)
            if tile.stop is not None:
                distance = torch.minimum(distance, tile.stop - positions)
            ramps.append(((distance - overlap / 3) / max(overlap / 3, 1)).clamp(0, 1))
        weights = torch.stack(ramps).mul(math.pi / 2).sin().square()
        weights = weights / weights.sum(dim=0)
        return [row[tile] for row, tile in zip(weights, self.slices(scale), strict=True)]


def run_even_tiles(
    function: TileFunction,
    x: torch.Tensor,
    rows: EvenTileLayout,
    columns: EvenTileLayout,
    in_scale: int,
    out_scale: int,
) -> torch.Tensor:
    """Apply a function to overlapping tiles of frames `(N, C, H, W)` and blend the results, in
    channels-last memory.

    Args:
        rows, columns: layouts along height and width.
        in_scale, out_scale: elements for each latent, along height and width, of `x` and of the
            result.
    """
    height = x.shape[-2] * out_scale // in_scale
    width = x.shape[-1] * out_scale // in_scale
    blended = None
    for row, out_row, row_weight in _tiles(rows, in_scale, out_scale, height):
        for column, out_column, column_weight in _tiles(columns, in_scale, out_scale, width):
            tile = function(x[..., row, column])
            if blended is None:
                shape = [tile.shape[0], height, width, tile.shape[1]]
                blended = tile.new_zeros(shape).movedim(-1, 1)
            weight = row_weight[:, None] * column_weight
            blended[..., out_row, out_column] += tile * weight.to(tile)
    assert blended is not None
    return blended


def _tiles(
    layout: EvenTileLayout, in_scale: int, out_scale: int, total: int
) -> list[tuple[slice, slice, torch.Tensor]]:
    """Input slice, output slice and weights of each tile."""
    weights = layout.weights(out_scale, total)
    return list(zip(layout.slices(in_scale), layout.slices(out_scale), weights, strict=True))
