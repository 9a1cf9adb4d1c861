"""The stepper of calls without conditions, for both families of models."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from filmstrip.pipeline.denoise import Step

# Takes latents, their prediction and the step. Returns the latents at the next noise level.
EulerStep = Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor]


@dataclass(frozen=True)
class EulerStepper:
    """Takes the scheduler's step with all latents."""

    euler_step: EulerStep

    def timesteps(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The timestep that the model gets: that of the step, `()`."""
        return step.timestep

    def renoise(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The latents, unchanged."""
        return latents

    def step(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The latents at the next noise level."""
        return self.euler_step(latents, prediction, step)
