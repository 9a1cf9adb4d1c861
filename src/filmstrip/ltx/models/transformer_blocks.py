"""The blocks of the LTX-Video transformer (HaCohen et al., arXiv 2501.00103)."""

from dataclasses import dataclass

import torch
from torch import nn

from filmstrip.config import Config
from filmstrip.errors import InputError
from filmstrip.nn import ops
from filmstrip.nn.embeddings import TimestepEmbedder
from filmstrip.nn.feed_forward import FeedForward
from filmstrip.nn.hooks import hookable
from filmstrip.nn.norms import RMSNorm
from filmstrip.nn.ops import Rotation

KeysValues = tuple[torch.Tensor, torch.Tensor]  # each (B, L, C)

PERTURBATIONS = ("attention_values", "attention_skip", "transformer_block", "residual")


@dataclass(frozen=True)
class Perturbation:
    """What spatio-temporal guidance skips in some rows of the batch.

    Hyung et al., arXiv 2411.18664; Lightricks/LTX-Video.

    Modes:
        attention_values: the attention weights; the attention of a token is its value.
        attention_skip: the attention up to its output projection, whose input is the token itself.
        transformer_block: the whole block.
        residual: nothing, as in the authors' code.

    Raises:
        InputError: an unknown mode.
    """

    mode: str
    blocks: tuple[int, ...]  # the blocks that are perturbed
    rows: torch.Tensor  # (B,), true for the rows that are perturbed

    def __post_init__(self) -> None:
        if self.mode not in PERTURBATIONS:
            raise InputError(
                f"The perturbation is {self.mode!r}; it is one of {', '.join(PERTURBATIONS)}."
            )

    def apply(self, mode: str, perturbed: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Replace the perturbed rows of `tokens` by those of `perturbed`, if this is the mode.

        Args:
            mode: the mode of this perturbation.
            perturbed, tokens: `(B, N, C)`.
        """
        if mode != self.mode:
            return tokens
        return torch.where(self.rows[:, None, None], perturbed, tokens)


class LTXAttention(nn.Module):
    """Multi-head attention whose queries and keys are normalised over all heads together."""

    def __init__(self, dim: int, heads: int, context_dim: int, bias: bool, out_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q = nn.RMSNorm(dim, eps=1e-5)
        self.norm_k = nn.RMSNorm(dim, eps=1e-5)
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_k = nn.Linear(context_dim, dim, bias=bias)
        self.to_v = nn.Linear(context_dim, dim, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim, bias=out_bias)])

    @hookable
    def prepare(self, context: torch.Tensor) -> KeysValues:
        """Keys and values of a context `(B, L, context_dim)`."""
        return self._keys_values(context)

    def forward(
        self,
        tokens: torch.Tensor,
        rotation: Rotation | None = None,
        keys_values: KeysValues | None = None,
        bias: torch.Tensor | None = None,
        perturbation: Perturbation | None = None,
    ) -> torch.Tensor:
        """Attention of tokens `(B, N, dim)`, to the same shape.

        Args:
            rotation: positions of queries and keys, `(B or 1, N, dim / 2)` each.
            keys_values: of a context, from `prepare`; `None` for self-attention.
            bias: added to the scores, broadcast to `(B, heads, N, L)`.
            perturbation: what is skipped in some rows.
        """
        query = self.norm_q(self.to_q(tokens))
        key, value = self._keys_values(tokens) if keys_values is None else keys_values
        if rotation is not None:
            query = ops.apply_rotary(query, rotation)
            key = ops.apply_rotary(key, rotation)
        mixed = ops.attention(query, key, value, self.heads, bias)
        if perturbation is not None:
            mixed = perturbation.apply("attention_values", value, mixed)
            mixed = perturbation.apply("attention_skip", tokens, mixed)
        return self.to_out[0](mixed)

    def _keys_values(self, context: torch.Tensor) -> KeysValues:
        return self.norm_k(self.to_k(context)), self.to_v(context)


class LTXVideoTransformerBlock(nn.Module):
    """Self-attention, cross-attention to the text, and feed-forward; the timestep modulates the
    first and the last.
    """

    def __init__(self, dim: int, config: Config) -> None:
        super().__init__()
        eps = config.norm_eps
        affine = config.norm_elementwise_affine
        heads = config.num_attention_heads
        biases = (config.attention_bias, config.attention_out_bias)
        self.norm1 = RMSNorm(dim, eps, affine)
        self.attn1 = LTXAttention(dim, heads, dim, *biases)
        self.norm2 = RMSNorm(dim, eps, affine)
        self.attn2 = LTXAttention(dim, heads, config.cross_attention_dim, *biases)
        self.ff = FeedForward(dim, config.activation_fn)
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    @hookable
    def prepare(self, text: torch.Tensor) -> KeysValues:
        """The step-invariant part: keys and values of the text `(B, L, cross_attention_dim)`."""
        return self.attn2.prepare(text)

    def forward(
        self,
        tokens: torch.Tensor,
        modulation: torch.Tensor,
        rotation: Rotation,
        keys_values: KeysValues,
        bias: torch.Tensor | None,
        perturbation: Perturbation | None = None,
    ) -> torch.Tensor:
        """Tokens `(B, N, C)` to the same shape.

        Args:
            modulation: of the timestep, `(B, 1 or N, 6, C)`.
            rotation: positions of the tokens.
            keys_values: of the text, from `prepare`.
            bias: added to the scores of the text, `(B, 1, 1 or N, L)`.
            perturbation: what is skipped in some rows.
        """
        block_input = tokens
        table = self.scale_shift_table + modulation
        shift_attn, scale_attn, gate_attn, shift_ff, scale_ff, gate_ff = table.unbind(dim=2)
        hidden = self.norm1(tokens, shift_attn, scale_attn)
        hidden = self.attn1(hidden, rotation, perturbation=perturbation)
        tokens = ops.gated_residual(tokens, hidden, gate_attn)
        tokens = tokens + self.attn2(tokens, keys_values=keys_values, bias=bias)
        hidden = self.ff(self.norm2(tokens, shift_ff, scale_ff))
        tokens = ops.gated_residual(tokens, hidden, gate_ff)
        if perturbation is None:
            return tokens
        return perturbation.apply("transformer_block", block_input, tokens)


class TimestepModulation(nn.Module):
    """adaLN-single: one projection of the timestep for all blocks (PixArt-alpha, arXiv 2310.00426,
    section 2.3).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.emb = TimestepEmbedder(dim)
        self.silu = nn.SiLU()
        self.linear = nn.Linear(dim, 6 * dim)

    def forward(
        self, timestep: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Timesteps `(M,)` to modulations `(M, 6 * dim)` and the embedding `(M, dim)`."""
        embedded = self.emb(timestep, dtype)
        return self.linear(self.silu(embedded)), embedded
