"""Normalisations."""

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
    """`hidden_states * (1 + scale) + shift`, the modulation of adaLN (Peebles and Xie, arXiv 2212.09748)."""
    return torch.addcmul(shift, hidden_states, 1 + scale)


def channel_rms_norm(hidden_states: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square norm over the channels of `(B, C, T, H, W)`; in channels-last memory each norm reads one row."""
    rows = hidden_states.movedim(1, -1)
    return F.rms_norm(rows, rows.shape[-1:], eps=eps).movedim(-1, 1)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu and He, arXiv 1803.08494) over the channels and all later dimensions, then SiLU if `activate`."""

    def __init__(self, channels: int, eps: float, groups: int = 32, activate: bool = False) -> None:
        super().__init__(groups, channels, eps)
        self.activate = activate

    def forward(self, hidden_states: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
        """The norm of `hidden_states + shift`, `(N, C, ...)` to the same; `shift` broadcasts against it."""
        normed = super().forward(hidden_states if shift is None else hidden_states + shift)
        return F.silu(normed, inplace=True) if self.activate else normed
