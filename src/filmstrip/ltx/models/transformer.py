"""The LTX-Video transformer (HaCohen et al., arXiv 2501.00103; Lightricks/LTX-Video)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from filmstrip.config import Config
from filmstrip.errors import InputError
from filmstrip.nn.attention import attention
from filmstrip.nn.embeddings import TextProjection, TimestepEmbedder
from filmstrip.nn.feed_forward import FeedForward
from filmstrip.nn.norms import RMSNorm, modulate
from filmstrip.outputs import Transformer2DModelOutput
from filmstrip.weights.model import Model

Rotation = tuple[torch.Tensor, torch.Tensor]
Scale = (
    tuple[float, float, float] | torch.Tensor
)  # seconds per latent frame, and pixels per latent row and column

# Added to the score of a masked text token, as the authors do.
MASKED = -10000.0
# What coordinates are divided by, so that a video of this many frames, rows and columns spans [0,
# 1] (Lightricks/LTX-Video, `positional_embedding_max_pos`; frames are in seconds there).
BASE_SIZE = (20, 2048, 2048)
THETA = 10000.0


@dataclass(frozen=True)
class LTXPrepared:
    """What does not change from step to step, from `LTXVideoTransformer3DModel.prepare`."""

    rotation: Rotation  # cosines and sines, each (B or 1, N, C / 2), float32
    keys_values: tuple[
        tuple[torch.Tensor, torch.Tensor], ...
    ]  # for each block, of the text: 2 x (B, L, C)
    bias: (
        torch.Tensor | None
    )  # added to the scores of the text, (B, 1, 1 or N, L); None where every token counts


PERTURBATIONS = ("attention_values", "attention_skip", "transformer_block", "residual")


@dataclass(frozen=True)
class Perturbation:
    """What spatio-temporal guidance leaves out of some rows (Hyung et al., arXiv 2411.18664;
    Lightricks/LTX-Video).
    """

    # the mixing of values, all of the self-attention, or all of the block; "residual" does nothing
    # here
    mode: str
    blocks: tuple[int, ...]  # in which it is left out
    rows: torch.Tensor  # (B,), true where it is left out

    def __post_init__(self) -> None:
        if self.mode not in PERTURBATIONS:
            raise InputError(
                f"The perturbation is {self.mode!r}; it is one of {', '.join(PERTURBATIONS)}."
            )

    def apply(self, mode: str, perturbed: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """`tokens` `(B, N, C)`, but in the perturbed rows `perturbed`, if this is the mode."""
        return (
            torch.where(self.rows[:, None, None], perturbed, tokens)
            if mode == self.mode
            else tokens
        )


class RotaryEmbedding(nn.Module):
    """Rotary positions (RoFormer, arXiv 2104.09864, section 3.2) of tokens in time, height and
    width.

    A third of the channel pairs turns with each of them.

    Args:
        dim: width of the transformer. Pairs that do not divide by three are left unturned, first.
        patch_size, patch_size_t: pixels of latent per token, in space and time.
    """

    def __init__(self, dim: int, patch_size: int, patch_size_t: int) -> None:
        super().__init__()
        self.dim = dim
        self.patch_sizes = (patch_size_t, patch_size, patch_size)

    def forward(self, coordinates: torch.Tensor) -> Rotation:
        """Cosines and sines, each `(B, N, dim / 2)` in float32, one for each pair of channels.

        `coordinates` are time, row and column in units of `BASE_SIZE`, `(B, N, 3)` in float32.
        """
        per_axis = self.dim // 6
        steps = torch.linspace(0.0, 1.0, per_axis, dtype=torch.float32, device=coordinates.device)
        frequencies = THETA**steps * (math.pi / 2)
        angles = (coordinates.unsqueeze(-1) * 2 - 1) * frequencies
        angles = angles.transpose(-1, -2).flatten(2)
        still = angles.new_zeros(*angles.shape[:2], self.dim // 2 - 3 * per_axis)
        angles = torch.cat([still, angles], dim=-1)
        return angles.cos(), angles.sin()

    def grid(
        self, num_frames: int, height: int, width: int, scale: Scale | None, device: torch.device
    ) -> torch.Tensor:
        """Coordinates `(1, T * H * W, 3)` of a latent video, in units of `BASE_SIZE`; in tokens
        without `scale`.
        """
        axes = [
            torch.arange(n, dtype=torch.float32, device=device) for n in (num_frames, height, width)
        ]
        if scale is not None:
            axes = [
                axis * factor * patch / base
                for axis, factor, patch, base in zip(
                    axes, scale, self.patch_sizes, BASE_SIZE, strict=True
                )
            ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)


def rotate(tokens: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Turn each pair of neighbouring channels of `(B, N, C)` by its angle, in float32."""
    cos, sin = rotation
    real, imaginary = tokens.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=-1)
    return turned.flatten(-2).to(tokens.dtype)


class LTXAttention(nn.Module):
    """Attention with a norm over all heads of queries and keys, and rotary positions among the
    tokens themselves.
    """

    def __init__(self, dim: int, heads: int, context_dim: int, bias: bool, out_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q = nn.RMSNorm(dim, eps=1e-5)
        self.norm_k = nn.RMSNorm(dim, eps=1e-5)
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_k = nn.Linear(context_dim, dim, bias=bias)
        self.to_v = nn.Linear(context_dim, dim, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim, bias=out_bias)])

    def keys_values(self, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of `(B, L, context_dim)`, each `(B, L, C)`."""
        return self.norm_k(self.to_k(context)), self.to_v(context)

    def forward(
        self,
        tokens: torch.Tensor,
        rotation: Rotation | None = None,
        keys_values: tuple[torch.Tensor, torch.Tensor] | None = None,
        bias: torch.Tensor | None = None,
        perturbation: Perturbation | None = None,
    ) -> torch.Tensor:
        """`(B, N, dim)` to `(B, N, dim)`: to the given keys and values, or else to the tokens
        themselves.
        """
        query = self.norm_q(self.to_q(tokens))
        key, value = self.keys_values(tokens) if keys_values is None else keys_values
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        mixed = attention(query, key, value, self.heads, bias)
        if perturbation is not None:
            mixed = perturbation.apply("attention_values", value, mixed)
            mixed = perturbation.apply("attention_skip", tokens, mixed)
        return self.to_out[0](mixed)


class LTXVideoTransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward; the first and last are modulated by the
    timestep.
    """

    def __init__(self, dim: int, config: Config) -> None:
        super().__init__()
        norm = (dim, config.norm_eps, config.norm_elementwise_affine)
        heads, biases = (
            config.num_attention_heads,
            (config.attention_bias, config.attention_out_bias),
        )
        self.norm1 = RMSNorm(*norm)
        self.attn1 = LTXAttention(dim, heads, dim, *biases)
        self.norm2 = RMSNorm(*norm)
        self.attn2 = LTXAttention(dim, heads, config.cross_attention_dim, *biases)
        self.ff = FeedForward(dim, config.activation_fn)
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    def forward(
        self,
        tokens: torch.Tensor,
        modulation: torch.Tensor,
        rotation: Rotation,
        keys_values: tuple[torch.Tensor, torch.Tensor],
        bias: torch.Tensor | None,
        perturbation: Perturbation | None = None,
    ) -> torch.Tensor:
        """From tokens `(B, N, C)` to the same; `modulation` is of the timestep, `(B, 1 or N, 6,
        C)`.
        """
        before = tokens
        table = self.scale_shift_table + modulation
        shift_attn, scale_attn, gate_attn, shift_ff, scale_ff, gate_ff = table.unbind(dim=2)
        mixed = self.attn1(
            modulate(self.norm1(tokens), shift_attn, scale_attn),
            rotation,
            perturbation=perturbation,
        )
        tokens = torch.addcmul(tokens, mixed, gate_attn)
        tokens = tokens + self.attn2(tokens, keys_values=keys_values, bias=bias)
        mixed = self.ff(modulate(self.norm2(tokens), shift_ff, scale_ff))
        tokens = torch.addcmul(tokens, mixed, gate_ff)
        return (
            tokens
            if perturbation is None
            else perturbation.apply("transformer_block", before, tokens)
        )


class TimestepModulation(nn.Module):
    """adaLN-single (PixArt-alpha, arXiv 2310.00426, section 2.3): one projection of the timestep
    for all blocks.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.emb = TimestepEmbedder(dim)
        self.silu = nn.SiLU()
        self.linear = nn.Linear(dim, 6 * dim)

    def forward(
        self, timestep: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """From `(M,)` to modulations `(M, 6 * dim)` and the embedding `(M, dim)`."""
        embedded = self.emb(timestep, dtype)
        return self.linear(self.silu(embedded)), embedded


class LTXVideoTransformer3DModel(Model):
    """Predicts the velocity of latent video tokens from their noisy values, a timestep and a text.

    Args:
        in_channels: channels of a token.
        out_channels: channels of a prediction; `None` for `in_channels`.
        patch_size, patch_size_t: latent pixels and frames per token; they only scale the positions.
        num_attention_heads, attention_head_dim: their product is the width.
        cross_attention_dim: width of the text after projection; equal to the width.
        num_layers: blocks.
        activation_fn: a name of `filmstrip.nn.feed_forward.ACTIVATIONS`.
        qk_norm: only "rms_norm_across_heads".
        norm_elementwise_affine, norm_eps: of the two norms of each block.
        caption_channels: width of the text encoder.
        attention_bias, attention_out_bias: biases of the projections into and out of attention.

    Raises:
        InputError: an unknown `activation_fn` or `qk_norm`.
    """

    _repeated_blocks = ("LTXVideoTransformerBlock",)

    def __init__(
        self,
        in_channels: int = 128,
        out_channels: int | None = 128,
        patch_size: int = 1,
        patch_size_t: int = 1,
        num_attention_heads: int = 32,
        attention_head_dim: int = 64,
        cross_attention_dim: int = 2048,
        num_layers: int = 28,
        activation_fn: str = "gelu-approximate",
        qk_norm: str = "rms_norm_across_heads",
        norm_elementwise_affine: bool = False,
        norm_eps: float = 1e-6,
        caption_channels: int = 4096,
        attention_bias: bool = True,
        attention_out_bias: bool = True,
    ) -> None:
        super().__init__()
        if qk_norm != "rms_norm_across_heads":
            raise InputError(f"qk_norm is {qk_norm!r}; LTX-Video has only 'rms_norm_across_heads'.")
        dim = num_attention_heads * attention_head_dim
        out_channels = out_channels or in_channels

        self.proj_in = nn.Linear(in_channels, dim)
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)
        self.time_embed = TimestepModulation(dim)
        self.caption_projection = TextProjection(caption_channels, dim)
        self.rope = RotaryEmbedding(dim, patch_size, patch_size_t)
        self.transformer_blocks = nn.ModuleList(
            LTXVideoTransformerBlock(dim, self.config) for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, out_channels)

    def prepare(
        self,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        rope_interpolation_scale: Scale | None = None,
        video_coords: torch.Tensor | None = None,
    ) -> LTXPrepared:
        """Do the work that is the same in every step: positions, and keys and values of the text.

        Text tokens that no row attends to are dropped, which changes no number: their weight is
        exactly 0.

        Args:
            encoder_hidden_states: the text encoder's output, `(B, L, caption_channels)`.
            encoder_attention_mask: `(B, L)`, 1 where a text token counts; or a bias on the scores,
                `(B, 1 or N, L)`.
            num_frames, height, width: size of the latent video, in tokens.
            rope_interpolation_scale: seconds per latent frame, and pixels per latent row and
                column.
            video_coords: positions of each token instead of the grid's, `(B, 3, N)`: seconds, pixel
                row, pixel column.

        Raises:
            InputError: neither the size nor `video_coords` was given.
        """
        if video_coords is not None:
            base = torch.tensor(BASE_SIZE, dtype=torch.float32, device=video_coords.device)
            coordinates = video_coords.transpose(1, 2) / base
        elif num_frames is None or height is None or width is None:
            raise InputError(
                "Positions are unknown: give num_frames, height and width, or video_coords."
            )
        else:
            device = encoder_hidden_states.device
            coordinates = self.rope.grid(
                num_frames, height, width, rope_interpolation_scale, device
            )

        text, bias = _drop_padding(encoder_hidden_states, encoder_attention_mask)
        text = self.caption_projection(text)
        keys_values = tuple(block.attn2.keys_values(text) for block in self._blocks())
        return LTXPrepared(self.rope(coordinates), keys_values, bias)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        timestep: torch.Tensor | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        rope_interpolation_scale: Scale | None = None,
        video_coords: torch.Tensor | None = None,
        attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
        prepared: LTXPrepared | None = None,
        perturbation: Perturbation | None = None,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """Predict the velocity, `(B, N, out_channels)`.

        Args:
            hidden_states: noisy tokens, `(B, N, in_channels)`.
            timestep: in [0, 1000], `(B,)`, or `(B, N)` for one a token.
            attention_kwargs: accepted as in diffusers; without an adapter nothing here reads it.
            return_dict: return the output class rather than a tuple of one.
            prepared: from `prepare`; the other arguments are that call's, and are not read where it
                is given.
            perturbation: what is left out of some rows.

        Raises:
            InputError: no timestep, or neither `prepared` nor `encoder_hidden_states`.
        """
        if timestep is None:
            raise InputError("timestep is missing: give one for each row, or one for each token.")
        if prepared is None:
            if encoder_hidden_states is None:
                raise InputError(
                    "The text is missing: give encoder_hidden_states, or prepared from prepare()."
                )
            text, size = (
                (encoder_hidden_states, encoder_attention_mask),
                (num_frames, height, width),
            )
            prepared = self.prepare(*text, *size, rope_interpolation_scale, video_coords)
        batch = hidden_states.shape[0]
        tokens = self.proj_in(hidden_states)
        modulation, embedded = self.time_embed(timestep.flatten(), tokens.dtype)
        modulation = modulation.view(batch, -1, 6, tokens.shape[-1])
        for index, (block, keys_values) in enumerate(
            zip(self._blocks(), prepared.keys_values, strict=True)
        ):
            perturbed = perturbation if perturbation and index in perturbation.blocks else None
            tokens = block(
                tokens, modulation, prepared.rotation, keys_values, prepared.bias, perturbed
            )

        table = self.scale_shift_table + embedded.view(batch, -1, 1, tokens.shape[-1])
        shift, scale = table.unbind(dim=2)
        sample = self.proj_out(modulate(self.norm_out(tokens), shift, scale))
        return Transformer2DModelOutput(sample) if return_dict else (sample,)

    def _blocks(self) -> Iterable[LTXVideoTransformerBlock]:
        return cast(Iterable[LTXVideoTransformerBlock], self.transformer_blocks)


def _drop_padding(
    text: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The text tokens that some row attends to, and the bias that the others of a row still need,
    `(B, 1, 1 or N, L)`.

    Nothing is dropped where that would change a number: a mask of other values than 0 and 1, a
    bias, a row without any token. A compiled graph cannot have a size that depends on data: there
    the mask stays whole.
    """
    if mask is None:
        return text, None
    if mask.ndim != 2:
        return text, mask.unsqueeze(1)
    if not torch.compiler.is_compiling():
        host = mask.to("cpu", torch.float32)
        if bool(((host == 0) | (host == 1)).all()) and bool(host.any(dim=1).all()):
            kept = host.any(dim=0).nonzero().squeeze(1)
            if bool(host[:, kept].all()):
                return text.index_select(1, kept.to(text.device)), None
            text, mask = (whole.index_select(1, kept.to(whole.device)) for whole in (text, mask))
    bias = (1 - mask.to(text.dtype)) * MASKED
    return text, bias[:, None, None, :]
