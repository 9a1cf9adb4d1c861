"""Guidance: which conditions a step asks the model about, and how the answers become one prediction.

A guider is frozen and made anew for each step, since callbacks may change the guidance between steps. The loop
asks the model about `conditions`, one batch after the other in that order, and hands the stacked answers to
`combine`. What a guider does not list is never computed.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch

Condition: TypeAlias = Literal["negative", "positive", "perturbed"]


class Guider(Protocol):
    """What the denoising loop needs of a guider."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What to ask the model about at this step."""
        ...

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        """Turn `(len(conditions) * B, ...)`, grouped by condition, into one `(B, ...)` in float32."""
        ...


@dataclass(frozen=True, slots=True)
class ClassifierFreeGuidance:
    """Push the prediction away from the negative prompt. Ho & Salimans, "Classifier-Free Diffusion Guidance".

    In the form `negative + scale * (positive - negative)`, in which a scale of 1 or less is no guidance.
    """

    scale: float | torch.Tensor = 1.0  # a tensor has a scale for each part of the prediction, such as `ramp` gives
    rescale: float = 0.0  # share of `match_deviation` in the result, 0 to 1

    @property
    def enabled(self) -> bool:
        """Whether the negative prompt has a say."""
        return bool(self.scale.max() > 1) if isinstance(self.scale, torch.Tensor) else self.scale > 1

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return ("negative", "positive") if self.enabled else ("positive",)

    def combine(self, prediction: torch.Tensor) -> torch.Tensor:
        prediction = prediction.float()
        if not self.enabled:
            return prediction
        negative, positive = prediction.chunk(2)
        scale = self.scale.to(prediction) if isinstance(self.scale, torch.Tensor) else self.scale
        guided = negative + scale * (positive - negative)
        return match_deviation(guided, positive, self.rescale) if self.rescale > 0 else guided


def ramp(first: float, last: float, frames: int, videos: int) -> torch.Tensor:
    """Scales `(videos, frames, 1, 1, 1)` that go evenly from the first frame's to the last frame's.

    Guidance that grows with the distance from a given first frame: Blattmann et al., "Stable Video Diffusion".
    """
    return torch.linspace(first, last, frames).view(1, -1, 1, 1, 1).expand(videos, -1, -1, -1, -1)


def match_deviation(guided: torch.Tensor, positive: torch.Tensor, share: float) -> torch.Tensor:
    """Mix `guided` with a copy that is scaled to the standard deviation of `positive`, sample by sample.

    Guidance inflates the deviation and overexposes. Lin et al., "Common Diffusion Noise Schedules and Sample
    Steps are Flawed", sec. 3.4.

    Args:
        guided, positive: `(B, ...)`.
        share: the share of the scaled copy, 0 to 1.
    """
    within = list(range(1, guided.ndim))
    deviation, inflated = (x.std(dim=within, keepdim=True) for x in (positive, guided))
    return share * (guided * (deviation / inflated)) + (1 - share) * guided
