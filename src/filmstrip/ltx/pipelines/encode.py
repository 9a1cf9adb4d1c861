"""Encoding of pixels to the latents of the transformer."""

from typing import Any

import torch

from filmstrip.ltx.latents import expand_rows, normalize
from filmstrip.ltx.size_grid import PUBLISHED_GRID
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.noise import Generators


def compression_ratios(vae: Any) -> tuple[int, int]:
    """Frames of a latent, and pixels of its height and width.

    Args:
        vae: an `AutoencoderKLLTXVideo`; `None` gives the ratios of the published checkpoints.
    """
    if vae is None:
        return PUBLISHED_GRID.frame_stride, PUBLISHED_GRID.size_multiple
    return vae.temporal_compression_ratio, vae.spatial_compression_ratio


def encode_pixels(
    vae: Any, pixels: torch.Tensor, generator: Generators, device: torch.device
) -> torch.Tensor:
    """Encode pixels and draw normalised latents.

    Each generator of a list draws one row, so that it draws the same as in a single run. As in
    diffusers, the latents are not multiplied by the autoencoder's scaling factor, which is 1 in all
    published checkpoints.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        pixels: `(B, 3, T, H, W)` in [-1, 1].
        generator: of the draw from the posterior.
        device: to compute on.

    Returns:
        `(B, C, t, h, w)` in float32; a list of generators gives at least one row for each.
    """
    posterior = vae.encode(pixels.to(device, vae.dtype), return_dict=False)[0]
    if isinstance(generator, list):
        num_rows = max(len(generator), len(pixels))
        parameters = expand_rows(posterior.parameters, num_rows, "videos to encode")
        posterior = DiagonalGaussianDistribution(parameters)
    latents = posterior.sample(generator).float()
    return normalize(latents, vae.latents_mean, vae.latents_std, 1.0)


def encode_each(
    vae: Any,
    pixels: torch.Tensor,
    generator: Generators,
    num_videos: int,
    device: torch.device,
) -> torch.Tensor:
    """Encode pictures or clips one by one, each with a separate draw.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        pixels: `(R, 3, T, H, W)` in [-1, 1]; R divides the number of videos.
        generator: one for all, in order, or a list with one for each video.
        num_videos: rows of the result.
        device: to compute on.

    Returns:
        Normalised latents, a row for each video, `(num_videos, C, t, h, w)` in float32.
    """
    generators = generator if isinstance(generator, list) else [generator]
    if len(generators) > 1:
        pixels = expand_rows(pixels, num_videos, "pictures")
    latents = [
        encode_pixels(vae, row, generators[index % len(generators)], device)
        for index, row in enumerate(pixels.split(1))
    ]
    return expand_rows(torch.cat(latents), num_videos, "pictures")
