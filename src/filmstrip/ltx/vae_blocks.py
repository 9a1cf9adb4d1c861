"""The blocks of LTX's video autoencoder (HaCohen et al., arXiv 2501.00103, section 2.1; Lightricks/LTX-Video).

Videos are `(B, C, T, H, W)`, in channels-last memory: what `(B, T, H, W, C)` would be.
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn.embeddings import TimestepEmbedder
from filmstrip.nn.norms import channel_rms_norm, modulate

Stride = tuple[int, int, int]

NORM_EPS = 1e-8
DOWNSAMPLE_STRIDES: dict[str, Stride] = {
    "spatial": (1, 2, 2),
    "temporal": (2, 1, 1),
    "spatiotemporal": (2, 2, 2),
}


def space_to_depth(video: torch.Tensor, stride: Stride) -> torch.Tensor:
    """Move blocks of `stride` into channels: `(B, C, T, H, W)` to `(B, C * t * h * w, T / t, H / h, W / w)`."""
    t, h, w = stride
    rows = video.movedim(1, -1).unflatten(3, (-1, w)).unflatten(2, (-1, h)).unflatten(1, (-1, t))
    return rows.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(4).movedim(-1, 1)


def depth_to_space(video: torch.Tensor, stride: Stride) -> torch.Tensor:
    """The inverse of `space_to_depth`: `(B, C * t * h * w, T, H, W)` to `(B, C, T * t, H * h, W * w)`."""
    rows = video.movedim(1, -1).unflatten(4, (-1, *stride))
    rows = rows.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return rows.flatten(5, 6).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


class CausalConv3d(nn.Module):
    """A convolution that repeats the first frame before the video if causal, else both edge frames, half as often."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: Stride = (1, 1, 1),
        is_causal: bool = True,
    ) -> None:
        super().__init__()
        before = kernel_size - 1 if is_causal else (kernel_size - 1) // 2
        self.pad_frames = (before, 0 if is_causal else before)
        side = kernel_size // 2
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding=(0, side, side))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T / t, H / h, W / w)`."""
        before, after = self.pad_frames
        if before or after:
            rows = video.movedim(1, -1)  # joined so, the result is channels-last
            first = rows[:, :1].expand(-1, before, -1, -1, -1)
            last = rows[:, -1:].expand(-1, after, -1, -1, -1)
            video = torch.cat([first, rows, last], dim=1).movedim(-1, 1)
        return self.conv(video)


class ResnetBlock3d(nn.Module):
    """Norm, SiLU and convolution, twice, over a shortcut; a timestep may modulate it, and noise be injected."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        eps: float,
        is_causal: bool,
        inject_noise: bool = False,
        timestep_conditioning: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(in_channels, out_channels, is_causal=is_causal)
        self.conv2 = CausalConv3d(out_channels, out_channels, is_causal=is_causal)
        self.norm3 = self.conv_shortcut = None
        if in_channels != out_channels:
            self.norm3 = nn.LayerNorm(in_channels, eps=eps)
            self.conv_shortcut = CausalConv3d(in_channels, out_channels, kernel_size=1, is_causal=is_causal)
        self.per_channel_scale1 = self.per_channel_scale2 = None
        if inject_noise:
            self.per_channel_scale1 = nn.Parameter(torch.zeros(in_channels, 1, 1))
            self.per_channel_scale2 = nn.Parameter(torch.zeros(in_channels, 1, 1))
        self.scale_shift_table = None
        if timestep_conditioning:
            self.scale_shift_table = nn.Parameter(torch.randn(4, in_channels) / in_channels**0.5)

    def forward(self, video: torch.Tensor, modulation: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T, H, W)`; `modulation` is `(B, 4 * C)`."""
        shift1 = scale1 = shift2 = scale2 = None
        if self.scale_shift_table is not None and modulation is not None:
            table = modulation.unflatten(1, (4, -1)) + self.scale_shift_table
            shift1, scale1, shift2, scale2 = table[..., None, None, None].unbind(dim=1)

        hidden = self.conv1(_norm_modulate_activate(video, shift1, scale1))
        hidden = _inject_noise(hidden, self.per_channel_scale1)
        hidden = self.conv2(_norm_modulate_activate(hidden, shift2, scale2))
        hidden = _inject_noise(hidden, self.per_channel_scale2)

        if self.norm3 is not None and self.conv_shortcut is not None:
            video = self.conv_shortcut(self.norm3(video.movedim(1, -1)).movedim(-1, 1))
        return hidden + video


def _norm_modulate_activate(
    video: torch.Tensor, shift: torch.Tensor | None, scale: torch.Tensor | None
) -> torch.Tensor:
    normed = channel_rms_norm(video, NORM_EPS)
    if shift is not None and scale is not None:
        normed = modulate(normed, shift, scale)
    return F.silu(normed)


def _inject_noise(video: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """Add one picture of noise to every frame and video, from the global generator as the authors do."""
    if scale is None:
        return video
    noise = torch.randn(video.shape[-2:], device=video.device, dtype=video.dtype)
    return video + (noise * scale)[:, None]


class Downsampler3d(nn.Module):
    """Convolve and fold space and time into channels, over the mean of the folded input (0.9.5)."""

    def __init__(self, in_channels: int, out_channels: int, stride: Stride, is_causal: bool) -> None:
        super().__init__()
        self.stride = stride
        self.group_size = in_channels * prod(stride) // out_channels
        self.conv = CausalConv3d(in_channels, out_channels // prod(stride), is_causal=is_causal)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', ceil(T / t), H / h, W / w)`."""
        rows = video.movedim(1, -1)
        video = torch.cat([rows[:, : self.stride[0] - 1], rows], dim=1).movedim(-1, 1)
        folded = space_to_depth(video, self.stride).movedim(1, -1)
        mean = folded.unflatten(-1, (-1, self.group_size)).mean(dim=-1).movedim(-1, 1)
        return space_to_depth(self.conv(video), self.stride) + mean


class Upsampler3d(nn.Module):
    """Convolve and unfold channels into space and time, by 2 each; optionally over the unfolded input."""

    stride: Stride = (2, 2, 2)

    def __init__(self, in_channels: int, upscale_factor: int, residual: bool, is_causal: bool) -> None:
        super().__init__()
        self.repeats = prod(self.stride) // upscale_factor if residual else 0
        self.conv = CausalConv3d(in_channels, in_channels * prod(self.stride) // upscale_factor, is_causal=is_causal)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', 2 T - 1, 2 H, 2 W)`."""
        upsampled = self._unfold(self.conv(video))
        if not self.repeats:
            return upsampled
        return upsampled + self._unfold(video).repeat(1, self.repeats, 1, 1, 1)

    def _unfold(self, video: torch.Tensor) -> torch.Tensor:
        return depth_to_space(video, self.stride)[:, :, self.stride[0] - 1 :]


class DownBlock3D(nn.Module):
    """Residual blocks, then a downsampling.

    In 0.9.0 (`widen_by_block`) the downsampling is a strided convolution and a residual block changes the width;
    from 0.9.5 on a `Downsampler3d` of the given type does both.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: int,
        eps: float,
        downsample: str | None,
        widen_by_block: bool,
        is_causal: bool,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock3d(in_channels, in_channels, eps, is_causal) for _ in range(num_layers))
        self.downsamplers = self.conv_out = None
        if downsample == "conv":
            self.downsamplers = nn.ModuleList(
                [CausalConv3d(in_channels, in_channels, stride=(2, 2, 2), is_causal=is_causal)]
            )
        elif downsample is not None:
            if downsample not in DOWNSAMPLE_STRIDES:
                known = ", ".join(["conv", *DOWNSAMPLE_STRIDES])
                raise InputError(f"downsample_type holds {downsample!r}; choose of {known}.")
            stride = DOWNSAMPLE_STRIDES[downsample]
            self.downsamplers = nn.ModuleList([Downsampler3d(in_channels, out_channels, stride, is_causal)])
        if widen_by_block and in_channels != out_channels:
            self.conv_out = ResnetBlock3d(in_channels, out_channels, eps, is_causal)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T / t, H / h, W / w)`."""
        for block in self.resnets:
            video = block(video)
        for downsampler in self.downsamplers or ():
            video = downsampler(video)
        return video if self.conv_out is None else self.conv_out(video)


class MidBlock3d(nn.Module):
    """Residual blocks that share one embedding of the timestep."""

    def __init__(
        self,
        channels: int,
        num_layers: int,
        eps: float,
        is_causal: bool,
        inject_noise: bool = False,
        timestep_conditioning: bool = False,
    ) -> None:
        super().__init__()
        self.time_embedder = TimestepEmbedder(4 * channels) if timestep_conditioning else None
        self.resnets = nn.ModuleList(
            ResnetBlock3d(channels, channels, eps, is_causal, inject_noise, timestep_conditioning)
            for _ in range(num_layers)
        )

    def forward(self, video: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, T, H, W)` to the same; `timestep` is `(B,)`."""
        modulation = embed_timestep(self.time_embedder, timestep, video.dtype)
        for block in self.resnets:
            video = block(video, modulation)
        return video


class UpBlock3d(nn.Module):
    """An upsampling, then residual blocks."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: int,
        eps: float,
        upsample: bool,
        is_causal: bool,
        inject_noise: bool,
        timestep_conditioning: bool,
        upsample_residual: bool,
        upscale_factor: int,
    ) -> None:
        super().__init__()
        if timestep_conditioning and in_channels != out_channels:
            raise InputError(
                f"A timestep-conditioned decoder cannot change the width from {in_channels} to {out_channels} in a "
                "block; let upsample_factor be the ratio of neighbouring decoder_block_out_channels."
            )
        self.time_embedder = TimestepEmbedder(4 * in_channels) if timestep_conditioning else None
        self.conv_in = None
        if in_channels != out_channels:
            self.conv_in = ResnetBlock3d(in_channels, out_channels, eps, is_causal, inject_noise)
        self.upsamplers = None
        if upsample:
            width = out_channels * upscale_factor
            self.upsamplers = nn.ModuleList([Upsampler3d(width, upscale_factor, upsample_residual, is_causal)])
        self.resnets = nn.ModuleList(
            ResnetBlock3d(out_channels, out_channels, eps, is_causal, inject_noise, timestep_conditioning)
            for _ in range(num_layers)
        )

    def forward(self, video: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', 2 T - 1, 2 H, 2 W)`, or of the same size without upsampling."""
        if self.conv_in is not None:
            video = self.conv_in(video)
        modulation = embed_timestep(self.time_embedder, timestep, video.dtype)
        for upsampler in self.upsamplers or ():
            video = upsampler(video)
        for block in self.resnets:
            video = block(video, modulation)
        return video


def embed_timestep(
    embedder: nn.Module | None, timestep: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor | None:
    """The embedding `(B, C)` of a timestep `(B,)`, or `None` for a decoder without one.

    Raises:
        InputError: the decoder needs a timestep and got none.
    """
    if embedder is None:
        return None
    if timestep is None:
        raise InputError("This decoder is conditioned on a timestep: give temb, one value in [0, 1] for each video.")
    return embedder(timestep.flatten(), dtype)
