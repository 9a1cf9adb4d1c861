"""Normalisations."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """Root mean square norm over the last dimension (Zhang and Sennrich, arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float, elementwise_affine: bool = False) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps
        self.weight = nn.Parameter(torch.ones(dim)) if elementwise_affine else None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., C)` to `(..., C)`."""
        return F.rms_norm(hidden_states, hidden_states.shape[-1:], self.weight, self.eps)


def modulate(hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """`hidden_states * (1 + scale) + shift`, the modulation of adaLN (Peebles and Xie, arXiv
    2212.09748).
    """
    return torch.addcmul(shift, hidden_states, 1 + scale)


def channel_rms_norm(hidden_states: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square norm over the channels of `(B, C, T, H, W)`; in channels-last memory each
    norm reads one row.
    """
    rows = hidden_states.movedim(1, -1)
    return F.rms_norm(rows, rows.shape[-1:], eps=eps).movedim(-1, 1)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu and He, arXiv 1803.08494) over the channels and all later dimensions, then
    SiLU if `activate`.
    """

    shared: "SharedMoments | None" = None  # set while frames are worked on in tiles

    def __init__(self, channels: int, eps: float, groups: int = 32, activate: bool = False) -> None:
        super().__init__(groups, channels, eps)
        self.activate = activate

    def forward(
        self, hidden_states: torch.Tensor, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The norm of `hidden_states + shift`, `(N, C, ...)` to the same; `shift` is `(N, C)`."""
        if self.shared is None and self._has_kernel(hidden_states):
            from filmstrip.kernels.group_norm import group_norm

            return group_norm(
                hidden_states,
                shift,
                self.num_groups,
                self.weight,
                self.bias,
                self.eps,
                self.activate,
            )
        if shift is not None:
            hidden_states = hidden_states + shift.view(
                *shift.shape, *[1] * (hidden_states.ndim - 2)
            )
        if self.shared is None:
            normed = super().forward(hidden_states)
        else:
            normed = self.norm_by(self.shared.moments(self, hidden_states), hidden_states)
        return F.silu(normed, inplace=True) if self.activate else normed

    def _has_kernel(self, hidden_states: torch.Tensor) -> bool:
        """Whether to use the kernel for channels-last memory; it has no gradient, and a compiler
        does without.
        """
        eager = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
        return hidden_states.is_cuda and eager and self.num_channels % 8 == 0 and _has_triton()

    def norm_by(self, moments: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
        """Norm `(N, C, ...)` by given moments of its groups, `(2, N, groups)` as from
        `group_moments`.
        """
        mean, square = moments.repeat_interleave(self.num_channels // self.num_groups, dim=2)
        scale = self.weight * torch.rsqrt((square - mean.square()).clamp(min=0) + self.eps)
        offset = self.bias - mean * scale
        shape = [*scale.shape, *[1] * (hidden_states.ndim - 2)]
        return torch.addcmul(offset.view(shape), hidden_states, scale.view(shape)).to(
            hidden_states.dtype
        )


def group_moments(hidden_states: torch.Tensor, groups: int) -> torch.Tensor:
    """Mean, and mean of the squares, of each group of the channels of `(N, C, ...)`: `(2, N,
    groups)` in float32.
    """
    grouped = hidden_states.unflatten(1, (groups, -1))
    dims = tuple(range(2, grouped.ndim))
    mean = grouped.mean(dims, dtype=torch.float32)
    norm = torch.linalg.vector_norm(grouped, dim=dims, dtype=torch.float32)
    return torch.stack(
        [mean, norm.square() * (groups * hidden_states.shape[0] / hidden_states.numel())]
    )


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


class SharedMoments:
    """Within its context, norms that work on tiles use the moments of whole frames, found for one
    after the other.
    """

    def __init__(self, norms: Sequence[GroupNorm]) -> None:
        self.norms = norms
        self.found: dict[GroupNorm, torch.Tensor] = {}
        self.sought: GroupNorm | None = None
        self.own = (slice(None), slice(None))
        self.seen: list[tuple[int, torch.Tensor]] = []

    def __enter__(self) -> Self:
        for norm in self.norms:
            norm.shared = self
        return self

    def __exit__(self, *error: object) -> None:
        for norm in self.norms:
            norm.shared = None

    def find(
        self,
        norm: GroupNorm,
        run: Callable[[torch.Tensor], object],
        tiles: Iterable[tuple[torch.Tensor, slice, slice]],
    ) -> None:
        """Find the moments of a norm from what reaches it when `run` works on the tiles, which goes
        no further.

        Args:
            tiles: each with the rows and columns, of what reaches the norm, that are its own and no
                other tile's.
        """
        self.sought, self.seen = norm, []
        for tile, rows, columns in tiles:
            self.own = (rows, columns)
            with suppress(_Reached):
                run(tile)
        total = sum(count for count, _ in self.seen)
        self.found[norm] = torch.stack(
            [moments * (count / total) for count, moments in self.seen]
        ).sum(dim=0)
        self.sought = None

    def moments(self, norm: GroupNorm, hidden_states: torch.Tensor) -> torch.Tensor:
        """What a norm that has come to work on a tile is to use."""
        if norm is self.sought:
            rows, columns = self.own
            own = hidden_states[..., rows, columns]
            self.seen.append((own.numel(), group_moments(own, norm.num_groups)))
            raise _Reached
        return self.found[norm]


class _Reached(Exception):  # noqa: N818 (it is no error)
    """Work on a tile has come to the norm whose moments are sought."""
