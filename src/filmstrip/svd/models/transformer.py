"""Transformers over space and time in turn (Blattmann et al., arXiv 2311.15127, appendix D)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn.attention import Attention
from filmstrip.nn.embeddings import TimestepEmbedding, sinusoidal_embedding
from filmstrip.nn.feed_forward import FeedForward
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.resnet import AlphaBlender


@dataclass(frozen=True)
class TransformerContext:
    """What does not change from step to step in a `TransformerSpatioTemporalModel`."""

    positions: torch.Tensor  # of the frames, (T, 1, C)
    spatial: tuple[tuple[torch.Tensor, ...], ...]  # for each spatial block, from Attention.prepare
    temporal: tuple[tuple[torch.Tensor, ...], ...]  # for each temporal block


class BasicTransformerBlock(nn.Module):
    """Attention among the tokens of a frame, attention to the context, feed-forward, each after a
    norm.
    """

    over_time = False

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = Attention(dim, heads, context_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim, "geglu")

    def prepare(self, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `forward` needs of the context `(B, L, context_dim)`."""
        return self.attn2.prepare(context)

    def forward(
        self, tokens: torch.Tensor, num_frames: int, context: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """`(B * T, N, C)` to the same; `context` is from `prepare`."""
        tokens = tokens + self.attn1(
            self.norm1(tokens), num_frames=num_frames if self.over_time else None
        )
        videos = tokens.view(
            context[0].shape[0], -1, tokens.shape[2]
        )  # all frames of a video look at one context
        if len(context) == 1:  # a single token: no query matters
            videos = videos + context[0]
        else:
            videos = videos + self.attn2(self.norm2(videos), keys_values=context)
        tokens = videos.view(tokens.shape)
        return tokens + self.ff(self.norm3(tokens))


class TemporalBasicTransformerBlock(BasicTransformerBlock):
    """The same with attention among the tokens at one place in all frames, and another feed-forward
    before it.
    """

    over_time = True

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__(dim, heads, context_dim)
        self.norm_in = nn.LayerNorm(dim)
        self.ff_in = FeedForward(dim, "geglu")

    def forward(
        self, tokens: torch.Tensor, num_frames: int, context: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """`(B * T, N, C)` to the same; `context` is from `prepare`."""
        return super().forward(tokens + self.ff_in(self.norm_in(tokens)), num_frames, context)


class TransformerSpatioTemporalModel(nn.Module):
    """Pairs of a spatial and a temporal block, blended, over a shortcut."""

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

    def prepare(self, context: torch.Tensor, num_frames: int) -> TransformerContext:
        """Embed the positions of the frames, and do each block's work on the context `(B, L,
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
        """`(B * T, C, H, W)` to the same; `image_only_indicator`, `(B, T)`, is 1 where a frame is a
        picture alone.
        """
        num_frames = context.positions.shape[0]
        share = self.time_mixer(image_only_indicator, frames.dtype)[..., None, None]
        tokens = self.proj_in(self.norm(frames).movedim(1, -1).flatten(1, 2))
        pairs = zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True)
        contexts = zip(context.spatial, context.temporal, strict=True)
        for (spatial, temporal), (spatial_context, temporal_context) in zip(
            pairs, contexts, strict=True
        ):
            tokens = spatial(tokens, num_frames, spatial_context)
            videos = tokens.unflatten(0, (-1, num_frames))
            mixed = (videos + context.positions).flatten(0, 1)
            mixed = temporal(mixed, num_frames, temporal_context).view(videos.shape)
            tokens = torch.lerp(videos, mixed, share).flatten(0, 1)
        return frames + self.proj_out(tokens).unflatten(1, frames.shape[2:]).movedim(-1, 1)


def _blocks(blocks: nn.ModuleList) -> Iterable[BasicTransformerBlock]:
    return cast(Iterable[BasicTransformerBlock], blocks)
