"""Group norms of tiles with the statistics of whole frames.

A group norm is over a whole frame. On a tile it would use the statistics of that tile, and tiles
would differ in brightness and contrast. `WholeFrameMoments` replaces the `forward` of the norms,
which need no code for tiles.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

import torch
import torch.nn.functional as F

from filmstrip.nn.norms import GroupNorm


class WholeFrameMoments:
    """Within this context, norms of tiles use the moments of whole frames.

    The moments are measured for one norm after the other, since each depends on those before it.
    """

    def __init__(self, norms: Sequence[GroupNorm]) -> None:
        self.norms = norms
        self._moments: dict[GroupNorm, torch.Tensor] = {}
        self._measured: GroupNorm | None = None
        self._part = (slice(None), slice(None))
        self._parts: list[tuple[int, torch.Tensor]] = []

    def __enter__(self) -> Self:
        for norm in self.norms:
            norm.forward = partial(self._forward, norm)  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        for norm in self.norms:
            del norm.__dict__["forward"]  # restores the method of the class

    def measure(
        self,
        norm: GroupNorm,
        function: Callable[[torch.Tensor], object],
        tiles: Iterable[tuple[torch.Tensor, slice, slice]],
    ) -> None:
        """Measure the moments of a norm's input by running `function` on tiles, up to the norm.

        Args:
            norm: the norm, which `function` calls.
            function: called with each tile.
            tiles: each with the rows and the columns of the norm's input that are counted. Together
                these parts must cover the frames without overlap.
        """
        self._measured = norm
        self._parts = []
        for tile, rows, columns in tiles:
            self._part = (rows, columns)
            with suppress(_InputMeasured):
                function(tile)
        total = sum(count for count, _ in self._parts)
        weighted = [moments * (count / total) for count, moments in self._parts]
        self._moments[norm] = torch.stack(weighted).sum(dim=0)
        self._measured = None

    def _forward(
        self, norm: GroupNorm, hidden_states: torch.Tensor, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Replaces the `forward` of a norm."""
        if shift is not None:
            ones = [1] * (hidden_states.ndim - 2)
            hidden_states = hidden_states + shift.view(*shift.shape, *ones)
        if norm is self._measured:
            part = hidden_states[(..., *self._part)]
            self._parts.append((part.numel(), group_moments(part, norm.num_groups)))
            raise _InputMeasured
        normed = normalize_by_moments(norm, hidden_states, self._moments[norm])
        return F.silu(normed, inplace=True) if norm.activate else normed


class _InputMeasured(Exception):  # noqa: N818 (it ends the run of a tile; it is not an error)
    """The run of a tile has reached the norm whose input is measured."""


def group_moments(hidden_states: torch.Tensor, groups: int) -> torch.Tensor:
    """Mean, and mean of the squares, of each group of channels.

    Args:
        hidden_states: `(N, C, ...)`.
        groups: number of groups, a divisor of C.

    Returns:
        `(2, N, groups)` in float32.
    """
    grouped = hidden_states.unflatten(1, (groups, -1))
    dims = tuple(range(2, grouped.ndim))
    mean = grouped.mean(dims, dtype=torch.float32)
    norm = torch.linalg.vector_norm(grouped, dim=dims, dtype=torch.float32)
    square = norm.square() * (groups * hidden_states.shape[0] / hidden_states.numel())
    return torch.stack([mean, square])


def normalize_by_moments(
    norm: GroupNorm, hidden_states: torch.Tensor, moments: torch.Tensor
) -> torch.Tensor:
    """Apply a group norm with these moments.

    Args:
        hidden_states: `(N, C, ...)`.
        moments: `(2, N, groups)`, from `group_moments`.
    """
    mean, square = moments.repeat_interleave(norm.num_channels // norm.num_groups, dim=2)
    scale = norm.weight * torch.rsqrt((square - mean.square()).clamp(min=0) + norm.eps)
    offset = norm.bias - mean * scale
    shape = [*scale.shape, *[1] * (hidden_states.ndim - 2)]
    normed = torch.addcmul(offset.view(shape), hidden_states, scale.view(shape))
    return normed.to(hidden_states.dtype)
