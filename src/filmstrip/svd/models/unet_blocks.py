"""The blocks of SVD's UNet: residual blocks, with or without transformers, and a change of
resolution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from filmstrip.nn.hooks import hookable
from filmstrip.nn.memory_layout import join_channels
from filmstrip.nn.resnet import Downsample2D, SpatioTemporalResBlock, Upsample2D
from filmstrip.svd.models.transformer import TransformerContext, TransformerSpatioTemporalModel


@dataclass(frozen=True)
class TransformersConfig:
    """The transformers of one block."""

    depths: Sequence[int]  # pairs of layers in each transformer
    heads: int
    context_dim: int


@dataclass(frozen=True)
class StepInputs:
    """The inputs of all blocks in one step."""

    num_frames: int
    temb: torch.Tensor  # the embedding of timestep and time ids, after SiLU, (B, E)
    image_only_indicator: torch.Tensor | None  # (B, T)


class SpatioTemporalBlock(nn.Module):
    """Base class of the blocks.

    Args:
        in_channels: of each residual block.
        out_channels: of all residual blocks.
        temb_channels: width of the timestep's embedding.
        eps: of the norms of the residual blocks.
        transformers: one for each residual block except the second of the middle block; `None` for
            a block without transformers.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        temb_channels: int,
        eps: float,
        transformers: TransformersConfig | None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(channels, out_channels, temb_channels, eps)
            for channels in in_channels
        )
        self.attentions = None
        if transformers is not None:
            self.attentions = nn.ModuleList(
                TransformerSpatioTemporalModel(
                    out_channels, transformers.heads, depth, transformers.context_dim
                )
                for depth in transformers.depths
            )

    @hookable
    def prepare(self, context: torch.Tensor, num_frames: int) -> tuple[TransformerContext, ...]:
        """Prepare each transformer for the context `(B, L, context_dim)`."""
        transformers = cast(Iterable[TransformerSpatioTemporalModel], self.attentions or ())
        return tuple(transformer.prepare(context, num_frames) for transformer in transformers)

    def resnet(self, index: int, frames: torch.Tensor, step: StepInputs) -> torch.Tensor:
        """Run the residual block of this index on `(B * T, C, H, W)`."""
        return self.resnets[index](frames, step.num_frames, step.temb, step.image_only_indicator)

    def attend(
        self,
        index: int,
        frames: torch.Tensor,
        step: StepInputs,
        contexts: tuple[TransformerContext, ...],
    ) -> torch.Tensor:
        """Run the transformer of this index, if the block has any, on `(B * T, C, H, W)`."""
        if self.attentions is None:
            return frames
        return self.attentions[index](frames, contexts[index], step.image_only_indicator)


class DownBlockSpatioTemporal(SpatioTemporalBlock):
    """Layers, then a downsampling by 2, except in the last block."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temb_channels: int,
        num_layers: int,
        downsample: bool,
        transformers: TransformersConfig | None,
    ) -> None:
        eps = 1e-5 if transformers is None else 1e-6
        widths = [in_channels] + [out_channels] * (num_layers - 1)
        super().__init__(widths, out_channels, temb_channels, eps, transformers)
        self.downsamplers = nn.ModuleList([Downsample2D(out_channels)]) if downsample else None

    def forward(
        self, frames: torch.Tensor, step: StepInputs, contexts: tuple[TransformerContext, ...]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """`(B * T, C, H, W)` to `(B * T, C', H / 2, W / 2)`, and the outputs of all layers, which
        are the skip connections.
        """
        skips = []
        for index in range(len(self.resnets)):
            frames = self.resnet(index, frames, step)
            frames = self.attend(index, frames, step, contexts)
            skips.append(frames)
        for downsampler in self.downsamplers or ():
            frames = downsampler(frames)
            skips.append(frames)
        return frames, skips


class UNetMidBlockSpatioTemporal(SpatioTemporalBlock):
    """A transformer between two residual blocks."""

    def __init__(self, channels: int, temb_channels: int, transformers: TransformersConfig) -> None:
        super().__init__([channels] * 2, channels, temb_channels, 1e-5, transformers)

    def forward(
        self, frames: torch.Tensor, step: StepInputs, contexts: tuple[TransformerContext, ...]
    ) -> torch.Tensor:
        """`(B * T, C, H, W)` to the same."""
        frames = self.resnet(0, frames, step)
        frames = self.attend(0, frames, step, contexts)
        return self.resnet(1, frames, step)


class UpBlockSpatioTemporal(SpatioTemporalBlock):
    """Layers with skip connections, then an upsampling by 2, except in the last block.

    Args:
        in_channels: of the previous block.
        skip_channels: of the skip connection of each layer.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: Sequence[int],
        out_channels: int,
        temb_channels: int,
        upsample: bool,
        transformers: TransformersConfig | None,
    ) -> None:
        widths = [in_channels] + [out_channels] * (len(skip_channels) - 1)
        joined = [width + skip for width, skip in zip(widths, skip_channels, strict=True)]
        super().__init__(joined, out_channels, temb_channels, 1e-6, transformers)
        self.upsamplers = nn.ModuleList([Upsample2D(out_channels)]) if upsample else None

    def forward(
        self,
        frames: torch.Tensor,
        step: StepInputs,
        contexts: tuple[TransformerContext, ...],
        skips: list[torch.Tensor],
    ) -> torch.Tensor:
        """`(B * T, C, H, W)` to `(B * T, C', 2 * H, 2 * W)`, or to the size of the next skip
        connection.

        Args:
            skips: outputs of the down blocks; the block removes those that it uses from the end.
        """
        for index in range(len(self.resnets)):
            frames = self.resnet(index, join_channels(frames, skips.pop()), step)
            frames = self.attend(index, frames, step, contexts)
        for upsampler in self.upsamplers or ():
            frames = upsampler(frames, skips[-1].shape[2:])
        return frames
