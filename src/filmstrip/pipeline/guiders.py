"""Guidance: which predictions a step needs, and how they are combined.

A guider is frozen, and each step has a new one, since callbacks may change the guidance between
steps. Its `branches` name the predictions that it needs, in order. `combine` takes them stacked
along the batch, `(len(branches) * B, ...)`, and returns one, `(B, ...)`, in float32. A branch that
a guider does not name is not computed.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

Branch: TypeAlias = Literal["negative", "positive", "perturbed"]


@dataclass(frozen=True, slots=True)
class ClassifierFreeGuidance:
    """Classifier-free guidance. Ho & Salimans, "Classifier-Free Diffusion Guidance".

    `negative + scale * (positive - negative)`; a scale of 1 or less is no guidance.
    """

    scale: float | torch.Tensor = 1.0  # a tensor broadcasts to the prediction: `linear_guidance`
    rescale: float = 0.0  # weight of `rescale_noise_cfg`, 0 to 1

    @property
    def enabled(self) -> bool:
        """Whether the negative branch is needed."""
        if isinstance(self.scale, torch.Tensor):
            return bool(self.scale.max() > 1)
        return self.scale > 1

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The predictions that `combine` needs, in order."""
        return ("negative", "positive") if self.enabled else ("positive",)

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        """`(len(branches) * B, ...)` to `(B, ...)`, in float32."""
        prediction = prediction.float()
        if not self.enabled:
            return prediction
        negative, positive = prediction.chunk(2)
        scale = self.scale
        if isinstance(scale, torch.Tensor):
            scale = scale.to(prediction)
        guided = negative + scale * (positive - negative)
        if self.rescale > 0:
            return rescale_noise_cfg(guided, positive, self.rescale)
        return guided


@dataclass(frozen=True, slots=True)
class SpatioTemporalGuidance:
    """Classifier-free guidance, CFG-Zero* and spatio-temporal guidance (STG) at one step.

    Ho & Salimans, as above; Fan et al., "CFG-Zero*", arXiv 2503.18886; Hyung et al.,
    "Spatiotemporal Skip Guidance", arXiv 2411.18664; in the order of Lightricks/LTX-Video,
    `pipeline_ltx_video.py`.
    """

    scale: float = 1.0  # of classifier-free guidance; 1 or less switches it off
    stg_scale: float = 0.0  # of STG; 0 or less switches it off
    rescale: float = 1.0  # weight of `rescale_noise_cfg` where STG is on; 1 switches it off
    cfg_zero_star: bool = False  # project the negative prediction onto the positive one
    blocks: tuple[int, ...] = ()  # indices of the transformer blocks that are perturbed
    mode: str = "attention_values"  # what is skipped in them, one of `PERTURBATIONS`

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The predictions that `combine` needs, in order."""
        branches: list[Branch] = ["positive"]
        if self.scale > 1:
            branches.insert(0, "negative")
        if self.stg_scale > 0 and self.blocks:
            branches.append("perturbed")
        return tuple(branches)

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        """`(len(branches) * B, ...)` to `(B, ...)`, in float32."""
        branches = self.branches
        chunks = prediction.float().chunk(len(branches))
        predictions = dict(zip(branches, chunks, strict=True))
        positive = predictions["positive"]
        guided = positive
        if "negative" in predictions:
            negative = predictions["negative"]
            if self.cfg_zero_star:
                negative = _project(negative, positive)
            guided = negative + self.scale * (positive - negative)
        if "perturbed" in predictions:
            guided = guided + self.stg_scale * (positive - predictions["perturbed"])
        if self.stg_scale > 0 and self.rescale != 1:
            return rescale_noise_cfg(guided, positive, self.rescale)
        return guided


Guider: TypeAlias = ClassifierFreeGuidance | SpatioTemporalGuidance


def linear_guidance(first: float, last: float, num_frames: int, num_videos: int) -> torch.Tensor:
    """Guidance scales that change linearly from the first frame to the last.

    Blattmann et al., "Stable Video Diffusion", arXiv 2311.15127.

    Args:
        first, last: scales of the first and the last frame.

    Returns:
        `(num_videos, num_frames, 1, 1, 1)`.
    """
    scales = torch.linspace(first, last, num_frames).view(1, -1, 1, 1, 1)
    return scales.expand(num_videos, -1, -1, -1, -1)


def rescale_noise_cfg(guided: torch.Tensor, positive: torch.Tensor, weight: float) -> torch.Tensor:
    """Scale each guided prediction to the standard deviation of the positive prediction.

    Guidance raises the deviation, which overexposes. Lin et al., "Common Diffusion Noise
    Schedules and Sample Steps are Flawed", arXiv 2305.08891, section 3.4.

    Args:
        guided, positive: `(B, ...)`.
        weight: of the scaled prediction, 0 to 1; `guided` itself has the rest.

    Returns:
        `(B, ...)`.
    """
    sample_dims = list(range(1, guided.ndim))
    deviation = positive.std(dim=sample_dims, keepdim=True)
    guided_deviation = guided.std(dim=sample_dims, keepdim=True)
    return weight * (guided * (deviation / guided_deviation)) + (1 - weight) * guided


def _project(negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """The negative prediction times the optimal scale of CFG-Zero* (arXiv 2503.18886, eq. 9)."""
    sample_dims = list(range(1, negative.ndim))
    product = (positive * negative).sum(sample_dims, keepdim=True)
    return negative * product / (negative.square().sum(sample_dims, keepdim=True) + 1e-8)
