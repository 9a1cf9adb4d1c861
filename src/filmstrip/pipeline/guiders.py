"""Guidance: which conditions a step asks the model about, and how the answers become one
prediction.

A guider is frozen and made anew for each step, since callbacks may change the guidance between
steps. The loop asks the model about `conditions`, one batch after the other in that order, and
hands the stacked answers to `combine`, which turns `(len(conditions) * B, ...)` into one `(B, ...)`
in float32. What a guider does not list is never computed.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

Branch: TypeAlias = Literal["negative", "positive", "perturbed"]


@dataclass(frozen=True, slots=True)
class ClassifierFreeGuidance:
    """Push the prediction away from the negative prompt. Ho & Salimans, "Classifier-Free Diffusion
    Guidance".

    In the form `negative + scale * (positive - negative)`, in which a scale of 1 or less is no
    guidance.
    """

    scale: float | torch.Tensor = (
        1.0  # a tensor has a scale for each part of the prediction, such as `linear_guidance` gives
    )
    rescale: float = 0.0  # share of `rescale_noise_cfg` in the result, 0 to 1

    @property
    def enabled(self) -> bool:
        """Whether the negative prompt has a say."""
        return (
            bool(self.scale.max() > 1) if isinstance(self.scale, torch.Tensor) else self.scale > 1
        )

    @property
    def conditions(self) -> tuple[Branch, ...]:
        return ("negative", "positive") if self.enabled else ("positive",)

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        prediction = prediction.float()
        if not self.enabled:
            return prediction
        negative, positive = prediction.chunk(2)
        scale = self.scale.to(prediction) if isinstance(self.scale, torch.Tensor) else self.scale
        guided = negative + scale * (positive - negative)
        return rescale_noise_cfg(guided, positive, self.rescale) if self.rescale > 0 else guided


@dataclass(frozen=True, slots=True)
class SpatioTemporalGuidance:
    """Push away from the negative prompt and from a prediction with parts of the model left out, at
    one step.

    Ho & Salimans, as above; Fan et al., "CFG-Zero*", arXiv 2503.18886; Hyung et al.,
    "Spatiotemporal Skip Guidance", arXiv 2411.18664; in the order of Lightricks/LTX-Video,
    `pipeline_ltx_video.py`.
    """

    scale: float = 1.0  # away from the negative prompt, above 1
    stg_scale: float = 0.0  # away from the perturbed prediction, above 0
    rescale: float = (
        1.0  # share of `rescale_noise_cfg` where `stg_scale` is above 0; 1 is none of it
    )
    cfg_zero_star: bool = (
        False  # scale the negative prediction to its part that is along the positive one
    )
    blocks: tuple[int, ...] = ()  # that are perturbed; none: nothing to push away from
    mode: str = "attention_values"  # how

    @property
    def conditions(self) -> tuple[Branch, ...]:
        negative: tuple[Branch, ...] = ("negative",) if self.scale > 1 else ()
        perturbed: tuple[Branch, ...] = ("perturbed",) if self.stg_scale > 0 and self.blocks else ()
        return (*negative, "positive", *perturbed)

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        asked = self.conditions
        answers = dict(zip(asked, prediction.float().chunk(len(asked)), strict=True))
        guided = positive = answers["positive"]
        if "negative" in answers:
            negative = answers["negative"]
            if self.cfg_zero_star:
                within = list(range(1, negative.ndim))
                along = (positive * negative).sum(within, keepdim=True)
                negative = negative * along / (negative.square().sum(within, keepdim=True) + 1e-8)
            guided = negative + self.scale * (positive - negative)
        if "perturbed" in answers:
            guided = guided + self.stg_scale * (positive - answers["perturbed"])
        return (
            guided
            if self.stg_scale <= 0 or self.rescale == 1
            else rescale_noise_cfg(guided, positive, self.rescale)
        )


Guider: TypeAlias = ClassifierFreeGuidance | SpatioTemporalGuidance


def linear_guidance(first: float, last: float, frames: int, videos: int) -> torch.Tensor:
    """Scales `(videos, frames, 1, 1, 1)` that go evenly from the first frame's to the last frame's.

    Guidance that grows with the distance from a given first frame: Blattmann et al., "Stable Video
    Diffusion".
    """
    return torch.linspace(first, last, frames).view(1, -1, 1, 1, 1).expand(videos, -1, -1, -1, -1)


def rescale_noise_cfg(guided: torch.Tensor, positive: torch.Tensor, share: float) -> torch.Tensor:
    """Mix `guided` with a copy that is scaled to the standard deviation of `positive`, sample by
    sample.

    Guidance inflates the deviation and overexposes. Lin et al., "Common Diffusion Noise Schedules
    and Sample Steps are Flawed", sec. 3.4. Predictions are `(B, ...)`, the share of the scaled copy
    is 0 to 1.
    """
    within = list(range(1, guided.ndim))
    deviation, inflated = (x.std(dim=within, keepdim=True) for x in (positive, guided))
    return share * (guided * (deviation / inflated)) + (1 - share) * guided
