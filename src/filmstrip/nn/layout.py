"""Channels-last memory, and views of it: frames `(B * T, C, H, W)` and videos `(B, C, T, H, W)` are
the same bytes.
"""

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def weights_channels_last(model: nn.Module) -> None:
    """Lay the weights of all 2D and 3D convolutions out channels-last."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(
                memory_format=FORMATS[module.weight.ndim]
            )


def as_video(frames: torch.Tensor, num_frames: int) -> torch.Tensor:
    """`(B * T, C, H, W)` as `(B, C, T, H, W)`."""
    return frames.unflatten(0, (-1, num_frames)).transpose(1, 2)


def as_frames(video: torch.Tensor) -> torch.Tensor:
    """`(B, C, T, H, W)` as `(B * T, C, H, W)`; a view where the memory is channels-last."""
    return video.transpose(1, 2).flatten(0, 1)


def join_channels(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Join frames along their channels, in channels-last memory."""
    return torch.cat([first.movedim(1, -1), second.movedim(1, -1)], dim=-1).movedim(-1, 1)
