"""Encoder and decoder of LTX's video autoencoder (HaCohen et al., arXiv 2501.00103, section 2.1;
Lightricks/LTX-Video).

Videos are `(B, C, T, H, W)` in channels-last memory, in which `(B, T, H, W, C)` is contiguous.
"""

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from math import prod

import torch
from torch import nn

from filmstrip.config import Config
from filmstrip.errors import InputError
from filmstrip.nn import ops
from filmstrip.nn.embeddings import TimestepEmbedder

Stride = tuple[int, int, int]  # in time, height and width

NORM_EPS = 1e-8
# Whether a residual block changes the width (0.9.0 and 0.9.1) or the downsampler does (0.9.5 and
# later).
DOWN_BLOCK_TYPES = {"LTXVideoDownBlock3D": True, "LTXVideo095DownBlock3D": False}
DOWNSAMPLE_STRIDES: dict[str, Stride] = {
    "spatial": (1, 2, 2),
    "temporal": (2, 1, 1),
    "spatiotemporal": (2, 2, 2),
}


def space_to_depth(video: torch.Tensor, stride: Stride) -> torch.Tensor:
    """Fold blocks of `stride` into channels.

    `(B, C, T, H, W)` to `(B, C * t * h * w, T / t, H / h, W / w)`.
    """
    t, h, w = stride
    rows = video.movedim(1, -1).unflatten(3, (-1, w)).unflatten(2, (-1, h)).unflatten(1, (-1, t))
    return rows.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(4).movedim(-1, 1)


def depth_to_space(video: torch.Tensor, stride: Stride) -> torch.Tensor:
    """The inverse of `space_to_depth`.

    `(B, C * t * h * w, T, H, W)` to `(B, C, T * t, H * h, W * w)`.
    """
    rows = video.movedim(1, -1).unflatten(4, (-1, *stride))
    rows = rows.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return rows.flatten(5, 6).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


class CausalConv3d(nn.Module):
    """A 3D convolution, whose padding in time repeats frames.

    Args:
        is_causal: all padding repeats the first frame, so that a frame does not depend on later
            ones; otherwise half of it repeats the last frame.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: Stride | int = 1,
        is_causal: bool = True,
    ) -> None:
        super().__init__()
        before = kernel_size - 1 if is_causal else (kernel_size - 1) // 2
        self.pad_frames = (before, 0 if is_causal else before)
        pad = kernel_size // 2
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding=(0, pad, pad))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T / t, H / h, W / w)`."""
        before, after = self.pad_frames
        if before or after:
            rows = video.movedim(1, -1)  # so that the result is channels-last
            first = rows[:, :1].expand(-1, before, -1, -1, -1)
            last = rows[:, -1:].expand(-1, after, -1, -1, -1)
            video = torch.cat([first, rows, last], dim=1).movedim(-1, 1)
        return self.conv(video)


class ResnetBlock3d(nn.Module):
    """Norm, SiLU and convolution, twice, with a shortcut around them.

    Args:
        eps: of the norm before the shortcut's convolution; both exist only if the width changes.
        is_causal: see `CausalConv3d`.
        inject_noise: add noise after each convolution, scaled per channel.
        timestep_conditioning: modulate the norms by a timestep.
    """

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
        self.norm3 = None
        self.conv_shortcut = None
        if in_channels != out_channels:
            self.norm3 = nn.LayerNorm(in_channels, eps=eps)
            self.conv_shortcut = CausalConv3d(
                in_channels, out_channels, kernel_size=1, is_causal=is_causal
            )
        self.per_channel_scale1 = None
        self.per_channel_scale2 = None
        self.scale_shift_table = None
        if inject_noise:
            self.per_channel_scale1 = nn.Parameter(torch.zeros(in_channels, 1, 1))
            self.per_channel_scale2 = nn.Parameter(torch.zeros(in_channels, 1, 1))
        if timestep_conditioning:
            self.scale_shift_table = nn.Parameter(torch.randn(4, in_channels) / in_channels**0.5)

    def forward(self, video: torch.Tensor, embedded: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T, H, W)`.

        Args:
            embedded: the embedding of the timestep, `(B, 4 * C)`.
        """
        modulation = shifts_and_scales(self.scale_shift_table, embedded)
        hidden = self.conv1(ops.channel_rms_norm_silu(video, NORM_EPS, *modulation[:2]))
        hidden = _inject_noise(hidden, self.per_channel_scale1)
        hidden = self.conv2(ops.channel_rms_norm_silu(hidden, NORM_EPS, *modulation[2:]))
        hidden = _inject_noise(hidden, self.per_channel_scale2)
        if self.norm3 is not None and self.conv_shortcut is not None:
            video = self.conv_shortcut(self.norm3(video.movedim(1, -1)).movedim(-1, 1))
        return hidden + video


def shifts_and_scales(
    table: torch.Tensor | None, embedded: torch.Tensor | None
) -> tuple[torch.Tensor, ...]:
    """Compute the shifts and scales of modulated norms.

    Args:
        table: learned, `(n, C)`; `None` if nothing is modulated.
        embedded: the embedding of the timestep, `(B, n * C)`.

    Returns:
        n tensors `(B, C, 1, 1, 1)`; an empty tuple if nothing is modulated.
    """
    if table is None or embedded is None:
        return ()
    return (embedded.unflatten(1, (len(table), -1)) + table)[..., None, None, None].unbind(dim=1)


def _inject_noise(video: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """Add one frame of noise to every frame of every video, scaled by `(C, 1, 1)`.

    It is drawn from the global generator, as in the authors' code.
    """
    if scale is None:
        return video
    noise = torch.randn(video.shape[-2:], device=video.device, dtype=video.dtype)
    return video + (noise * scale)[:, None]


class Downsampler3d(nn.Module):
    """Convolve and fold space and time into channels; a shortcut adds the folded input, averaged
    over groups of channels (0.9.5).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: Stride, is_causal: bool
    ) -> None:
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
    """Convolve and unfold channels into space and time, by 2 each.

    Args:
        upscale_factor: by how much the width is divided.
        residual: add the unfolded input, its channels repeated.
        is_causal: see `CausalConv3d`.
    """

    stride: Stride = (2, 2, 2)

    def __init__(
        self, in_channels: int, upscale_factor: int, residual: bool, is_causal: bool
    ) -> None:
        super().__init__()
        self.repeats = prod(self.stride) // upscale_factor if residual else 0
        self.conv = CausalConv3d(
            in_channels, in_channels * prod(self.stride) // upscale_factor, is_causal=is_causal
        )

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', 2 T - 1, 2 H, 2 W)`."""
        upsampled = self._unfold(self.conv(video))
        if not self.repeats:
            return upsampled
        return upsampled + self._unfold(video).repeat(1, self.repeats, 1, 1, 1)

    def _unfold(self, video: torch.Tensor) -> torch.Tensor:
        return depth_to_space(video, self.stride)[:, :, self.stride[0] - 1 :]


class Block3d(nn.Module):
    """Residual blocks with one embedding of the timestep for all.

    Args:
        resnets: the residual blocks.
        time_channels: width of that embedding; `None` for a block without it.
        conv_in, upsampler: modules before the residual blocks.
        downsampler, conv_out: modules after them.
    """

    def __init__(
        self,
        resnets: Iterable[nn.Module],
        time_channels: int | None = None,
        conv_in: nn.Module | None = None,
        upsampler: nn.Module | None = None,
        downsampler: nn.Module | None = None,
        conv_out: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.time_embedder = TimestepEmbedder(time_channels) if time_channels else None
        self.conv_in = conv_in or nn.Identity()
        self.conv_out = conv_out or nn.Identity()
        self.upsamplers = nn.Sequential(*([upsampler] if upsampler else []))
        self.resnets = nn.ModuleList(resnets)
        self.downsamplers = nn.Sequential(*([downsampler] if downsampler else []))

    def forward(self, video: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, T, H, W)` to `(B, C', T', H', W')`; `timestep` is `(B,)`."""
        embedded = embed_timestep(self.time_embedder, timestep, video.dtype)
        video = self.upsamplers(self.conv_in(video))
        for block in self.resnets:
            video = block(video, embedded)
        return self.conv_out(self.downsamplers(video))


def embed_timestep(
    embedder: nn.Module | None, timestep: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor | None:
    """Embed a timestep `(B,)` to `(B, C)`; `None` without an embedder.

    Raises:
        InputError: there is an embedder, but no timestep.
    """
    if embedder is None:
        return None
    if timestep is None:
        raise InputError(
            "This decoder is conditioned on a timestep: give temb, one value in [0, 1] for each "
            "video."
        )
    return embedder(timestep.flatten(), dtype)


class Encoder3d(nn.Module):
    """Pixels to the parameters of the posterior; built from the autoencoder's config."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        unknown = sorted(set(config.down_block_types) - set(DOWN_BLOCK_TYPES))
        if unknown:
            raise InputError(
                f"down_block_types holds {unknown[0]!r}; choose one of "
                f"{', '.join(DOWN_BLOCK_TYPES)}."
            )
        self.patch = (config.patch_size_t, config.patch_size, config.patch_size)
        conv = partial(CausalConv3d, is_causal=config.encoder_causal)
        resnet = partial(ResnetBlock3d, eps=config.resnet_norm_eps, is_causal=config.encoder_causal)
        layers = config.layers_per_block
        widths = list(config.block_out_channels)
        if DOWN_BLOCK_TYPES[config.down_block_types[-1]]:
            widths.append(widths[-1])
        self.conv_in = conv(config.in_channels * config.patch_size**2, widths[0])
        self.down_blocks = nn.ModuleList()
        for i, (width, next_width) in enumerate(pairwise(widths)):
            resnets = [resnet(width, width) for _ in range(layers[i])]
            downsampler = None
            if config.spatio_temporal_scaling[i]:
                downsampler = _downsampler(
                    config.downsample_type[i], width, next_width, config.encoder_causal
                )
            conv_out = None
            if DOWN_BLOCK_TYPES[config.down_block_types[i]] and width != next_width:
                conv_out = resnet(width, next_width)
            self.down_blocks.append(Block3d(resnets, downsampler=downsampler, conv_out=conv_out))
        self.mid_block = Block3d(resnet(widths[-1], widths[-1]) for _ in range(layers[-1]))
        self.conv_out = conv(widths[-1], config.latent_channels + 1)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, 3, T, H, W)` in [-1, 1] to mean and log variance, `(B, 2 * C, t, h, w)`.

        The network has one log variance for all channels, which is repeated.
        """
        hidden = self.conv_in(_flip_patch(space_to_depth(video, self.patch), self.patch))
        for block in self.down_blocks:
            hidden = block(hidden)
        hidden = ops.channel_rms_norm_silu(self.mid_block(hidden), NORM_EPS)
        hidden = self.conv_out(hidden)
        mean = hidden[:, :-1]
        logvar = hidden[:, -1:]
        return torch.cat([mean, logvar.expand_as(mean)], dim=1)


def _downsampler(downsample_type: str, width: int, next_width: int, is_causal: bool) -> nn.Module:
    if downsample_type == "conv":
        return CausalConv3d(width, width, stride=(2, 2, 2), is_causal=is_causal)
    if downsample_type not in DOWNSAMPLE_STRIDES:
        raise InputError(
            f"downsample_type holds {downsample_type!r}; choose one of "
            f"{', '.join(['conv', *DOWNSAMPLE_STRIDES])}."
        )
    return Downsampler3d(width, next_width, DOWNSAMPLE_STRIDES[downsample_type], is_causal)


class Decoder3d(nn.Module):
    """Latents to pixels; built from the autoencoder's config.

    Raises:
        InputError: a timestep-conditioned decoder with a block that changes the width.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch = (config.patch_size_t, config.patch_size, config.patch_size)
        causal = config.decoder_causal
        conditioned = config.timestep_conditioning
        # Configs list the blocks of the decoder from pixels to latents.
        widths = config.decoder_block_out_channels[::-1]
        layers = config.decoder_layers_per_block[::-1]
        noise = config.decoder_inject_noise[::-1]
        scaling = config.decoder_spatio_temporal_scaling[::-1]
        residual = config.upsample_residual[::-1]
        factors = config.upsample_factor[::-1]

        def resnet(in_channels: int, out_channels: int, inject_noise: bool) -> ResnetBlock3d:
            return ResnetBlock3d(
                in_channels,
                out_channels,
                config.resnet_norm_eps,
                causal,
                inject_noise,
                timestep_conditioning=conditioned,
            )

        width = widths[0]
        self.conv_in = CausalConv3d(config.latent_channels, width, is_causal=causal)
        self.mid_block = Block3d(
            [resnet(width, width, noise[0]) for _ in range(layers[0])],
            time_channels=4 * width if conditioned else None,
        )
        self.up_blocks = nn.ModuleList()
        for i, block_width in enumerate(widths):
            # The first entries of layers and noise are those of the middle block.
            block_layers = layers[i + 1]
            block_noise = noise[i + 1]
            in_width = width // factors[i]
            width = block_width // factors[i]
            if conditioned and in_width != width:
                raise InputError(
                    f"A timestep-conditioned decoder cannot change the width from {in_width} to "
                    f"{width} in a block; let upsample_factor be the ratio of neighbouring "
                    "decoder_block_out_channels."
                )
            conv_in = None
            if in_width != width:
                conv_in = resnet(in_width, width, block_noise)
            upsampler = None
            if scaling[i]:
                upsampler = Upsampler3d(width * factors[i], factors[i], residual[i], causal)
            block = Block3d(
                [resnet(width, width, block_noise) for _ in range(block_layers)],
                time_channels=4 * width if conditioned else None,
                conv_in=conv_in,
                upsampler=upsampler,
            )
            self.up_blocks.append(block)
        self.conv_out = CausalConv3d(
            width, config.out_channels * config.patch_size**2, is_causal=causal
        )
        self.timestep_scale_multiplier = None
        self.time_embedder = None
        self.scale_shift_table = None
        if conditioned:
            self.timestep_scale_multiplier = nn.Parameter(torch.tensor(1000.0))
            self.time_embedder = TimestepEmbedder(2 * width)
            self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, t, h, w)` to `(B, 3, T, H, W)`.

        Args:
            timestep: for a conditioned decoder, in [0, 1], `(B,)`.
        """
        hidden = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d))
        if self.timestep_scale_multiplier is not None and timestep is not None:
            timestep = timestep * self.timestep_scale_multiplier
        hidden = self.mid_block(hidden, timestep)
        for block in self.up_blocks:
            hidden = block(hidden, timestep)
        embedded = embed_timestep(self.time_embedder, timestep, hidden.dtype)
        modulation = shifts_and_scales(self.scale_shift_table, embedded)
        hidden = self.conv_out(ops.channel_rms_norm_silu(hidden, NORM_EPS, *modulation))
        return depth_to_space(_flip_patch(hidden, self.patch), self.patch)


def _flip_patch(video: torch.Tensor, patch: tuple[int, int, int]) -> torch.Tensor:
    """Exchange rows and columns within the patches: in checkpoints the pixels of a patch are in the
    order of columns.
    """
    t, h, w = patch
    rows = video.movedim(1, -1).unflatten(-1, (-1, t, h, w))
    return rows.transpose(-1, -2).flatten(4).movedim(-1, 1)
