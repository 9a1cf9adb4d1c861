"""The LTX-Video transformer (HaCohen et al., arXiv 2501.00103; Lightricks/LTX-Video)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.ltx.models.rotary import BASE_SIZE, RotaryEmbedding, Scale
from filmstrip.ltx.models.transformer_blocks import (
    KeysValues,
    LTXVideoTransformerBlock,
    Perturbation,
    TimestepModulation,
)
from filmstrip.nn.embeddings import TextProjection
from filmstrip.nn.hooks import hookable
from filmstrip.nn.norms import ModulatedLayerNorm
from filmstrip.nn.ops import Rotation
from filmstrip.outputs import Transformer2DModelOutput
from filmstrip.weights.model import Model

# Added to the scores of a masked text token, as the authors do.
MASK_BIAS = -10000.0


@dataclass(frozen=True)
class LTXPrepared:
    """The step-invariant inputs of the blocks, from `LTXVideoTransformer3DModel.prepare`."""

    rotation: Rotation  # cosines and sines, each (B or 1, N, C / 2), float32
    keys_values: tuple[KeysValues, ...]  # of the text, for each block
    # Added to the scores of the text, (B, 1, 1 or N, L); None if no text token is masked.
    bias: torch.Tensor | None


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
        self.norm_out = ModulatedLayerNorm(dim, eps=1e-6)
        self.proj_out = nn.Linear(dim, out_channels)

    @hookable
    def prepare(
        self,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        rope_interpolation_scale: Scale | None = None,
        video_coords: torch.Tensor | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> LTXPrepared:
        """Compute what is the same in every step: positions, and keys and values of the text.

        Text tokens that no row attends to are dropped. This changes no number, as their weight is
        exactly 0.

        Args:
            encoder_hidden_states: the text encoder's output, `(B, L, caption_channels)`.
            encoder_attention_mask: `(B, L)`, 1 for a text token that is used and 0 for padding; or
                a bias on the scores, `(B, 1 or N, L)`.
            num_frames, height, width: size of the latent video, in tokens.
            rope_interpolation_scale: seconds per latent frame, and pixels per latent row and
                column.
            video_coords: positions of each token instead of the grid's, `(B, 3, N)`: seconds, pixel
                row, pixel column.
            attention_kwargs: settings of adapters, as in `forward`.

        Raises:
            InputError: neither the size nor `video_coords` was given.
        """
        return self._prepare(
            encoder_hidden_states,
            encoder_attention_mask,
            num_frames,
            height,
            width,
            rope_interpolation_scale,
            video_coords,
        )

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
            timestep: in [0, 1000], `(B,)`, or `(B, N)` for one per token.
            attention_kwargs: settings of adapters, such as LoRA's `scale`, as in diffusers; a model
                without adapters ignores them.
            return_dict: return the output class rather than a tuple of one.
            prepared: from `prepare`; then the arguments that are in `prepare` too are ignored.
            perturbation: what is skipped in some rows.

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
            prepared = self._prepare(
                encoder_hidden_states,
                encoder_attention_mask,
                num_frames,
                height,
                width,
                rope_interpolation_scale,
                video_coords,
            )
        tokens, modulation, embedded = self.embed(hidden_states, timestep)
        for index, (block, keys_values) in enumerate(
            zip(self._blocks(), prepared.keys_values, strict=True)
        ):
            is_perturbed = perturbation is not None and index in perturbation.blocks
            tokens = block(
                tokens,
                modulation,
                prepared.rotation,
                keys_values,
                prepared.bias,
                perturbation if is_perturbed else None,
            )
        sample = self.head(tokens, embedded)
        return Transformer2DModelOutput(sample) if return_dict else (sample,)

    def embed(
        self, hidden_states: torch.Tensor, timestep: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the layers before the blocks.

        Args:
            hidden_states: noisy tokens, `(B, N, in_channels)`.
            timestep: `(B,)` or `(B, N)`.

        Returns:
            The tokens `(B, N, C)`; the timestep's modulation of the blocks, `(B, 1 or N, 6, C)`;
            and its embedding, `(B, 1 or N, C)`, for `head`.
        """
        batch = hidden_states.shape[0]
        tokens = self.proj_in(hidden_states)
        modulation, embedded = self.time_embed(timestep.flatten(), tokens.dtype)
        dim = tokens.shape[-1]
        return tokens, modulation.view(batch, -1, 6, dim), embedded.view(batch, -1, dim)

    def head(self, tokens: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """Run the layers after the blocks.

        Args:
            tokens: `(B, N, C)`.
            embedded: the timestep's embedding, from `embed`.

        Returns:
            The prediction, `(B, N, out_channels)`.
        """
        table = self.scale_shift_table + embedded[:, :, None]
        shift, scale = table.unbind(dim=2)
        return self.proj_out(self.norm_out(tokens, shift, scale))

    def _prepare(
        self,
        text: torch.Tensor,
        mask: torch.Tensor | None,
        num_frames: int | None,
        height: int | None,
        width: int | None,
        scale: Scale | None,
        video_coords: torch.Tensor | None,
    ) -> LTXPrepared:
        """`prepare` without this module's hooks, for use inside `forward`."""
        if video_coords is not None:
            base = torch.tensor(BASE_SIZE, dtype=torch.float32, device=video_coords.device)
            coordinates = video_coords.transpose(1, 2) / base
        elif num_frames is None or height is None or width is None:
            raise InputError(
                "Positions are unknown: give num_frames, height and width, or video_coords."
            )
        else:
            coordinates = self.rope.grid(num_frames, height, width, scale, text.device)

        text, bias = _drop_padding(text, mask)
        text = self.caption_projection(text)
        keys_values = tuple(block.prepare(text) for block in self._blocks())
        return LTXPrepared(self.rope(coordinates), keys_values, bias)

    def _blocks(self) -> Iterable[LTXVideoTransformerBlock]:
        return cast(Iterable[LTXVideoTransformerBlock], self.transformer_blocks)


def _drop_padding(
    text: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Drop the text tokens that no row attends to.

    Nothing is dropped where that would change a number: if the mask has other values than 0 and 1
    or is a bias, or if a row has no token. Nothing is dropped in compiled code either, where sizes
    cannot depend on data.

    Returns:
        The remaining text tokens, and the bias `(B, 1, 1 or N, L)` on their scores if some rows do
        not attend to all of them, else `None`.
    """
    if mask is None:
        return text, None
    if mask.ndim != 2:
        return text, mask.unsqueeze(1)
    if not torch.compiler.is_compiling():
        host_mask = mask.to("cpu", torch.float32)
        is_binary = bool(((host_mask == 0) | (host_mask == 1)).all())
        if is_binary and bool(host_mask.any(dim=1).all()):
            kept = host_mask.any(dim=0).nonzero().squeeze(1)
            text = text.index_select(1, kept.to(text.device))
            if bool(host_mask[:, kept].all()):
                return text, None
            mask = mask.index_select(1, kept.to(mask.device))
    bias = (1 - mask.to(text.dtype)) * MASK_BIAS
    return text, bias[:, None, None, :]
