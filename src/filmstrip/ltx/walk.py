"""What a step of the walk means for tokens: what the model sees of them, and how they advance."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from filmstrip.ltx.latents import LatentSize, pack, unpack
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline.denoise import Step

Advance = Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor]

EPS = 1e-6  # strengths and noise levels this close are the same


class Walk(Protocol):
    """How tokens `(B, N, C)` walk."""

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that the model is asked about, and what it is told: a timestep `()`, or `(1 or B, 1 or N)`."""
        ...

    def advance(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens of the next step."""
        ...


class FreeTokens:
    """All tokens walk alike, by the scheduler's step."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        return latents, step.timestep


class FirstFrameHeld:
    """The tokens of the first latent frame stay as they are, at timestep 0; the others walk by the scheduler's step.

    Args:
        advance: the scheduler's step, for latents `(B, C, T - 1, H, W)`.
        size: of the latents; a token is one element.
    """

    def __init__(self, advance: Advance, size: LatentSize) -> None:
        self._advance, self.held = advance, size.height * size.width
        self.rest = LatentSize(size.frames - 1, size.height, size.width)

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        timesteps = step.timestep.repeat(1, latents.shape[1])
        timesteps[:, : self.held] = 0
        return latents, timesteps

    def advance(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        # As a latent video, for the layout in which a stochastic scheduler draws.
        walking, change = (unpack(tokens[:, self.held :], self.rest) for tokens in (latents, prediction))
        return torch.cat([latents[:, : self.held], pack(self._advance(walking, change, step))], dim=1)


class ConditionedTokens:
    """Each token is held by a strength, 0 to 1: it joins the walk where the noise has fallen to 1 - strength.

    Tokens that are wholly held get new noise before each step, the less the nearer the end, so that what moves out
    of a still picture is not stiff (Lightricks/LTX-Video, `add_noise_to_image_conditioning_latents`).

    Args:
        scheduler: its step takes timesteps for each token.
        start: the tokens that the walk starts from, `(B, N, C)`.
        strength: `(B, N)`; or `(1, 1)`, the same for all.
        noise_scale: of the noise at timestep 1; 0 draws none.
        generator: of that noise.
    """

    def __init__(
        self, scheduler: Any, start: torch.Tensor, strength: torch.Tensor, noise_scale: float, generator: Generators
    ) -> None:
        self.scheduler, self.start, self.strength = scheduler, start, strength
        self.noise_scale, self.generator = noise_scale, generator
        self._noise: torch.Tensor | None = None
        self._noise_of: Step | None = None

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        return self._renoised(latents, step), self._timesteps(step)

    def advance(self, latents: torch.Tensor, prediction: torch.Tensor, step: Step) -> torch.Tensor:
        latents = self._renoised(latents, step)
        # With a timestep for each token, the scheduler counts the velocity from noise to data.
        walked = self.scheduler.step(
            -prediction, step.timestep, latents, per_token_timesteps=self._timesteps(step), return_dict=False
        )[0]
        walks = step.timestep / 1000 - EPS < 1 - self.strength
        return torch.where(walks.unsqueeze(-1), walked, latents)

    def _timesteps(self, step: Step) -> torch.Tensor:
        return torch.minimum(step.timestep, (1 - self.strength) * 1000)

    def _renoised(self, latents: torch.Tensor, step: Step) -> torch.Tensor:
        """The tokens with this step's noise on the held ones; it is drawn once for a step."""
        if self.noise_scale <= 0:
            return latents
        if self._noise is None or self._noise_of is not step:
            self._noise = randn(latents.shape, self.generator, latents.device, latents.dtype)
            self._noise_of = step
        noisy = self.start + self.noise_scale * self._noise * (step.timestep / 1000) ** 2
        return torch.where((self.strength > 1 - EPS).unsqueeze(-1), noisy, latents)
