"""Tokens to pixels."""

from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import denormalize
from filmstrip.nn.noise import Generators, randn

PerVideo = float | list[float]


def decode_latents(
    vae: Any,
    latents: torch.Tensor,
    dtype: torch.dtype,
    decode_timestep: PerVideo,
    decode_noise_scale: PerVideo | None,
    generator: Generators,
) -> torch.Tensor:
    """Decode normalised latents `(B, C, t, h, w)` to a video `(B, 3, T, H, W)` in [-1, 1].

    A timestep-conditioned decoder gets its latents with a share `decode_noise_scale` of noise mixed in (by default as
    much as `decode_timestep` says), drawn from `generator` in `dtype`.
    """
    config = vae.config
    latents = denormalize(latents, vae.latents_mean, vae.latents_std, config.scaling_factor).to(dtype)
    timestep = None
    if config.timestep_conditioning:
        videos = latents.shape[0]
        noise = randn(latents.shape, generator, latents.device, dtype)
        timestep = per_video(decode_timestep, videos, "decode_timestep").to(latents)
        share = timestep
        if decode_noise_scale is not None:
            share = per_video(decode_noise_scale, videos, "decode_noise_scale").to(latents)
        share = share.view(-1, 1, 1, 1, 1)
        latents = (1 - share) * latents + share * noise
    video: torch.Tensor = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
    return video


def per_video(value: PerVideo, videos: int, name: str) -> torch.Tensor:
    """One number for each video, `(videos,)`: from one for all, from one for each prompt, or from one for each video.

    Raises:
        InputError: a list whose length does not divide the number of videos.
    """
    values = value if isinstance(value, list) else [value]
    if not values or videos % len(values):
        raise InputError(f"{name} has {len(values)} values for {videos} videos; give one, or one for each.")
    return torch.tensor(values).repeat_interleave(videos // len(values))
