"""Scaled dot-product attention over heads."""

import torch
import torch.nn.functional as F
from torch import nn

# CUDA's limit to the second and third dimension of a grid, over which attention kernels lay the
# heads.
MAX_HEADS = 65535


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    heads: int,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Multi-head attention (Vaswani et al., arXiv 1706.03762, section 3.2).

    Args:
        query: `(B, N, heads * D)`.
        key, value: `(B, L, heads * D)`.
        bias: added to the scores, broadcast to `(B, heads, N, L)`.

    Returns:
        `(B, N, heads * D)`.
    """
    query, key, value = (
        tokens.unflatten(2, (heads, -1)).transpose(1, 2) for tokens in (query, key, value)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


def attention_over_time(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, num_frames: int
) -> torch.Tensor:
    """Attention of each token to those at its own place in the other frames, all `(B * T, N, heads
    * D)`.

    As no place looks at another, each has heads of its own: this is attention among T frames with N
    * heads heads, for which tokens are viewed, not permuted.
    """
    size = query.shape[2] // heads
    videos = (tokens.unflatten(0, (-1, num_frames)).flatten(2) for tokens in (query, key, value))
    pieces = zip(*(video.split(MAX_HEADS * size, dim=2) for video in videos), strict=True)
    mixed = [attention(q, k, v, heads=q.shape[2] // size) for q, k, v in pieces]
    return (mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)).view(query.shape)


class Attention(nn.Module):
    """Attention with projections into and out of it.

    Args:
        dim: width of the tokens, and of all heads together.
        heads: a divisor of `dim`.
        context_dim: width of what the tokens look at, if not at themselves.
        bias: of the projections of queries, keys and values; that out of attention always has one.
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

    def prepare(self, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `forward` needs of a context `(B, L, context_dim)`: keys and values, each `(B, L,
        dim)`.

        Of a single token, whose weight is 1 for every query, it is the output itself, `(B, 1,
        dim)`, alone.
        """
        value = self.to_v(context)
        return (self.to_out[0](value),) if context.shape[1] == 1 else (self.to_k(context), value)

    def forward(
        self,
        tokens: torch.Tensor,
        keys_values: tuple[torch.Tensor, torch.Tensor] | None = None,
        num_frames: int | None = None,
    ) -> torch.Tensor:
        """`(B, N, dim)` to the same.

        The tokens look at the given keys and values; else at themselves; with `num_frames`, over
        time at themselves.
        """
        query = self.to_q(tokens)
        key, value = (self.to_k(tokens), self.to_v(tokens)) if keys_values is None else keys_values
        if num_frames is None:
            mixed = attention(query, key, value, self.heads)
        else:
            mixed = attention_over_time(query, key, value, self.heads, num_frames)
        return self.to_out[0](mixed)
