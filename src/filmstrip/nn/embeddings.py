"""Embeddings of timesteps and text."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def sinusoidal_embedding(
    values: torch.Tensor, dim: int, max_period: float = 10000.0
) -> torch.Tensor:
    """Cosines, then sines, of `values` at `dim / 2` frequencies from 1 down to `1 / max_period`.

    Vaswani et al., arXiv 1706.03762, section 3.5, in the order that diffusion models use.

    Args:
        values: `(N,)`, for example timesteps in [0, 1000].
        dim: channels; if it is odd, the last one is zero.

    Returns:
        `(N, dim)` in float32.
    """
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=values.device) / half
    angles = values[:, None].float() * torch.exp(-math.log(max_period) * exponent)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, dim % 2))


class TimestepEmbedding(nn.Module):
    """Two linear layers with SiLU between, from sinusoids to the width of the model.

    Args:
        in_channels: number of sinusoids.
        time_embed_dim: width after the first layer.
        out_dim: width after the second layer; `None` for `time_embed_dim`.
    """

    def __init__(self, in_channels: int, time_embed_dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, time_embed_dim)
        self.act = nn.SiLU()
        self.linear_2 = nn.Linear(time_embed_dim, out_dim or time_embed_dim)

    def forward(self, sinusoids: torch.Tensor) -> torch.Tensor:
        """`(N, in_channels)` to `(N, out_dim)`."""
        return self.linear_2(self.act(self.linear_1(sinusoids)))


class TimestepEmbedder(nn.Module):
    """Embeds timesteps: 256 sinusoids, then two linear layers (PixArt-alpha, arXiv 2310.00426)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, dim)

    def forward(self, timestep: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """`(N,)` to `(N, dim)` in `dtype`."""
        return self.timestep_embedder(sinusoidal_embedding(timestep, 256).to(dtype))


class TextProjection(nn.Module):
    """Two linear layers with GELU between, from the text encoder's width to the transformer's
    (PixArt-alpha, arXiv 2310.00426).
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_features, hidden_size)
        self.act_1 = nn.GELU(approximate="tanh")
        self.linear_2 = nn.Linear(hidden_size, hidden_size)

    def forward(self, caption: torch.Tensor) -> torch.Tensor:
        """`(B, L, in_features)` to `(B, L, hidden_size)`."""
        return self.linear_2(self.act_1(self.linear_1(caption)))
