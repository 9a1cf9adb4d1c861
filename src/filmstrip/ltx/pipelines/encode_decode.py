"""Texts and pixels to what the transformer sees, and the autoencoder's own latents to pixels."""

from dataclasses import dataclass
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import normalize, repeat_rows
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.noise import Generators, randn

logger = get_logger(__name__)

PerVideo = float | list[float]


def encode_t5(
    text_encoder: Any,
    tokenizer: Any,
    prompts: list[str],
    max_sequence_length: int,
    device: torch.device,
    masked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed prompts with T5, padded to `max_sequence_length` tokens, or cut with a warning that
    names what was cut.

    Returns embeddings `(B, L, C)` and their boolean mask `(B, L)`. If `masked`, the padding is
    hidden from the encoder.
    """
    tokens = tokenizer(
        prompts,
        padding="max_length",
        max_length=max_sequence_length,
        truncation=True,
        return_tensors="pt",
    )
    for prompt, ids in zip(prompts, tokenizer(prompts, verbose=False).input_ids, strict=True):
        if len(ids) > max_sequence_length:
            cut = tokenizer.decode(
                ids[max_sequence_length - 1 : -1]
            )  # the last token that is kept is the end mark
            message = (
                "The prompt %r... has %d tokens, and max_sequence_length is %d: "
                "this part was cut: %r"
            )
            logger.warning(message, prompt[:40], len(ids), max_sequence_length, cut)
    mask = tokens.attention_mask.bool().to(device)
    embeds = text_encoder(tokens.input_ids.to(device), attention_mask=mask if masked else None)[0]
    return embeds.to(device), mask


def encode_pixels(vae: Any, pixels: torch.Tensor, generator: Generators) -> torch.Tensor:
    """Encode `(B, 3, T, H, W)` in [-1, 1] and draw latents `(B, C, t, h, w)` in float32,
    normalised.

    Several generators draw a row each from one video, so that each of them draws what it would
    alone. As in diffusers, the latents are not multiplied by the autoencoder's scaling factor,
    which is 1 in all published checkpoints.
    """
    posterior = vae.encode(pixels.to(vae.device, vae.dtype), return_dict=False)[0]
    if isinstance(generator, list):
        rows = repeat_rows(
            posterior.parameters, max(len(generator), len(pixels)), "videos to encode"
        )
        posterior = DiagonalGaussianDistribution(rows)
    return normalize(posterior.sample(generator).float(), vae.latents_mean, vae.latents_std, 1.0)


def encode_videos(
    vae: Any, pixels: torch.Tensor, generator: Generators, videos: int
) -> torch.Tensor:
    """Encode `(R, 3, T, H, W)` row by row, each with its own draw, to a row for each video,
    `(videos, C, t, h, w)`.
    """
    generators = generator if isinstance(generator, list) else [generator]
    if len(generators) > 1:
        pixels = repeat_rows(pixels, videos, "pictures")
    rows = [
        encode_pixels(vae, row, generators[i % len(generators)])
        for i, row in enumerate(pixels.split(1))
    ]
    return repeat_rows(torch.cat(rows), videos, "pictures")


@dataclass(frozen=True)
class Decoding:
    """How latents become frames, and which frames."""

    timestep: PerVideo = (
        0.0  # in [0, 1], how noisy a timestep-conditioned decoder shall think its latents
    )
    noise_scale: PerVideo | None = (
        None  # how much noise is mixed in for it; by default as much as `timestep` says
    )
    generator: Generators = None  # of that noise
    output_type: str = "pil"

    def per_video(self, videos: int) -> list[torch.Tensor]:
        """Timestep and noise scale, each `(videos,)`, from one for all, or a list for prompts or
        videos that fits.
        """
        scale = self.timestep if self.noise_scale is None else self.noise_scale
        found = []
        for name, value in (("decode_timestep", self.timestep), ("decode_noise_scale", scale)):
            values = value if isinstance(value, list) else [value]
            if not values or videos % len(values):
                raise InputError(
                    f"{name} has {len(values)} values for {videos} videos; give one, or one for "
                    "each."
                )
            found.append(torch.tensor(values).repeat_interleave(videos // len(values)))
        return found


def decode_latents(vae: Any, latents: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Decode the autoencoder's own latents `(B, C, t, h, w)` to a video `(B, 3, T, H, W)` in [-1,
    1].

    A timestep-conditioned decoder gets noise mixed in, drawn in the dtype of the latents.
    """
    timestep = None
    if vae.config.timestep_conditioning:
        noise = randn(latents.shape, decoding.generator, latents.device, latents.dtype)
        timestep, scale = (values.to(latents) for values in decoding.per_video(len(latents)))
        share = scale.view(-1, 1, 1, 1, 1)
        latents = (1 - share) * latents + share * noise
    return vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
