"""Latent videos, the tokens of the transformer, and their statistics."""

from dataclasses import dataclass

import torch

from filmstrip.errors import InputError


@dataclass(frozen=True)
class LatentShape:
    """The shape of a latent video. One latent is one token."""

    num_frames: int
    height: int
    width: int

    @property
    def num_tokens(self) -> int:
        """The number of latents."""
        return self.num_frames * self.height * self.width


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents `(B, C, T, H, W)` to tokens `(B, T * H * W, C)`."""
    return latents.movedim(1, -1).flatten(1, 3)


def unpack(tokens: torch.Tensor, shape: LatentShape) -> torch.Tensor:
    """Tokens `(B, T * H * W, C)` to latents `(B, C, T, H, W)`: the inverse of `pack`."""
    return tokens.unflatten(1, (shape.num_frames, shape.height, shape.width)).movedim(-1, 1)


def normalize(
    latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, scaling_factor: float
) -> torch.Tensor:
    """Convert the autoencoder's latents to the transformer's.

    Args:
        latents: `(B, C, T, H, W)`.
        mean, std: of each channel, `(C,)`.
        scaling_factor: of the autoencoder's config.
    """
    mean = mean.view(1, -1, 1, 1, 1).to(latents)
    std = std.view(1, -1, 1, 1, 1).to(latents)
    return (latents - mean) * scaling_factor / std


def denormalize(
    latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, scaling_factor: float
) -> torch.Tensor:
    """Convert the transformer's latents to the autoencoder's: the inverse of `normalize`."""
    mean = mean.view(1, -1, 1, 1, 1).to(latents)
    std = std.view(1, -1, 1, 1, 1).to(latents)
    return latents * std / scaling_factor + mean


def expand_rows(rows: torch.Tensor, num_videos: int, name: str) -> torch.Tensor:
    """Repeat one row, or a row for each prompt, to a row for each video.

    The videos of a prompt are consecutive.

    Args:
        rows: `(R, ...)`.
        num_videos: a multiple of R.
        name: of the rows, for the error.

    Returns:
        `(num_videos, ...)`.

    Raises:
        InputError: R does not divide the number of videos.
    """
    num_rows = rows.shape[0]
    if num_videos % num_rows:
        raise InputError(
            f"There are {num_rows} {name} for {num_videos} videos; give one, or one for each."
        )
    if num_rows == num_videos:
        return rows
    return rows.repeat_interleave(num_videos // num_rows, dim=0)


def token_positions(
    shape: LatentShape,
    compression_ratios: tuple[int, int],
    frame_rate: float,
    causal: bool,
    first_frame: int = 0,
    device: torch.device | None = None,
) -> torch.Tensor:
    """The position of each token: second, pixel row and pixel column, `(1, 3, N)` in float32.

    Args:
        shape: of the latent video.
        compression_ratios: frames per token, and pixels of its height and width.
        frame_rate: frames per second.
        causal: the first latent frame is one frame of the video, as in the autoencoder, and not as
            many as the others (Lightricks/LTX-Video, `causal_temporal_positioning`).
        first_frame: the frame of the video at which these tokens begin.
    """
    temporal_ratio, spatial_ratio = compression_ratios
    frames = torch.arange(shape.num_frames, dtype=torch.float32, device=device)
    rows = torch.arange(shape.height, dtype=torch.float32, device=device)
    columns = torch.arange(shape.width, dtype=torch.float32, device=device)
    if causal:
        first_pixel_frames = (frames * temporal_ratio + 1 - temporal_ratio).clamp(min=0)
        seconds = (first_pixel_frames + first_frame) * (1.0 / frame_rate)
    else:
        seconds = frames * (temporal_ratio / frame_rate) + first_frame / frame_rate
    grid = torch.meshgrid(seconds, rows * spatial_ratio, columns * spatial_ratio, indexing="ij")
    return torch.stack(grid).flatten(1).unsqueeze(0)


def adain(latents: torch.Tensor, reference: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """Adaptive instance normalisation (Huang and Belongie, arXiv 1703.06868).

    Args:
        latents: `(B, C, T, H, W)`.
        reference: `(B, C, T', H', W')`, whose mean and deviation each channel gets.
        factor: weight of the result, 0 to 1; `latents` have the rest.

    Returns:
        `(B, C, T, H, W)`.
    """
    std, mean = torch.std_mean(latents, dim=(2, 3, 4), keepdim=True)
    reference_std, reference_mean = torch.std_mean(reference, dim=(2, 3, 4), keepdim=True)
    return torch.lerp(latents, (latents - mean) / std * reference_std + reference_mean, factor)


def tone_map(latents: torch.Tensor, compression: float) -> torch.Tensor:
    """Compress large values smoothly.

    Lightricks/LTX-Video, `tone_map_latents`.

    Args:
        latents: of any shape.
        compression: 0 to 1; 0 changes nothing.
    """
    strength = 0.75 * compression
    scale = 1 - 0.8 * strength * torch.sigmoid(4 * strength * (latents.abs() - 1))
    return latents * scale
