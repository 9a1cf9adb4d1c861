"""The loss of both autoencoders."""

from __future__ import annotations

import torch

OBJECT_WEIGHT = 6.0  # of pixels on the object in the reconstruction loss
KL_WEIGHT = 5e-4
STATISTICS_WEIGHT = 1e-2  # keeps the channels of the latents near mean 0 and deviation 1
QUIET_LOG_VARIANCE = -6.0  # at the start; at 0 the noise would swamp the latents
RAMP = 0.3  # fraction of the budget after which KL is at full weight


def autoencoder_loss(
    pixels: torch.Tensor,
    decoded: torch.Tensor,
    mean: torch.Tensor,
    log_variance: torch.Tensor,
    progress: torch.Tensor,
) -> torch.Tensor:
    """Reconstruction, KL and statistics of the latents.

    Args:
        pixels, decoded: (N, 3, ...). The corner pixel of `pixels` is background.
        mean, log_variance: of the latents, (N, C, ...).
        progress: fraction of the budget that is spent, a scalar.
    """
    weight = 1 + (OBJECT_WEIGHT - 1) * (pixels != pixels[..., :1, :1]).any(1, keepdim=True).float()
    error = decoded.float() - pixels
    reconstruction = (weight * (error.abs() + error.square())).mean() / weight.mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    deviation, centre = torch.std_mean(mean.transpose(0, 1).flatten(1), dim=1)
    statistics = (centre.square() + (deviation - 1).square()).mean()
    return (
        reconstruction
        + KL_WEIGHT * (progress / RAMP).clamp(max=1) * kl
        + STATISTICS_WEIGHT * statistics
    )
