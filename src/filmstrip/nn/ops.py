"""Operations that several models use.

Each is plain PyTorch. An operation with a kernel (`filmstrip.kernels`) uses it where it applies;
the plain version is the reference of the kernel. No other module imports kernels.
"""

import torch
import torch.nn.functional as F

from filmstrip import kernels

# CUDA's limit to the second and third dimension of a grid, which attention kernels use for the
# heads.
MAX_HEADS = 65535

Rotation = tuple[torch.Tensor, torch.Tensor]  # cosines and sines


# Norms


def group_norm_silu(
    hidden_states: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    shift: torch.Tensor | None = None,
    activate: bool = True,
) -> torch.Tensor:
    """Group norm (Wu and He, arXiv 1803.08494) of `hidden_states + shift`, then SiLU.

    Args:
        hidden_states: `(N, C, ...)`.
        weight, bias: `(C,)`.
        shift: `(N, C)`.
        activate: whether to apply SiLU.

    Returns:
        The same shape and dtype.
    """
    if kernels.group_norm_applies(hidden_states):
        from filmstrip.kernels.group_norm import group_norm

        return group_norm(hidden_states, shift, num_groups, weight, bias, eps, activate)
    return group_norm_silu_plain(
        hidden_states, num_groups, weight, bias, eps, shift=shift, activate=activate
    )


def group_norm_silu_plain(
    hidden_states: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    shift: torch.Tensor | None = None,
    activate: bool = True,
) -> torch.Tensor:
    """`group_norm_silu` in plain PyTorch; the arguments are the same."""
    if shift is not None:
        hidden_states = hidden_states + shift.view(*shift.shape, *[1] * (hidden_states.ndim - 2))
    normed = F.group_norm(hidden_states, num_groups, weight, bias, eps)
    return F.silu(normed, inplace=True) if activate else normed


def modulate(hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """`hidden_states * (1 + scale) + shift`, the modulation of adaLN (Peebles and Xie, arXiv
    2212.09748).
    """
    return torch.addcmul(shift, hidden_states, 1 + scale)


def rms_norm_modulate(
    hidden_states: torch.Tensor,
    weight: torch.Tensor | None,
    eps: float,
    shift: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Root mean square norm (Zhang and Sennrich, arXiv 1910.07467) over the last dimension, then
    modulation.

    Args:
        hidden_states: `(..., C)`.
        weight: `(C,)`.
        shift, scale: broadcast to `hidden_states`; both or neither.
    """
    normed = F.rms_norm(hidden_states, hidden_states.shape[-1:], weight, eps)
    return normed if shift is None or scale is None else modulate(normed, shift, scale)


def layer_norm_modulate(
    hidden_states: torch.Tensor, eps: float, shift: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Layer norm over the last dimension without learned weights, then modulation.

    Args:
        hidden_states: `(..., C)`.
        shift, scale: broadcast to `hidden_states`.
    """
    return modulate(F.layer_norm(hidden_states, hidden_states.shape[-1:], eps=eps), shift, scale)


def channel_rms_norm_silu(
    video: torch.Tensor,
    eps: float,
    shift: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Root mean square norm over the channels of `(B, C, T, H, W)`, modulation, and SiLU.

    In channels-last memory each norm reads one contiguous row.

    Args:
        shift, scale: `(B, C, 1, 1, 1)`; both or neither.
    """
    rows = video.movedim(1, -1)
    normed = F.rms_norm(rows, rows.shape[-1:], eps=eps).movedim(-1, 1)
    return F.silu(normed if shift is None or scale is None else modulate(normed, shift, scale))


# Residual connections


def gated_residual(
    residual: torch.Tensor, hidden_states: torch.Tensor, gate: torch.Tensor
) -> torch.Tensor:
    """`residual + gate * hidden_states`; the gate is broadcast."""
    return torch.addcmul(residual, hidden_states, gate)


# Attention


def apply_rotary(tokens: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Rotate each pair of neighbouring channels of `(B, N, C)` by its angle, in float32 (RoFormer,
    arXiv 2104.09864, section 3.4.2).

    Args:
        rotation: cosines and sines, each `(B or 1, N, C / 2)` in float32.
    """
    cos, sin = rotation
    real, imaginary = tokens.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=-1)
    return rotated.flatten(-2).to(tokens.dtype)


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


def temporal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, num_frames: int
) -> torch.Tensor:
    """Attention of each token to the tokens at the same position in the other frames of its video.

    Positions do not attend to each other, so this is attention among T frames with N * heads heads,
    computed on views of the tokens without a copy.

    Args:
        query, key, value: `(B * T, N, heads * D)`.
        num_frames: T.

    Returns:
        `(B * T, N, heads * D)`.
    """
    head_dim = query.shape[2] // heads
    videos = (tokens.unflatten(0, (-1, num_frames)).flatten(2) for tokens in (query, key, value))
    chunks = zip(*(video.split(MAX_HEADS * head_dim, dim=2) for video in videos), strict=True)
    mixed = [attention(q, k, v, heads=q.shape[2] // head_dim) for q, k, v in chunks]
    return (mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)).view(query.shape)


# Activations


def gelu(hidden_states: torch.Tensor) -> torch.Tensor:
    """GELU (Hendrycks and Gimpel, arXiv 1606.08415)."""
    return F.gelu(hidden_states)


def gelu_tanh(hidden_states: torch.Tensor) -> torch.Tensor:
    """GELU in its tanh approximation (arXiv 1606.08415, section 2)."""
    return F.gelu(hidden_states, approximate="tanh")


def gelu_sigmoid(hidden_states: torch.Tensor) -> torch.Tensor:
    """GELU in its sigmoid approximation (arXiv 1606.08415, section 2)."""
    return hidden_states * torch.sigmoid(1.702 * hidden_states)


def silu(hidden_states: torch.Tensor) -> torch.Tensor:
    """SiLU (arXiv 1606.08415, section 2)."""
    return F.silu(hidden_states)


def gated_gelu(hidden_states: torch.Tensor) -> torch.Tensor:
    """The first half of the channels times GELU of the second (GEGLU, arXiv 2002.05202)."""
    value, gate = hidden_states.chunk(2, dim=-1)
    return value * F.gelu(gate)


def gated_silu(hidden_states: torch.Tensor) -> torch.Tensor:
    """The first half of the channels times SiLU of the second (SwiGLU, arXiv 2002.05202)."""
    value, gate = hidden_states.chunk(2, dim=-1)
    return value * F.silu(gate)
