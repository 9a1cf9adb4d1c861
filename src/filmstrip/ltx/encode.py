"""Pixels to the latents that the transformer sees."""

from typing import Any

import torch

from filmstrip.ltx.latents import normalize, repeat_rows
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.noise import Generators


def encode_pixels(vae: Any, pixels: torch.Tensor, generator: Generators) -> torch.Tensor:
    """Encode `(B, 3, T, H, W)` in [-1, 1] and draw latents `(B, C, t, h, w)` in float32, normalised.

    Several generators draw a row each from one video, so that each of them draws what it would alone. As in diffusers,
    the latents are not multiplied by the autoencoder's scaling factor, which is 1 in all published checkpoints.
    """
    posterior = vae.encode(pixels.to(vae.device, vae.dtype), return_dict=False)[0]
    if isinstance(generator, list):
        rows = repeat_rows(posterior.parameters, max(len(generator), len(pixels)), "videos to encode")
        posterior = DiagonalGaussianDistribution(rows)
    return normalize(posterior.sample(generator).float(), vae.latents_mean, vae.latents_std, 1.0)


def encode_videos(vae: Any, pixels: torch.Tensor, generator: Generators, videos: int) -> torch.Tensor:
    """Encode `(R, 3, T, H, W)` row by row, each with its own draw, to a row for each video, `(videos, C, t, h, w)`."""
    generators = generator if isinstance(generator, list) else [generator]
    if len(generators) > 1:
        pixels = repeat_rows(pixels, videos, "pictures")
    rows = [encode_pixels(vae, row, generators[i % len(generators)]) for i, row in enumerate(pixels.split(1))]
    return repeat_rows(torch.cat(rows), videos, "pictures")
