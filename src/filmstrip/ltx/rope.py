"""Rotary positions of LTX's tokens in time, height and width (RoFormer, arXiv 2104.09864, section 3.2)."""

import math

import torch
from torch import nn

Rotation = tuple[torch.Tensor, torch.Tensor]
Scale = tuple[float, float, float] | torch.Tensor  # seconds per latent frame, and pixels per latent row and column

# What coordinates are divided by, so that a video of this many frames, rows and columns spans [0, 1]
# (Lightricks/LTX-Video, `positional_embedding_max_pos`; frames are in seconds there).
BASE_SIZE = (20, 2048, 2048)
THETA = 10000.0


class RotaryEmbedding(nn.Module):
    """Angles for each token: a third of the channel pairs turns with time, height and width each.

    Args:
        dim: width of the transformer. Pairs that do not divide by three are left unturned, first.
        patch_size, patch_size_t: pixels of latent per token, in space and time.
    """

    def __init__(self, dim: int, patch_size: int, patch_size_t: int) -> None:
        super().__init__()
        self.dim = dim
        self.patch_sizes = (patch_size_t, patch_size, patch_size)

    def forward(self, coordinates: torch.Tensor) -> Rotation:
        """Cosines and sines, each `(B, N, dim / 2)` in float32, one for each pair of channels.

        `coordinates` are time, row and column in units of `BASE_SIZE`, `(B, N, 3)` in float32.
        """
        per_axis = self.dim // 6
        steps = torch.linspace(0.0, 1.0, per_axis, dtype=torch.float32, device=coordinates.device)
        frequencies = THETA**steps * (math.pi / 2)
        angles = (coordinates.unsqueeze(-1) * 2 - 1) * frequencies
        angles = angles.transpose(-1, -2).flatten(2)
        still = angles.new_zeros(*angles.shape[:2], self.dim // 2 - 3 * per_axis)
        angles = torch.cat([still, angles], dim=-1)
        return angles.cos(), angles.sin()

    def grid(self, num_frames: int, height: int, width: int, scale: Scale | None, device: torch.device) -> torch.Tensor:
        """Coordinates `(1, T * H * W, 3)` of a latent video, in units of `BASE_SIZE`; in tokens without `scale`."""
        axes = [torch.arange(n, dtype=torch.float32, device=device) for n in (num_frames, height, width)]
        if scale is not None:
            axes = [
                axis * factor * patch / base
                for axis, factor, patch, base in zip(axes, scale, self.patch_sizes, BASE_SIZE, strict=True)
            ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)


def rotate(tokens: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Turn each pair of neighbouring channels of `(B, N, C)` by its angle, in float32."""
    cos, sin = rotation
    real, imaginary = tokens.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=-1)
    return turned.flatten(-2).to(tokens.dtype)
