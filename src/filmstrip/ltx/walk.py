"""What a step of the walk means for tokens: what the model sees of them, and how they advance."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from filmstrip.ltx.latents import LatentSize, pack, unpack
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline.denoise import Step

Advance = Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor]

EPS = 1e-6  # strengths and noise levels this close are the same


@dataclass(frozen=True)
class FreeTokens:
    """All tokens walk alike, by the scheduler's step."""

    advance: Advance  # from tokens (B, N, C), their velocity and the step, to the tokens of the next one

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that the model is asked about, and what it is told: a timestep `()`, or `(1 or B, 1 or N)`."""
        return latents, step.timestep


@dataclass(frozen=True)
class FirstFrameHeld:
    """The tokens of the first latent frame stay as they are, at timestep 0; the others walk by the scheduler's step."""

    advance_video: Advance  # of latents (B, C, T - 1, H, W): the layout in which a stochastic scheduler draws
    size: LatentSize

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        timesteps = step.timestep.repeat(1, latents.shape[1])
        timesteps[:, : self.size.height * self.size.width] = 0
        return latents, timesteps

    def advance(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        videos, velocity = (unpack(tokens, self.size) for tokens in (latents, prediction))
        walked = self.advance_video(videos[:, :, 1:], velocity[:, :, 1:], step)
        return pack(torch.cat([videos[:, :, :1], walked], dim=2))


@dataclass(eq=False)
class ConditionedTokens:
    """Each token is held by a strength, 0 to 1: it joins the walk where the noise has fallen to 1 - strength.

    Tokens that are wholly held get new noise before each step, the less the nearer the end, so that what moves out
    of a still picture is not stiff (Lightricks/LTX-Video, `add_noise_to_image_conditioning_latents`).
    """

    # From tokens, their velocity and timesteps (1 or B, 1 or N), and the step, to the tokens of the next one.
    advance_each: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Step], torch.Tensor]
    start: torch.Tensor  # the tokens that the walk starts from, (B, N, C)
    strength: torch.Tensor  # (B, N); or (1, 1), the same for all
    noise_scale: float  # of the noise at timestep 1000; 0 draws none
    generator: Generators  # of that noise
    _drawn: tuple[Step, torch.Tensor] | None = field(default=None, init=False)

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        return self._renoised(latents, step), self._timesteps(step)

    def advance(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        latents = self._renoised(latents, step)
        walked = self.advance_each(latents, prediction, self._timesteps(step), step)
        walks = step.timestep / 1000 - EPS < 1 - self.strength
        return torch.where(walks.unsqueeze(-1), walked, latents)

    def _timesteps(self, step: Step) -> torch.Tensor:
        return torch.minimum(step.timestep, (1 - self.strength) * 1000)

    def _renoised(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens with this step's noise on the held ones; it is drawn once for a step."""
        if self.noise_scale <= 0:
            return latents
        if self._drawn is None or self._drawn[0] is not step:
            self._drawn = step, randn(latents.shape, self.generator, latents.device, latents.dtype)
        noisy = self.start + self.noise_scale * self._drawn[1] * (step.timestep / 1000) ** 2
        return torch.where((self.strength > 1 - EPS).unsqueeze(-1), noisy, latents)


Walk = FreeTokens | FirstFrameHeld | ConditionedTokens
