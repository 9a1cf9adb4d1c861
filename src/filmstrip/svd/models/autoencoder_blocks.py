"""Encoder and temporal decoder of SVD's autoencoder (Blattmann et al., arXiv 2311.15127, appendix
D).

Both run as lists of stages (`filmstrip.svd.models.tile_stages`), so that they can run on tiles.
Attention is over whole frames, at the resolution of the latents.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from filmstrip.nn import ops
from filmstrip.nn.memory_layout import as_frames, as_video
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.resnet import Downsample2D, ResnetBlock2D, SpatioTemporalResBlock, Upsample2D
from filmstrip.svd.models.tile_stages import (
    StagesRunner,
    TileStage,
    run_stages,
    stage_of,
    within,
)

GROUPS = 32  # of every group norm
EPS = 1e-6  # of the norms of frames
TEMPORAL_EPS = 1e-5  # of the norms of videos


class FrameAttention(nn.Module):
    """Self-attention among all positions of a frame, with one head and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.group_norm = GroupNorm(channels, EPS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same."""
        rows = self.group_norm(frames).movedim(1, -1)
        tokens = rows.flatten(1, 2)
        query = self.to_q(tokens)
        key = self.to_k(tokens)
        value = self.to_v(tokens)
        mixed = self.to_out[0](ops.attention(query, key, value, heads=1))
        return frames + mixed.view(rows.shape).movedim(-1, 1)


class DownBlock(nn.Module):
    """Residual blocks, then a downsampling by 2, rounded down, except in the last block."""

    def __init__(
        self, in_channels: int, out_channels: int, num_layers: int, downsample: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_layers
        self.resnets = nn.ModuleList(
            ResnetBlock2D(width, next_width, eps=EPS) for width, next_width in pairwise(widths)
        )
        self.downsamplers = nn.ModuleList(
            [Downsample2D(out_channels, padding=0)] if downsample else []
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C', H / 2, W / 2)`."""
        return run_stages(self.stages(2), frames)

    def stages(self, scale: int) -> list[TileStage]:
        """The stages of `forward`; `scale` is the input's elements for each latent."""
        stages = [stage_of(resnet, scale, scale) for resnet in self.resnets]
        stages += [stage_of(module, scale, scale // 2) for module in self.downsamplers]
        return stages


class MidBlock(nn.Module):
    """Attention between two residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, eps=EPS) for _ in range(2))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same."""
        return self.resnets[1](self.attentions[0](self.resnets[0](frames)))


class Encoder(nn.Module):
    """Frames to the parameters of the posterior."""

    def __init__(
        self,
        in_channels: int,
        latent_channels: int,
        block_out_channels: Sequence[int],
        layers_per_block: int,
    ) -> None:
        super().__init__()
        widths = [block_out_channels[0], *block_out_channels]
        last = len(block_out_channels) - 1
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownBlock(width, next_width, layers_per_block, downsample=i < last)
            for i, (width, next_width) in enumerate(pairwise(widths))
        )
        self.mid_block = MidBlock(widths[-1])
        self.conv_norm_out = GroupNorm(widths[-1], EPS, activate=True)
        self.conv_out = nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, frames: torch.Tensor, run: StagesRunner = run_stages) -> torch.Tensor:
        """`(N, 3, H, W)` to mean and log variance, `(N, 2 * C, h, w)`.

        Args:
            run: how to run the stages: `run_stages`, or a `TiledRun`.
        """
        return run(self.stages(), frames)

    def stages(self) -> list[TileStage]:
        """The stages of `forward`, in order."""
        scale = 2 ** (len(self.down_blocks) - 1)
        stages = [stage_of(self.conv_in, scale, scale)]
        for block in cast(Iterable[DownBlock], self.down_blocks):
            block_stages = block.stages(scale)
            stages += within(block, block_stages)
            scale = block_stages[-1].out_scale
        stages.append(stage_of(self.mid_block, scale, scale))
        stages.append(stage_of(self.conv_norm_out, scale, scale))
        stages.append(stage_of(self.conv_out, scale, scale))
        return stages


class UpBlock(nn.Module):
    """Residual blocks over space and time, then an upsampling by 2, except in the last block."""

    def __init__(
        self, in_channels: int, out_channels: int, num_layers: int, upsample: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_layers
        self.resnets = nn.ModuleList(
            _spatio_temporal(width, next_width) for width, next_width in pairwise(widths)
        )
        self.upsamplers = nn.ModuleList([Upsample2D(out_channels)] if upsample else [])

    def forward(self, frames: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * T, C, H, W)` to `(B * T, C', 2 * H, 2 * W)`; `num_frames` is T."""
        return run_stages(self.stages(1, num_frames), frames)

    def stages(self, scale: int, num_frames: int) -> list[TileStage]:
        """The stages of `forward`; `scale` is the input's elements for each latent."""
        stages = []
        for resnet in cast(Iterable[SpatioTemporalResBlock], self.resnets):
            spatial = stage_of(resnet.spatial_res_block, scale, scale)
            temporal = TileStage(
                partial(resnet.forward_temporal, num_frames=num_frames),
                (resnet.temporal_res_block,),
                scale,
                scale,
            )
            stages += within(resnet, [spatial, temporal])
        stages += [stage_of(module, scale, 2 * scale) for module in self.upsamplers]
        return stages


class TemporalMidBlock(nn.Module):
    """Residual blocks over space and time, with attention between the first two.

    As in diffusers, at most two residual blocks run.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = nn.ModuleList(
            _spatio_temporal(channels, channels) for _ in range(num_layers)
        )

    def forward(self, frames: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * T, C, H, W)` to the same; `num_frames` is T."""
        frames = self.resnets[0](frames, num_frames)
        for attention, resnet in zip(self.attentions, self.resnets[1:], strict=False):
            frames = resnet(attention(frames), num_frames)
        return frames


class TemporalDecoder(nn.Module):
    """Latents to frames, with layers over time."""

    def __init__(
        self,
        latent_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int],
        layers_per_block: int,
    ) -> None:
        super().__init__()
        # Configs list the widths from pixels to latents.
        widths = [block_out_channels[-1], *block_out_channels[::-1]]
        last = len(block_out_channels) - 1
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.mid_block = TemporalMidBlock(widths[0], layers_per_block)
        self.up_blocks = nn.ModuleList(
            UpBlock(width, next_width, layers_per_block + 1, upsample=i < last)
            for i, (width, next_width) in enumerate(pairwise(widths))
        )
        self.conv_norm_out = GroupNorm(widths[-1], EPS, activate=True)
        self.conv_out = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
        self.time_conv_out = nn.Conv3d(out_channels, out_channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(
        self, latents: torch.Tensor, num_frames: int, run: StagesRunner = run_stages
    ) -> torch.Tensor:
        """`(B * T, C, h, w)` to `(B * T, 3, H, W)`; `num_frames` is T.

        Args:
            run: how to run the stages: `run_stages`, or a `TiledRun`.
        """
        return run(self.stages(num_frames), latents)

    def stages(self, num_frames: int) -> list[TileStage]:
        """The stages of `forward`, in order."""
        scale = 1
        stages = [
            stage_of(self.conv_in, scale, scale),
            TileStage(
                partial(self.mid_block, num_frames=num_frames), (self.mid_block,), scale, scale
            ),
        ]
        for block in cast(Iterable[UpBlock], self.up_blocks):
            block_stages = block.stages(scale, num_frames)
            stages += within(block, block_stages)
            scale = block_stages[-1].out_scale
        output = TileStage(
            partial(self._output, num_frames=num_frames), (self.conv_norm_out,), scale, scale
        )
        return [*stages, output]

    def _output(self, frames: torch.Tensor, num_frames: int) -> torch.Tensor:
        frames = self.conv_out(self.conv_norm_out(frames))
        return as_frames(self.time_conv_out(as_video(frames, num_frames)))


def _spatio_temporal(in_channels: int, out_channels: int) -> SpatioTemporalResBlock:
    return SpatioTemporalResBlock(
        in_channels,
        out_channels,
        eps=EPS,
        temporal_eps=TEMPORAL_EPS,
        merge_factor=0.0,
        switch_spatial_to_temporal_mix=True,
    )
