"""The attention layer of SVD's transformers."""

import torch
from torch import nn

from filmstrip.nn import ops
from filmstrip.nn.hooks import hookable


class Attention(nn.Module):
    """Multi-head attention with its projections.

    Args:
        dim: width of the tokens, and of all heads together.
        heads: a divisor of `dim`.
        context_dim: width of the context; `None` for `dim`.
        bias: whether the projections of queries, keys and values have a bias; the output's always
            has one.
    """

    def __init__(
        self, dim: int, heads: int, context_dim: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_k = nn.Linear(context_dim or dim, dim, bias=bias)
        self.to_v = nn.Linear(context_dim or dim, dim, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    @hookable
    def prepare(self, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the part of cross-attention that depends only on the context.

        Args:
            context: `(B, L, context_dim)`.

        Returns:
            Keys and values, each `(B, L, dim)`. For a context of a single token, whose weight is 1
            for every query, only the output, `(B, 1, dim)`.
        """
        value = self.to_v(context)
        if context.shape[1] == 1:
            return (self.to_out[0](value),)
        return self.to_k(context), value

    def forward(
        self,
        tokens: torch.Tensor,
        keys_values: tuple[torch.Tensor, torch.Tensor] | None = None,
        num_frames: int | None = None,
    ) -> torch.Tensor:
        """Attention of tokens `(B, N, dim)`, to the same shape.

        Args:
            keys_values: of a context, from `prepare`; `None` for self-attention.
            num_frames: with it, self-attention is temporal: see `ops.temporal_attention`.
        """
        query = self.to_q(tokens)
        if keys_values is None:
            key = self.to_k(tokens)
            value = self.to_v(tokens)
        else:
            key, value = keys_values
        if num_frames is None:
            mixed = ops.attention(query, key, value, self.heads)
        else:
            mixed = ops.temporal_attention(query, key, value, self.heads, num_frames)
        return self.to_out[0](mixed)
