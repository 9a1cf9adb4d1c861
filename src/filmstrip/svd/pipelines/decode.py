"""Decoding of latents to frames, in chunks."""

from typing import Any

import torch

from filmstrip.logging import get_logger

logger = get_logger(__name__)


def decode_latents(vae: Any, latents: torch.Tensor, decode_chunk_size: int) -> torch.Tensor:
    """Decode the UNet's latents to videos.

    If float16 overflows in the decoder, this chunk and all later ones are decoded in float32, with
    one warning.

    Args:
        vae: an `AutoencoderKLTemporalDecoder`.
        latents: `(B, T, C, h, w)`.
        decode_chunk_size: frames of a chunk, which are those of one video; they do not depend on
            the frames of other chunks.

    Returns:
        `(B, 3, T, H, W)` in [-1, 1], in float32.
    """
    compute_dtype = vae.dtype
    frames = []
    for video in latents:
        for chunk in video.split(decode_chunk_size):
            decoded = _decode(vae, chunk, compute_dtype)
            if compute_dtype == torch.float16 and _overflowed(decoded, chunk):
                logger.warning(
                    "The decoder overflows in float16; it continues in float32, with twice the "
                    "memory."
                )
                compute_dtype = torch.float32
                decoded = _decode(vae, chunk, compute_dtype)
            frames.append(decoded)
    return torch.cat(frames).unflatten(0, latents.shape[:2]).transpose(1, 2)


def _overflowed(decoded: torch.Tensor, latents: torch.Tensor) -> bool:
    """Whether finite latents gave frames that are not finite."""
    return bool(not decoded.isfinite().all() and latents.isfinite().all())


def _decode(vae: Any, latents: torch.Tensor, compute_dtype: torch.dtype) -> torch.Tensor:
    """The frames `(T, 3, H, W)`, in float32, of latents `(T, C, h, w)`."""
    scaled = (1 / vae.config.scaling_factor * latents).to(compute_dtype)
    frames: torch.Tensor = vae.decode(
        scaled, num_frames=latents.shape[0], compute_dtype=compute_dtype
    ).sample
    return frames.float()
