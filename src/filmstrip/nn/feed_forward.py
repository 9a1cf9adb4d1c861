"""The position-wise feed-forward layer and its activations."""

from collections.abc import Callable

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn import ops

Activation = Callable[[torch.Tensor], torch.Tensor]

# By its name in a config: the width of the projection over the hidden width, and the activation.
ACTIVATIONS: dict[str, tuple[int, Activation]] = {
    "gelu": (1, ops.gelu),
    "gelu-approximate": (1, ops.gelu_tanh),
    "geglu": (2, ops.gated_gelu),
    "geglu-approximate": (1, ops.gelu_sigmoid),
    "swiglu": (2, ops.gated_silu),
    "linear-silu": (1, ops.silu),
}


class ActivatedLinear(nn.Module):
    """A linear layer and its activation.

    Raises:
        InputError: an unknown `activation_fn`.
    """

    def __init__(self, dim: int, hidden_dim: int, activation_fn: str) -> None:
        super().__init__()
        if activation_fn not in ACTIVATIONS:
            raise InputError(
                f"activation_fn is {activation_fn!r}; choose one of {', '.join(ACTIVATIONS)}."
            )
        multiplier, self.activation = ACTIVATIONS[activation_fn]
        self.proj = nn.Linear(dim, hidden_dim * multiplier)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., dim)` to `(..., hidden_dim)`."""
        return self.activation(self.proj(hidden_states))


class FeedForward(nn.Module):
    """Two linear layers with an activation between, four times as wide inside.

    Attributes:
        chunking: length and dimension of the chunks that are computed one after the other, to save
            memory; `None` computes all at once.
    """

    def __init__(self, dim: int, activation_fn: str) -> None:
        super().__init__()
        # Index 1 was a dropout in training; checkpoints name the last layer `net.2`.
        self.net = nn.Sequential(
            ActivatedLinear(dim, 4 * dim, activation_fn), nn.Identity(), nn.Linear(4 * dim, dim)
        )
        self.chunking: tuple[int, int] | None = None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., dim)` to `(..., dim)`."""
        if self.chunking is None:
            return self.net(hidden_states)
        size, dim = self.chunking
        return torch.cat([self.net(chunk) for chunk in hidden_states.split(size, dim)], dim)
