"""How latents go from one noise level to the next, for both families."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from filmstrip.pipeline.denoise import Step

# From latents, their prediction and the step, to the latents at the next noise level.
EulerStep = Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor]


@dataclass(frozen=True)
class EulerStepper:
    """All latents take the scheduler's step."""

    euler_step: EulerStep

    def timesteps(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """What the model is told: the step's timestep, `()`."""
        return step.timestep

    def renoise(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The latents as they are."""
        return latents

    def step(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The latents at the next noise level."""
        return self.euler_step(latents, prediction, step)
