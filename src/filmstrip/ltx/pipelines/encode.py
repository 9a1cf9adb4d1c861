"""Pixels to the latents that the transformer sees."""

from typing import Any

import torch

from filmstrip.ltx.latents import expand_rows, normalize
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.noise import Generators


def encode_pixels(
    vae: Any, pixels: torch.Tensor, generator: Generators, device: torch.device
) -> torch.Tensor:
    """Encode pixels and draw normalised latents.

    Several generators draw a row each from one video, so that each draws what it would alone. As
    in diffusers, the latents are not multiplied by the autoencoder's scaling factor, which is 1 in
    all published checkpoints.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        pixels: `(B, 3, T, H, W)` in [-1, 1].
        generator: of the draw from the posterior.
        device: to compute on.

    Returns:
        `(B, C, t, h, w)` in float32; with a list of generators at least a row for each.
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
    """Encode pictures or clips one by one, each with a draw of its own.

    Args:
        pixels: `(R, 3, T, H, W)` in [-1, 1]; R divides the number of videos.
        generator: one for all, in order, or a list with one for each video.

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
