"""The position-wise feed-forward layer and its activations."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.errors import InputError


def _gated(
    activation: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    def activate(projected: torch.Tensor) -> torch.Tensor:
        value, gate = projected.chunk(2, dim=-1)
        return value * activation(gate)

    return activate


# Name in a config: how many times the hidden width is projected to, and the activation. The gated
# ones are from arXiv 2002.05202, the sigmoid approximation of GELU from arXiv 1606.08415, section
# 2.
ACTIVATIONS: dict[str, tuple[int, Callable[[torch.Tensor], torch.Tensor]]] = {
    "gelu": (1, F.gelu),
    "gelu-approximate": (1, lambda x: F.gelu(x, approximate="tanh")),
    "geglu": (2, _gated(F.gelu)),
    "geglu-approximate": (1, lambda x: x * torch.sigmoid(1.702 * x)),
    "swiglu": (2, _gated(F.silu)),
    "linear-silu": (1, F.silu),
}


class ActivatedLinear(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, dim: int, hidden: int, activation_fn: str) -> None:
        super().__init__()
        if activation_fn not in ACTIVATIONS:
            raise InputError(
                f"activation_fn is {activation_fn!r}; choose one of {', '.join(ACTIVATIONS)}."
            )
        width, self.activation = ACTIVATIONS[activation_fn]
        self.proj = nn.Linear(dim, hidden * width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., dim)` to `(..., hidden)`."""
        return self.activation(self.proj(hidden_states))


class FeedForward(nn.Module):
    """Up to four times the width, activate, and back."""

    def __init__(self, dim: int, activation_fn: str) -> None:
        super().__init__()
        # Index 1 holds no weights; it keeps the checkpoint's name of the last layer, `net.2`.
        self.net = nn.Sequential(
            ActivatedLinear(dim, 4 * dim, activation_fn), nn.Identity(), nn.Linear(4 * dim, dim)
        )
        self.chunk: tuple[int, int] | None = (
            None  # length and dimension of the pieces worked on, which saves memory
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., dim)` to `(..., dim)`."""
        if self.chunk is None:
            return self.net(hidden_states)
        size, dim = self.chunk
        return torch.cat([self.net(part) for part in hidden_states.split(size, dim)], dim)
