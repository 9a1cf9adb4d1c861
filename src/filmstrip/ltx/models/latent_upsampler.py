"""LTX-Video's latent upsampler (Lightricks/LTX-Video, `latent_upsampler.py`)."""

from collections.abc import Iterable
from math import prod

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.errors import InputError
from filmstrip.ltx.models.autoencoder_blocks import depth_to_space
from filmstrip.nn.memory_layout import as_frames, as_video, weights_channels_last
from filmstrip.nn.norms import GroupNorm
from filmstrip.weights.model import Model

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class ResBlock(nn.Module):
    """Convolution, norm and SiLU, twice; the input is added before the second SiLU.

    Args:
        dims: of the convolutions, 2 or 3.
    """

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.conv1 = CONVOLUTIONS[dims](channels, channels, 3, padding=1)
        self.norm1 = GroupNorm(channels, eps=1e-5, activate=True)
        self.conv2 = CONVOLUTIONS[dims](channels, channels, 3, padding=1)
        self.norm2 = GroupNorm(channels, eps=1e-5)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(N, C, ...)` to the same."""
        branch = self.norm2(self.conv2(self.norm1(self.conv1(hidden))))
        return F.silu(branch + hidden)


class LTXLatentUpsamplerModel(Model):
    """Upsamples latent videos in space, in time, or in both.

    Args:
        in_channels: of the latents.
        mid_channels: width; a multiple of 32.
        num_blocks_per_stage: residual blocks before the upsampling, and after it.
        dims: of the convolutions in the blocks: 2 for each frame by itself, 3 for neighbouring
            frames too.
        spatial_upsample: double height and width.
        temporal_upsample: double the latent frames except the first, which is one frame of the
            video.

    Raises:
        InputError: nothing to upsample, or `dims` is neither 2 nor 3.
    """

    def __init__(
        self,
        in_channels: int = 128,
        mid_channels: int = 512,
        num_blocks_per_stage: int = 4,
        dims: int = 3,
        spatial_upsample: bool = True,
        temporal_upsample: bool = False,
    ) -> None:
        super().__init__()
        if dims not in CONVOLUTIONS:
            raise InputError(
                f"dims is {dims!r}; a latent upsampler has convolutions of 2 or 3 dimensions."
            )
        if not spatial_upsample and not temporal_upsample:
            raise InputError(
                "spatial_upsample and temporal_upsample are both off; switch on what to upsample."
            )
        space = 2 if spatial_upsample else 1
        time = 2 if temporal_upsample else 1
        self.stride = (time, space, space)
        self.blocks_per_frame = dims == 2
        self.upsampler_per_frame = not temporal_upsample
        upsampler_conv = CONVOLUTIONS[2 if self.upsampler_per_frame else 3]

        self.initial_conv = CONVOLUTIONS[dims](in_channels, mid_channels, 3, padding=1)
        self.initial_norm = GroupNorm(mid_channels, eps=1e-5, activate=True)
        self.res_blocks = nn.ModuleList(
            ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage)
        )
        self.upsampler = nn.ModuleList(
            [upsampler_conv(mid_channels, prod(self.stride) * mid_channels, 3, padding=1)]
        )
        self.post_upsample_res_blocks = nn.ModuleList(
            ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage)
        )
        self.final_conv = CONVOLUTIONS[dims](mid_channels, in_channels, 3, padding=1)
        weights_channels_last(self)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Upsample latents of the autoencoder, not normalised.

        `(B, C, t, h, w)` to `(B, C, t or 2 * t - 1, h or 2 * h, w or 2 * w)`.
        """
        latents = hidden_states.contiguous(memory_format=torch.channels_last_3d)
        first = [self.initial_conv, self.initial_norm, *self.res_blocks]
        last = [*self.post_upsample_res_blocks, self.final_conv]
        hidden = _run(first, latents, self.blocks_per_frame)
        hidden = depth_to_space(_run(self.upsampler, hidden, self.upsampler_per_frame), self.stride)
        hidden = hidden[:, :, self.stride[0] - 1 :]
        return _run(last, hidden, self.blocks_per_frame)


def _run(layers: Iterable[nn.Module], video: torch.Tensor, per_frame: bool) -> torch.Tensor:
    """Run layers on a video `(B, C, t, h, w)`, or on each of its frames by itself."""
    hidden = as_frames(video) if per_frame else video
    for layer in layers:
        hidden = layer(hidden)
    return as_video(hidden, video.shape[2]) if per_frame else hidden
