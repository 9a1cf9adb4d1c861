"""Scaled dot-product attention over heads."""

import torch
import torch.nn.functional as F


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Multi-head attention (Vaswani et al., arXiv 1706.03762, section 3.2).

    Args:
        query: `(B, N, heads * D)`.
        key, value: `(B, L, heads * D)`.
        bias: added to the scores, broadcast to `(B, heads, N, L)`.

    Returns:
        `(B, N, heads * D)`.
    """
    query, key, value = (tokens.unflatten(2, (heads, -1)).transpose(1, 2) for tokens in (query, key, value))
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)
