"""Latents to frames, a few at a time."""

from typing import Any

import torch

from filmstrip.logging import get_logger

logger = get_logger(__name__)


def decode_latents(vae: Any, latents: torch.Tensor, decode_chunk_size: int) -> torch.Tensor:
    """Decode latents `(B, T, C, h, w)`, as the UNet has them, to videos `(B, 3, T, H, W)` in [-1,
    1], in float32.

    As many frames at a time as `decode_chunk_size` says, never of two videos; they see no frames
    beyond. Where float16 overflows in the decoder, the rest is decoded in float32, with one
    warning.
    """
    dtype = vae.dtype
    frames = []
    try:
        for chunk in (chunk for video in latents for chunk in video.split(decode_chunk_size)):
            decoded = _decode(vae, chunk)
            if (
                vae.dtype == torch.float16
                and not decoded.isfinite().all()
                and chunk.isfinite().all()
            ):
                logger.warning(
                    "The decoder overflows in float16; it goes on in float32, with twice the "
                    "memory."
                )
                vae.to(dtype=torch.float32)
                decoded = _decode(vae, chunk)
            frames.append(decoded)
    finally:
        if vae.dtype != dtype:
            vae.to(dtype=dtype)
    return torch.cat(frames).unflatten(0, latents.shape[:2]).transpose(1, 2)


def _decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The frames `(T, 3, H, W)`, in float32, of latents `(T, C, h, w)`."""
    scaled = (1 / vae.config.scaling_factor * latents).to(vae.dtype)
    frames: torch.Tensor = vae.decode(scaled, num_frames=latents.shape[0]).sample
    return frames.float()
