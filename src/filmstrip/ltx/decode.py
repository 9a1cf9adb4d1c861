"""Latents to pixels."""

from dataclasses import dataclass
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.nn.noise import Generators, randn

PerVideo = float | list[float]


@dataclass(frozen=True)
class Decoding:
    """How latents become frames, and which frames."""

    timestep: PerVideo = 0.0  # in [0, 1], how noisy a timestep-conditioned decoder shall think its latents
    noise_scale: PerVideo | None = None  # how much noise is mixed in for it; by default as much as `timestep` says
    generator: Generators = None  # of that noise
    output_type: str = "pil"

    def per_video(self, videos: int) -> list[torch.Tensor]:
        """Timestep and noise scale, each `(videos,)`, from one for all, or a list for prompts or videos that fits."""
        scale = self.timestep if self.noise_scale is None else self.noise_scale
        found = []
        for name, value in (("decode_timestep", self.timestep), ("decode_noise_scale", scale)):
            values = value if isinstance(value, list) else [value]
            if not values or videos % len(values):
                raise InputError(f"{name} has {len(values)} values for {videos} videos; give one, or one for each.")
            found.append(torch.tensor(values).repeat_interleave(videos // len(values)))
        return found


def decode_latents(vae: Any, latents: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Decode the autoencoder's own latents `(B, C, t, h, w)` to a video `(B, 3, T, H, W)` in [-1, 1].

    A timestep-conditioned decoder gets noise mixed in, drawn in the dtype of the latents.
    """
    timestep = None
    if vae.config.timestep_conditioning:
        noise = randn(latents.shape, decoding.generator, latents.device, latents.dtype)
        timestep, scale = (values.to(latents) for values in decoding.per_video(len(latents)))
        share = scale.view(-1, 1, 1, 1, 1)
        latents = (1 - share) * latents + share * noise
    video: torch.Tensor = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
    return video
