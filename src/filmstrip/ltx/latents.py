"""Latent videos and the tokens that the transformer sees."""

from dataclasses import dataclass

import torch

from filmstrip.errors import InputError


@dataclass(frozen=True)
class LatentSize:
    """Size of a latent video, of which an element is a token."""

    frames: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        return self.frames * self.height * self.width


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents `(B, C, T, H, W)` to tokens `(B, T * H * W, C)`."""
    return latents.movedim(1, -1).flatten(1, 3)


def unpack(tokens: torch.Tensor, size: LatentSize) -> torch.Tensor:
    """Tokens to latents, the inverse of `pack`."""
    return tokens.unflatten(1, (size.frames, size.height, size.width)).movedim(-1, 1)


def normalize(
    latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, scaling_factor: float
) -> torch.Tensor:
    """From what the autoencoder gives to what the transformer sees, `(B, C, T, H, W)`; `mean` and
    `std` are `(C,)`.
    """
    mean, std = (statistic.view(1, -1, 1, 1, 1).to(latents) for statistic in (mean, std))
    return (latents - mean) * scaling_factor / std


def denormalize(
    latents: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, scaling_factor: float
) -> torch.Tensor:
    """The inverse of `normalize`."""
    mean, std = (statistic.view(1, -1, 1, 1, 1).to(latents) for statistic in (mean, std))
    return latents * std / scaling_factor + mean


def repeat_rows(rows: torch.Tensor, videos: int, what: str) -> torch.Tensor:
    """One row `(1, ...)`, or one for each prompt, as one for each video, `(videos, ...)`, in the
    order of the prompts.

    Refuses a number of rows that does not divide the number of videos.
    """
    if videos % rows.shape[0]:
        raise InputError(
            f"There are {rows.shape[0]} {what} for {videos} videos; give one, or one for each."
        )
    return (
        rows if rows.shape[0] == videos else rows.repeat_interleave(videos // rows.shape[0], dim=0)
    )


def positions(
    size: LatentSize,
    ratios: tuple[int, int],
    frame_rate: float,
    causal: bool,
    first_frame: int = 0,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Where each token is: second, pixel row and pixel column of its corner, `(1, 3, N)` in
    float32.

    Args:
        size: in tokens.
        ratios: frames and pixels per token.
        causal: let the first token in time stand for one frame, as the autoencoder does, and not
            for as the others (Lightricks/LTX-Video, `causal_temporal_positioning`).
        first_frame: of the video, at which these tokens begin.
    """
    temporal, spatial = ratios
    frames, rows, columns = (
        torch.arange(n, dtype=torch.float32, device=device)
        for n in (size.frames, size.height, size.width)
    )
    if causal:
        seconds = ((frames * temporal + 1 - temporal).clamp(min=0) + first_frame) * (
            1.0 / frame_rate
        )
    else:
        seconds = frames * (temporal / frame_rate) + first_frame / frame_rate
    grid = torch.meshgrid(seconds, rows * spatial, columns * spatial, indexing="ij")
    return torch.stack(grid).flatten(1).unsqueeze(0)


def adain(latents: torch.Tensor, reference: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """Give each channel of `(B, C, T, H, W)` the mean and deviation that it has in `reference`, by
    the share `factor`.

    Adaptive instance normalisation (Huang and Belongie, arXiv 1703.06868). The sizes may differ.
    """
    std, mean = torch.std_mean(latents, dim=(2, 3, 4), keepdim=True)
    wanted_std, wanted_mean = torch.std_mean(reference, dim=(2, 3, 4), keepdim=True)
    return torch.lerp(latents, (latents - mean) / std * wanted_std + wanted_mean, factor)


def tone_map(latents: torch.Tensor, compression: float) -> torch.Tensor:
    """Compress large values smoothly, by `compression` in [0, 1] (Lightricks/LTX-Video,
    `tone_map_latents`).
    """
    strength = 0.75 * compression
    return latents * (1 - 0.8 * strength * torch.sigmoid(4 * strength * (latents.abs() - 1)))
