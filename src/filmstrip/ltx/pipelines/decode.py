"""Decoding of latents to pixels."""

from dataclasses import dataclass
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import denormalize, tone_map
from filmstrip.nn.noise import Generators, randn

PerVideo = float | list[float]


@dataclass(frozen=True)
class DecodeOptions:
    """The arguments of diffusers' calls that decide how latents are decoded."""

    timestep: PerVideo = 0.0  # the noise level for a timestep-conditioned decoder, 0 to 1
    noise_scale: PerVideo | None = None  # weight of the noise mixed in; None for `timestep`
    generator: Generators = None  # of that noise
    output_type: str = "pil"

    def timesteps(self, num_videos: int) -> torch.Tensor:
        """The decoder's timestep of each video, `(num_videos,)`.

        Raises:
            InputError: a list whose length does not divide the number of videos.
        """
        return _per_video(self.timestep, "decode_timestep", num_videos)

    def noise_scales(self, num_videos: int) -> torch.Tensor:
        """The weight of the noise in each video, `(num_videos,)`.

        Raises:
            InputError: a list whose length does not divide the number of videos.
        """
        scale = self.timestep if self.noise_scale is None else self.noise_scale
        return _per_video(scale, "decode_noise_scale", num_videos)


@dataclass(frozen=True)
class DecodeRecipe:
    """How the authors' pipeline decodes latents (Lightricks/LTX-Video)."""

    timestep: float = 0.05  # the noise level for a timestep-conditioned decoder, 0 to 1
    noise_scale: float = 0.025  # weight of the noise mixed into normalised latents
    tone_map: float = 0.0  # compression of large latents, 0 to 1


def decode_latents(vae: Any, latents: torch.Tensor, options: DecodeOptions) -> torch.Tensor:
    """Decode the autoencoder's latents, as diffusers does.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        latents: `(B, C, t, h, w)`, not normalised; the noise for a timestep-conditioned decoder is
            drawn in their dtype.

    Returns:
        A video `(B, 3, T, H, W)` in [-1, 1].
    """
    timestep = None
    if vae.config.timestep_conditioning:
        num_videos = len(latents)
        timestep = options.timesteps(num_videos).to(latents)
        noise = randn(latents.shape, options.generator, latents.device, latents.dtype)
        weight = options.noise_scales(num_videos).to(latents).view(-1, 1, 1, 1, 1)
        latents = (1 - weight) * latents + weight * noise
    return _decode(vae, latents, timestep)


def decode_by_recipe(vae: Any, latents: torch.Tensor, recipe: DecodeRecipe) -> torch.Tensor:
    """Decode normalised latents, as the authors do.

    Noise from the global generator goes into the normalised latents, and tone mapping comes after
    it (Lightricks/LTX-Video, `pipeline_ltx_video.py` and `vae_decode`).

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        latents: normalised, `(B, C, t, h, w)`.

    Returns:
        A video `(B, 3, T, H, W)` in float32, in [-1, 1].
    """
    timestep = None
    if vae.config.timestep_conditioning:
        # The authors' noise is drawn in the order of this memory format.
        latents = latents.contiguous(memory_format=torch.channels_last_3d)
        latents = torch.lerp(latents, torch.randn_like(latents), recipe.noise_scale)
        timestep = latents.new_full(latents.shape[:1], recipe.timestep)
    latents = tone_map(latents, recipe.tone_map)
    latents = denormalize(latents, vae.latents_mean, vae.latents_std, 1.0)
    return _decode(vae, latents, timestep).float().clamp(-1, 1)


def _decode(vae: Any, latents: torch.Tensor, timestep: torch.Tensor | None) -> torch.Tensor:
    video: torch.Tensor = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
    return video


def _per_video(value: PerVideo, name: str, num_videos: int) -> torch.Tensor:
    values = value if isinstance(value, list) else [value]
    if not values or num_videos % len(values):
        raise InputError(
            f"{name} has {len(values)} values for {num_videos} videos; give one, or one for each."
        )
    return torch.tensor(values).repeat_interleave(num_videos // len(values))
