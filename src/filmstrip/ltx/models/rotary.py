"""Rotary position embeddings of LTX-Video's tokens (RoFormer, arXiv 2104.09864, section 3.2)."""

import math

import torch
from torch import nn

from filmstrip.nn.ops import Rotation

# Seconds per latent frame, and pixels per latent row and column.
Scale = tuple[float, float, float] | torch.Tensor

# Seconds, and pixels of height and width. Coordinates are divided by it, so that a video of this
# size spans [0, 1] (Lightricks/LTX-Video, `positional_embedding_max_pos`).
BASE_SIZE = (20, 2048, 2048)
THETA = 10000.0


class RotaryEmbedding(nn.Module):
    """Rotary positions of tokens in time, height and width, a third of the channel pairs for each.

    Args:
        dim: width of the transformer. Pairs that do not divide by three come first and are not
            rotated.
        patch_size, patch_size_t: latent pixels and latent frames of a token.
    """

    def __init__(self, dim: int, patch_size: int, patch_size_t: int) -> None:
        super().__init__()
        self.dim = dim
        self.patch_sizes = (patch_size_t, patch_size, patch_size)

    def forward(self, coordinates: torch.Tensor) -> Rotation:
        """Cosines and sines, each `(B, N, dim / 2)` in float32, one for each pair of channels.

        Args:
            coordinates: time, row and column in units of `BASE_SIZE`, `(B, N, 3)` in float32.
        """
        per_axis = self.dim // 6
        steps = torch.linspace(0.0, 1.0, per_axis, dtype=torch.float32, device=coordinates.device)
        frequencies = THETA**steps * (math.pi / 2)
        angles = (coordinates.unsqueeze(-1) * 2 - 1) * frequencies
        angles = angles.transpose(-1, -2).flatten(2)
        not_rotated = angles.new_zeros(*angles.shape[:2], self.dim // 2 - 3 * per_axis)
        angles = torch.cat([not_rotated, angles], dim=-1)
        return angles.cos(), angles.sin()

    def grid(
        self, num_frames: int, height: int, width: int, scale: Scale | None, device: torch.device
    ) -> torch.Tensor:
        """Coordinates of all tokens of a latent video, in units of `BASE_SIZE`.

        Args:
            num_frames, height, width: size in tokens.
            scale: seconds per latent frame, and pixels per latent row and column; `None` counts in
                tokens.

        Returns:
            `(1, num_frames * height * width, 3)` in float32.
        """
        axes = [
            torch.arange(length, dtype=torch.float32, device=device)
            for length in (num_frames, height, width)
        ]
        if scale is not None:
            axes = [
                axis * factor * patch / base
                for axis, factor, patch, base in zip(
                    axes, scale, self.patch_sizes, BASE_SIZE, strict=True
                )
            ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)
