"""Residual blocks over space and time, and changes of resolution (Blattmann et al., arXiv
2311.15127, appendix D).

Frames are `(B * T, C, H, W)` in channels-last memory, all frames of a video after one another:
between space and time nothing is copied (`filmstrip.nn.layout`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.nn.layout import as_frames, as_video
from filmstrip.nn.norms import GroupNorm


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as a matrix product over channels-last rows."""

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
        # PyTorch's own 3D convolution, which the CPU may get, leaves channels-last memory. The 2D
        # one stays in it, and over time and all pixels in a row it is the same.
        rows = F.conv2d(video.flatten(3), self.weight.squeeze(-1), self.bias, padding=(1, 0))
        return rows.unflatten(3, video.shape[3:])


class ResnetBlock2D(nn.Module):
    """Norm, SiLU and convolution, twice, over a shortcut; between them the embedding of the
    timestep is added.
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
        """`(N, C, H, W)` to `(N, C', H, W)`; `temb` is activated already, `(B, temb_channels)`, N a
        multiple of B.
        """
        shift = None
        if self.time_emb_proj is not None and temb is not None:
            shift = self.time_emb_proj(temb).repeat_interleave(
                frames.shape[0] // temb.shape[0], dim=0
            )
        hidden = self.conv1(self.norm1(frames))
        hidden = self.conv2(self.norm2(hidden, shift))
        return hidden + (frames if self.conv_shortcut is None else self.conv_shortcut(frames))


class TemporalResnetBlock(nn.Module):
    """The same over time, of one width: its convolutions are (3, 1, 1), its norms go over all
    frames.
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
        share: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(B, C, T, H, W)` to the same; `temb` is activated already, `(B, temb_channels)`.

        `share`, `(B or 1, T or 1)`, is what the block has in a blend with its input: as it adds to
        its input, blending is to add that much.
        """
        shift = None
        if self.time_emb_proj is not None and temb is not None:
            shift = self.time_emb_proj(temb)
        hidden = self.conv1(self.norm1(video))
        hidden = self.conv2(self.norm2(hidden, shift))
        return (
            video + hidden
            if share is None
            else torch.addcmul(video, hidden, share[:, None, :, None, None])
        )


class AlphaBlender(nn.Module):
    """The learned blend `a * spatial + (1 - a) * temporal` with `a = sigmoid(mix_factor)`, or the
    other way round.
    """

    def __init__(self, alpha: float, switch_spatial_to_temporal_mix: bool = False) -> None:
        super().__init__()
        self.switched = switch_spatial_to_temporal_mix
        self.mix_factor = nn.Parameter(torch.full((1,), alpha))

    def forward(
        self, image_only_indicator: torch.Tensor | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """The share of the temporal path, `(B, T)` or `(1, 1)`.

        `image_only_indicator`, `(B, T)`, is 1 where a frame is a picture of its own, whose `a` is
        1; None is 0 for all.
        """
        alpha = self.mix_factor.sigmoid()[None]
        if image_only_indicator is not None:
            alpha = torch.where(image_only_indicator.bool(), torch.ones_like(alpha), alpha)
        alpha = alpha.to(dtype)
        return alpha if self.switched else 1 - alpha


class SpatioTemporalResBlock(nn.Module):
    """A residual block over space, then one over time, blended."""

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
        """`(B * T, C, H, W)` to `(B * T, C', H, W)`, of `num_frames` T; the others are as in the
        parts.
        """
        return self.over_time(
            self.spatial_res_block(frames, temb), num_frames, temb, image_only_indicator
        )

    def over_time(
        self,
        frames: torch.Tensor,
        num_frames: int,
        temb: torch.Tensor | None = None,
        image_only_indicator: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The second half of `forward`, from what the block over space gives."""
        video = as_video(frames, num_frames)
        share = self.time_mixer(image_only_indicator, video.dtype)
        return as_frames(self.temporal_res_block(video, temb, share))


class Downsample2D(nn.Module):
    """A convolution of stride 2; without `padding` a row and a column of zeros are put after the
    frame.
    """

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)
        self.pad_after = (0, 1 - padding, 0, 1 - padding)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, H / 2, W / 2)`, rounded up with `padding` and down without."""
        return self.conv(F.pad(frames, self.pad_after) if any(self.pad_after) else frames)


class Upsample2D(nn.Module):
    """Twice the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, frames: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """`(N, C, H, W)` to `(N, C, 2 H, 2 W)`, or to `size`, which may lack the last row or
        column.
        """
        rows = frames.movedim(1, -1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
        frames = rows.flatten(3, 4).flatten(1, 2).movedim(-1, 1)
        return self.conv(frames if size is None else frames[..., : size[0], : size[1]])
