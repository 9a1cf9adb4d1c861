"""Channels-last memory, and views of it.

In this memory format, frames `(B * T, C, H, W)` and videos `(B, C, T, H, W)` have the same bytes.
"""

import torch
from torch import nn

MEMORY_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by number of dimensions


def weights_channels_last(model: nn.Module) -> None:
    """Put the weights of all 2D and 3D convolutions in channels-last memory."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            weight = module.weight
            weight.data = weight.data.contiguous(memory_format=MEMORY_FORMATS[weight.ndim])


def as_video(frames: torch.Tensor, num_frames: int) -> torch.Tensor:
    """`(B * T, C, H, W)` as `(B, C, T, H, W)`."""
    return frames.unflatten(0, (-1, num_frames)).transpose(1, 2)


def as_frames(video: torch.Tensor) -> torch.Tensor:
    """`(B, C, T, H, W)` as `(B * T, C, H, W)`; a view if the memory is channels-last."""
    return video.transpose(1, 2).flatten(0, 1)


def join_channels(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Concatenate frames `(N, C, H, W)` along their channels, in channels-last memory."""
    return torch.cat([first.movedim(1, -1), second.movedim(1, -1)], dim=-1).movedim(-1, 1)
