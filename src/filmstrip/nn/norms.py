"""Normalisation layers."""

import torch
from torch import nn

from filmstrip.nn import ops


class RMSNorm(nn.Module):
    """Root mean square norm over the last dimension (Zhang and Sennrich, arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float, elementwise_affine: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim)) if elementwise_affine else None

    def forward(
        self,
        hidden_states: torch.Tensor,
        shift: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(..., dim)` to the same shape, modulated if shift and scale are given."""
        return ops.rms_norm_modulate(hidden_states, self.weight, self.eps, shift, scale)


class ModulatedLayerNorm(nn.Module):
    """Layer norm over the last dimension with modulation in place of learned weights (adaLN,
    Peebles and Xie, arXiv 2212.09748).
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(
        self, hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """`(..., dim)` to the same; shift and scale are broadcast."""
        return ops.layer_norm_modulate(hidden_states, self.eps, shift, scale)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu and He, arXiv 1803.08494) over groups of channels and all later dimensions,
    then SiLU if `activate`.
    """

    def __init__(self, channels: int, eps: float, groups: int = 32, activate: bool = False) -> None:
        super().__init__(groups, channels, eps)
        self.activate = activate

    def forward(
        self, hidden_states: torch.Tensor, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The norm of `hidden_states + shift`, `(N, C, ...)` to the same; `shift` is `(N, C)`."""
        return ops.group_norm_silu(
            hidden_states,
            self.num_groups,
            self.weight,
            self.bias,
            self.eps,
            shift=shift,
            activate=self.activate,
        )
