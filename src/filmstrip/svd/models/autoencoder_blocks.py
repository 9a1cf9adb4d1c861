"""Encoder and temporal decoder of SVD's autoencoder (Blattmann et al., arXiv 2311.15127, appendix
D).

Both work in small steps. Those near the pixels take the memory, and can be run on tiles; attention
looks at the whole frame, at the size of the latents.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from filmstrip.nn.attention import Attention
from filmstrip.nn.layout import as_frames, as_video
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.resnet import Downsample2D, ResnetBlock2D, SpatioTemporalResBlock, Upsample2D

GROUPS = 32  # of every group norm
EPS, TEMPORAL_EPS = 1e-6, 1e-5


@dataclass(frozen=True)
class TileStage:
    """A part of the work, such that no more than frames go from one to the next."""

    run: Callable[[torch.Tensor], torch.Tensor]
    parts: tuple[nn.Module, ...]  # what it uses, in order
    source: int  # elements of its input along the side of a latent
    target: int  # and of its output

    @property
    def norms(self) -> list[GroupNorm]:
        """Its norms, in order."""
        return [
            module
            for part in self.parts
            for module in part.modules()
            if isinstance(module, GroupNorm)
        ]


class FrameAttention(Attention):
    """Attention among all places of a frame, with one head, over a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, heads=1, bias=True)
        self.group_norm = GroupNorm(channels, EPS)

    def attend(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same."""
        rows = self.group_norm(frames).movedim(1, -1)
        return frames + self(rows.flatten(1, 2)).view(rows.shape).movedim(-1, 1)


class DownBlock(nn.Module):
    """Residual blocks, and what halves the size after them, rounded down, unless they are the
    last.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_layers: int, downsample: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_layers
        self.resnets = nn.ModuleList(ResnetBlock2D(*pair, eps=EPS) for pair in pairwise(widths))
        self.downsamplers = nn.ModuleList(
            [Downsample2D(out_channels, padding=0)] if downsample else []
        )


class MidBlock(nn.Module):
    """Attention between two residual blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, eps=EPS) for _ in range(2))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to the same."""
        return self.resnets[1](
            cast(FrameAttention, self.attentions[0]).attend(self.resnets[0](frames))
        )


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
            DownBlock(*pair, layers_per_block, downsample=i < last)
            for i, pair in enumerate(pairwise(widths))
        )
        self.mid_block = MidBlock(widths[-1])
        self.conv_norm_out = GroupNorm(widths[-1], EPS, activate=True)
        self.conv_out = nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, 3, H, W)` to mean and log variance `(N, 2 C, h, w)`."""
        for step in self.steps():
            frames = step.run(frames)
        return frames

    def steps(self) -> list[TileStage]:
        """What `forward` does, in order."""
        size = 2 ** (len(self.down_blocks) - 1)
        steps = [_step(size, size, self.conv_in)]
        for block in cast(Iterable[DownBlock], self.down_blocks):
            steps += [_step(size, size, resnet) for resnet in block.resnets]
            if block.downsamplers:
                steps.append(_step(size, size // 2, block.downsamplers[0]))
                size //= 2
        return [*steps, _step(1, 1, self.mid_block, self.conv_norm_out, self.conv_out)]


class UpBlock(nn.Module):
    """Residual blocks over space and time, and what doubles the size after them, unless they are
    the last.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_layers: int, upsample: bool
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_layers
        self.resnets = nn.ModuleList(_over_space_and_time(*pair) for pair in pairwise(widths))
        self.upsamplers = nn.ModuleList([Upsample2D(out_channels)] if upsample else [])


class TemporalMidBlock(nn.Module):
    """Residual blocks over space and time, the first two around attention; diffusers runs no more
    than two.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = nn.ModuleList(
            _over_space_and_time(channels, channels) for _ in range(num_layers)
        )

    def forward(self, frames: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * T, C, H, W)` to the same; `num_frames` is T."""
        frames = self.resnets[0](frames, num_frames)
        for attention, block in zip(
            cast(Iterable[FrameAttention], self.attentions), self.resnets[1:], strict=False
        ):
            frames = block(attention.attend(frames), num_frames)
        return frames


class TemporalDecoder(nn.Module):
    """Latents to frames, with an eye on the frames before and after."""

    def __init__(
        self,
        latent_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int],
        layers_per_block: int,
    ) -> None:
        super().__init__()
        widths = [
            block_out_channels[-1],
            *block_out_channels[::-1],
        ]  # configs list the widths from pixels to latents
        last = len(block_out_channels) - 1
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.mid_block = TemporalMidBlock(widths[0], layers_per_block)
        self.up_blocks = nn.ModuleList(
            UpBlock(*pair, layers_per_block + 1, upsample=i < last)
            for i, pair in enumerate(pairwise(widths))
        )
        self.conv_norm_out = GroupNorm(widths[-1], EPS, activate=True)
        self.conv_out = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
        self.time_conv_out = nn.Conv3d(out_channels, out_channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, latents: torch.Tensor, num_frames: int) -> torch.Tensor:
        """`(B * T, C, h, w)` to `(B * T, 3, H, W)`, of videos of `num_frames` T each."""
        for step in self.steps(num_frames):
            latents = step.run(latents)
        return latents

    def steps(self, num_frames: int) -> list[TileStage]:
        """What `forward` does, in order."""
        size = 1
        enlarge: list[nn.Module] = []
        steps = [
            TileStage(
                lambda latents: self.mid_block(self.conv_in(latents), num_frames),
                (self.mid_block,),
                1,
                1,
            )
        ]
        for block in cast(Iterable[UpBlock], self.up_blocks):
            for resnet in cast(Iterable[SpatioTemporalResBlock], block.resnets):
                steps.append(
                    _step(size, size * 2 ** len(enlarge), *enlarge, resnet.spatial_res_block)
                )
                size, enlarge = steps[-1].target, []
                over_time = partial(resnet.over_time, num_frames=num_frames)
                steps.append(TileStage(over_time, (resnet.temporal_res_block,), size, size))
            enlarge = [*block.upsamplers]
        return [
            *steps,
            TileStage(
                partial(self._finish, num_frames=num_frames), (self.conv_norm_out,), size, size
            ),
        ]

    def _finish(self, frames: torch.Tensor, num_frames: int) -> torch.Tensor:
        frames = self.conv_out(self.conv_norm_out(frames))
        return as_frames(self.time_conv_out(as_video(frames, num_frames)))


def _step(source: int, target: int, *modules: nn.Module) -> TileStage:
    def run(frames: torch.Tensor) -> torch.Tensor:
        for module in modules:
            frames = module(frames)
        return frames

    return TileStage(run, modules, source, target)


def _over_space_and_time(in_channels: int, out_channels: int) -> SpatioTemporalResBlock:
    return SpatioTemporalResBlock(
        in_channels,
        out_channels,
        eps=EPS,
        temporal_eps=TEMPORAL_EPS,
        merge_factor=0.0,
        switch_spatial_to_temporal_mix=True,
    )
