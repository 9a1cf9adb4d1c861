"""Transformers with alternating spatial and temporal blocks (Blattmann et al., arXiv 2311.15127,
appendix D).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn.attention import Attention
from filmstrip.nn.embeddings import TimestepEmbedding, sinusoidal_embedding
from filmstrip.nn.feed_forward import FeedForward
from filmstrip.nn.hooks import hookable
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.resnet import AlphaBlender


@dataclass(frozen=True)
class TransformerContext:
    """The step-invariant inputs of a `TransformerSpatioTemporalModel`, from its `prepare`."""

    positions: torch.Tensor  # embedding of the frames' positions, (T, 1, C)
    spatial: tuple[tuple[torch.Tensor, ...], ...]  # for each spatial block, from its `prepare`
    temporal: tuple[tuple[torch.Tensor, ...], ...]  # for each temporal block


class BasicTransformerBlock(nn.Module):
    """Self-attention among the tokens of a frame, cross-attention to the context, and feed-forward,
    each after a norm.
    """

    is_temporal = False

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = Attention(dim, heads, context_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim, "geglu")

    @hookable
    def prepare(self, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The part of cross-attention that depends only on the context `(B, L, context_dim)`."""
        return self.attn2.prepare(context)

    def forward(
        self, tokens: torch.Tensor, num_frames: int, context: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """`(B * T, N, C)` to the same.

        Args:
            num_frames: T.
            context: from `prepare`.
        """
        frames_attended = num_frames if self.is_temporal else None
        tokens = tokens + self.attn1(self.norm1(tokens), num_frames=frames_attended)
        # All frames of a video attend to one context.
        videos = tokens.view(context[0].shape[0], -1, tokens.shape[2])
        if len(context) == 1:  # a context of one token: the output for every query
            videos = videos + context[0]
        else:
            videos = videos + self.attn2(self.norm2(videos), keys_values=context)
        tokens = videos.view(tokens.shape)
        return tokens + self.ff(self.norm3(tokens))


class TemporalBasicTransformerBlock(BasicTransformerBlock):
    """`BasicTransformerBlock` with self-attention among the tokens at one position in all frames,
    and one more feed-forward before it.
    """

    is_temporal = True

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__(dim, heads, context_dim)
        self.norm_in = nn.LayerNorm(dim)
        self.ff_in = FeedForward(dim, "geglu")

    def forward(
        self, tokens: torch.Tensor, num_frames: int, context: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """`(B * T, N, C)` to the same; see `BasicTransformerBlock.forward`."""
        return super().forward(tokens + self.ff_in(self.norm_in(tokens)), num_frames, context)


class TransformerSpatioTemporalModel(nn.Module):
    """Pairs of a spatial and a temporal block, whose outputs are blended, with a shortcut around
    all.

    Raises:
        InputError: `heads` does not divide `channels`.
    """

    def __init__(self, channels: int, heads: int, num_layers: int, context_dim: int) -> None:
        super().__init__()
        if channels % heads:
            raise InputError(
                f"num_attention_heads is {heads} where there are {channels} channels; it must "
                "divide them."
            )
        self.channels = channels
        self.norm = GroupNorm(channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(channels, heads, context_dim) for _ in range(num_layers)
        )
        self.temporal_transformer_blocks = nn.ModuleList(
            TemporalBasicTransformerBlock(channels, heads, context_dim) for _ in range(num_layers)
        )
        self.time_pos_embed = TimestepEmbedding(channels, 4 * channels, out_dim=channels)
        self.time_mixer = AlphaBlender(alpha=0.5)
        self.proj_out = nn.Linear(channels, channels)

    @hookable
    def prepare(self, context: torch.Tensor, num_frames: int) -> TransformerContext:
        """Embed the positions of the frames, and prepare each block for the context `(B, L,
        context_dim)`.
        """
        positions = sinusoidal_embedding(
            torch.arange(num_frames, device=context.device), self.channels
        )
        return TransformerContext(
            positions=self.time_pos_embed(positions.to(context.dtype))[:, None],
            spatial=tuple(block.prepare(context) for block in _blocks(self.transformer_blocks)),
            temporal=tuple(
                block.prepare(context) for block in _blocks(self.temporal_transformer_blocks)
            ),
        )

    def forward(
        self,
        frames: torch.Tensor,
        context: TransformerContext,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B * T, C, H, W)` to the same.

        Args:
            context: from `prepare`.
            image_only_indicator: `(B, T)`, 1 where a frame is a single image.
        """
        num_frames = context.positions.shape[0]
        temporal_weight = self.time_mixer(image_only_indicator, frames.dtype)[..., None, None]
        tokens = self.proj_in(self.norm(frames).movedim(1, -1).flatten(1, 2))
        for spatial_block, temporal_block, spatial_context, temporal_context in zip(
            self.transformer_blocks,
            self.temporal_transformer_blocks,
            context.spatial,
            context.temporal,
            strict=True,
        ):
            tokens = spatial_block(tokens, num_frames, spatial_context)
            spatial = tokens.unflatten(0, (-1, num_frames))
            tokens = (spatial + context.positions).flatten(0, 1)
            tokens = temporal_block(tokens, num_frames, temporal_context)
            temporal = tokens.view(spatial.shape)
            tokens = torch.lerp(spatial, temporal, temporal_weight).flatten(0, 1)
        return frames + self.proj_out(tokens).unflatten(1, frames.shape[2:]).movedim(-1, 1)


def _blocks(blocks: nn.ModuleList) -> Iterable[BasicTransformerBlock]:
    return cast(Iterable[BasicTransformerBlock], blocks)
