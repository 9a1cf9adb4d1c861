"""Steppers of LTX with a fixed first frame, or a conditioning strength for each token.

A stepper also has the timestep of each token for the model. Calls without conditions use
`filmstrip.pipeline.steppers.EulerStepper`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from filmstrip.ltx.latents import LatentShape, pack, unpack
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.steppers import EulerStep

# An `EulerStep` that also takes the timestep of each token before the step, `(1 or B, 1 or N)`.
TokenEulerStep = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Step], torch.Tensor]

TOLERANCE = 1e-6  # strengths and noise levels that differ by less are the same


class TokenStepper(Protocol):
    """A `Stepper` of tokens `(B, N, C)`."""

    def timesteps(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The timesteps that the model gets: one `()` for all tokens, or `(1 or B, 1 or N)`."""
        ...

    def renoise(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens that the model gets at this step."""
        ...

    def step(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens at the next noise level."""
        ...


@dataclass(frozen=True)
class FirstFrameStepper:
    """Keeps the first latent frame, at timestep 0; the others take the scheduler's step."""

    euler_step: EulerStep  # of latents (B, C, T - 1, H, W), in which a stochastic scheduler draws
    shape: LatentShape

    def timesteps(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """0 for the tokens of the first frame and the step's timestep for the others, `(1, N)`."""
        timesteps = step.timestep.repeat(1, latents.shape[1])
        timesteps[:, : self.shape.height * self.shape.width] = 0
        return timesteps

    def renoise(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens, unchanged."""
        return latents

    def step(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens at the next noise level, those of the first frame unchanged."""
        video = unpack(latents, self.shape)
        velocity = unpack(prediction, self.shape)
        stepped = self.euler_step(video[:, :, 1:], velocity[:, :, 1:], step)
        return pack(torch.cat([video[:, :, :1], stepped], dim=2))


@dataclass(frozen=True)
class MaskedStepper:
    """Denoises each token from the noise level `1 - strength` on, by its conditioning strength.

    Fully conditioned tokens get new noise before each step, less towards the end, for livelier
    motion from a still picture (Lightricks/LTX-Video, `add_noise_to_image_conditioning_latents`).
    """

    euler_step: TokenEulerStep
    conditioned: torch.Tensor  # the tokens before the first step, (B, N, C)
    strength: torch.Tensor  # (B, N), 0 to 1; or (1, 1), the same for all
    noise_scale: float  # of the new noise at timestep 1000; 0 draws none
    generator: Generators  # of the new noise

    def timesteps(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The step's timestep, or that of the token's strength if it is lower."""
        return torch.minimum(step.timestep, (1 - self.strength) * 1000)

    def renoise(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens, of which the fully conditioned ones get new noise from the generator."""
        if self.noise_scale <= 0:
            return latents
        noise = randn(latents.shape, self.generator, latents.device, latents.dtype)
        noisy = self.conditioned + self.noise_scale * noise * (step.timestep / 1000) ** 2
        is_fixed = self.strength > 1 - TOLERANCE
        return torch.where(is_fixed.unsqueeze(-1), noisy, latents)

    def step(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens at the next noise level; those not yet denoised are unchanged."""
        stepped = self.euler_step(latents, prediction, self.timesteps(latents, step), step)
        is_denoised = step.timestep / 1000 - TOLERANCE < 1 - self.strength
        return torch.where(is_denoised.unsqueeze(-1), stepped, latents)
