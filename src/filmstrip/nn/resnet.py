"""Residual blocks over space and time, and changes of resolution (Blattmann et al., arXiv
2311.15127, appendix D).

Frames are `(B * T, C, H, W)` in channels-last memory, the frames of each video one after the other.
So frames and videos are views of each other (`filmstrip.nn.memory_layout`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.nn import ops
from filmstrip.nn.memory_layout import as_frames, as_video
from filmstrip.nn.norms import GroupNorm


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution, computed as a matrix product over channels-last rows."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C', H, W)`."""
        return F.linear(frames.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class TemporalConv3d(nn.Conv3d):
    """A (3, 1, 1) convolution in channels-last memory."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to the same."""
        if video.is_cuda:
            return super().forward(video)
        # On the CPU, PyTorch's 3D convolution may leave channels-last memory. A 2D convolution over
        # time, with all pixels as one row, stays in it and computes the same.
        rows = F.conv2d(video.flatten(3), self.weight.squeeze(-1), self.bias, padding=(1, 0))
        return rows.unflatten(3, video.shape[3:])


class ResnetBlock2D(nn.Module):
    """Norm, SiLU and convolution, twice, with a shortcut around them.

    Args:
        temb_channels: width of the timestep's embedding, which is added between the two; `None` for
            a block without it.
        eps: of the norms.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temb_channels: int | None = None,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(in_channels, eps, activate=True)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = (
            None if temb_channels is None else nn.Linear(temb_channels, out_channels)
        )
        self.norm2 = GroupNorm(out_channels, eps, activate=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = (
            None if in_channels == out_channels else PointwiseConv2d(in_channels, out_channels)
        )

    def forward(self, frames: torch.Tensor, temb: torch.Tensor | None = None) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C', H, W)`.

        Args:
            temb: embedding of the timestep, after SiLU, `(B, temb_channels)`; N is a multiple of B.
        """
        shift = None
        if self.time_emb_proj is not None and temb is not None:
            frames_per_row = frames.shape[0] // temb.shape[0]
            shift = self.time_emb_proj(temb).repeat_interleave(frames_per_row, dim=0)
        hidden = self.conv1(self.norm1(frames))
        hidden = self.norm2(hidden, shift)
        hidden = self.conv2(hidden)
        return hidden + (frames if self.conv_shortcut is None else self.conv_shortcut(frames))


class TemporalResnetBlock(nn.Module):
    """`ResnetBlock2D` over time with a constant width.

    Its convolutions are (3, 1, 1), and its norms are over all frames.
    """

    def __init__(self, channels: int, temb_channels: int | None = None, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = GroupNorm(channels, eps, activate=True)
        self.conv1 = TemporalConv3d(channels)
        self.time_emb_proj = None if temb_channels is None else nn.Linear(temb_channels, channels)
        self.norm2 = GroupNorm(channels, eps, activate=True)
        self.conv2 = TemporalConv3d(channels)

    def forward(
        self,
        video: torch.Tensor,
        temb: torch.Tensor | None = None,
        temporal_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B, C, T, H, W)` to the same.

        Args:
            temb: embedding of the timestep, after SiLU, `(B, temb_channels)`.
            temporal_weight: weight of this block in a blend with its input, `(B or 1, T or 1)`;
                `None` is 1. The block adds to its input, so the blend is to add that fraction.
        """
        shift = None
        if self.time_emb_proj is not None and temb is not None:
            shift = self.time_emb_proj(temb)
        hidden = self.conv1(self.norm1(video))
        hidden = self.norm2(hidden, shift)
        hidden = self.conv2(hidden)
        if temporal_weight is None:
            return video + hidden
        return ops.gated_residual(video, hidden, temporal_weight[:, None, :, None, None])


class AlphaBlender(nn.Module):
    """The learned weights that blend a spatial and a temporal path.

    The blend is `alpha * spatial + (1 - alpha) * temporal` with `alpha = sigmoid(mix_factor)`.

    Args:
        alpha: initial `mix_factor`, as the argument is called in diffusers.
        switch_spatial_to_temporal_mix: exchange the two weights.
    """

    def __init__(self, alpha: float, switch_spatial_to_temporal_mix: bool = False) -> None:
        super().__init__()
        self.switched = switch_spatial_to_temporal_mix
        self.mix_factor = nn.Parameter(torch.full((1,), alpha))

    def forward(
        self, image_only_indicator: torch.Tensor | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """The weight of the temporal path, `(B, T)` or `(1, 1)`, in `dtype`.

        Args:
            image_only_indicator: `(B, T)`, 1 where a frame is a single image, whose alpha is 1;
                `None` is 0 for all.
        """
        alpha = self.mix_factor.sigmoid()[None]
        if image_only_indicator is not None:
            alpha = torch.where(image_only_indicator.bool(), torch.ones_like(alpha), alpha)
        alpha = alpha.to(dtype)
        return alpha if self.switched else 1 - alpha


class SpatioTemporalResBlock(nn.Module):
    """A residual block over space, then one over time, blended.

    Args:
        temb_channels, eps: see `ResnetBlock2D`.
        temporal_eps: of the norms of the block over time; `None` for `eps`.
        merge_factor, switch_spatial_to_temporal_mix: see `AlphaBlender`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temb_channels: int | None = None,
        eps: float = 1e-6,
        temporal_eps: float | None = None,
        merge_factor: float = 0.5,
        switch_spatial_to_temporal_mix: bool = False,
    ) -> None:
        super().__init__()
        self.spatial_res_block = ResnetBlock2D(in_channels, out_channels, temb_channels, eps)
        self.temporal_res_block = TemporalResnetBlock(
            out_channels, temb_channels, temporal_eps or eps
        )
        self.time_mixer = AlphaBlender(merge_factor, switch_spatial_to_temporal_mix)

    def forward(
        self,
        frames: torch.Tensor,
        num_frames: int,
        temb: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B * T, C, H, W)` to `(B * T, C', H, W)`.

        Args:
            num_frames: T.
            temb: see `ResnetBlock2D.forward`.
            image_only_indicator: see `AlphaBlender.forward`.
        """
        frames = self.spatial_res_block(frames, temb)
        return self.forward_temporal(frames, num_frames, temb, image_only_indicator)

    def forward_temporal(
        self,
        frames: torch.Tensor,
        num_frames: int,
        temb: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The second half of `forward`: takes the output of the block over space."""
        video = as_video(frames, num_frames)
        temporal_weight = self.time_mixer(image_only_indicator, video.dtype)
        return as_frames(self.temporal_res_block(video, temb, temporal_weight))


class Downsample2D(nn.Module):
    """A convolution of stride 2.

    Args:
        padding: 1; or 0, which adds a row and a column of zeros at the end instead.
    """

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)
        self.pad_after = (0, 1 - padding, 0, 1 - padding)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, H / 2, W / 2)`, rounded up with padding 1 and down with 0."""
        return self.conv(F.pad(frames, self.pad_after) if any(self.pad_after) else frames)


class Upsample2D(nn.Module):
    """Nearest-neighbour upsampling by 2, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, frames: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, 2 * H, 2 * W)`.

        Args:
            size: height and width of the output, to crop the last row or column.
        """
        rows = frames.movedim(1, -1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
        frames = rows.flatten(3, 4).flatten(1, 2).movedim(-1, 1)
        return self.conv(frames if size is None else frames[..., : size[0], : size[1]])
