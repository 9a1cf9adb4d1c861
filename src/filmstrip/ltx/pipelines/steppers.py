"""What a step of the walk means for tokens: what the model sees of them and is asked, and how they
advance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import LatentSize, pack, unpack
from filmstrip.ltx.models.transformer import LTXPrepared
from filmstrip.ltx.models.transformer_blocks import Perturbation
from filmstrip.nn.noise import Generators, randn
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Branch, SpatioTemporalGuidance

Advance = Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor]

EPS = 1e-6  # strengths and noise levels this close are the same


@dataclass(frozen=True)
class EulerStepper:
    """All tokens walk alike, by the scheduler's step."""

    advance: (
        Advance  # from tokens (B, N, C), their velocity and the step, to the tokens of the next one
    )

    def model_input(self, latents: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that the model is asked about, and what it is told: a timestep `()`, or `(1 or
        B, 1 or N)`.
        """
        return latents, step.timestep


@dataclass(frozen=True)
class FirstFrameStepper:
    """The tokens of the first latent frame stay as they are, at timestep 0; the others walk by the
    scheduler's step.
    """

    advance_video: (
        Advance  # of latents (B, C, T - 1, H, W): the layout in which a stochastic scheduler draws
    )
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
class MaskedStepper:
    """Each token is held by a strength, 0 to 1: it joins the walk where the noise has fallen to 1 -
    strength.

    Tokens that are wholly held get new noise before each step, the less the nearer the end, so that
    what moves out of a still picture is not stiff (Lightricks/LTX-Video,
    `add_noise_to_image_conditioning_latents`).
    """

    # From tokens, their velocity and timesteps (1 or B, 1 or N), and the step, to the tokens of the
    # next one.
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


Walk = EulerStepper | FirstFrameStepper | MaskedStepper


@dataclass(frozen=True)
class EncodedPrompts:
    """The texts of a call, a row for each video."""

    tensors: dict[
        str, Any
    ]  # `prompt_embeds` (B, L, C), under guidance [negative; positive]; callbacks may replace it
    mask: torch.Tensor  # (B, L), of `prompt_embeds` at the start
    videos: int


@dataclass(eq=False)
class TransformerPredictor:
    """Asks the transformer about all conditions of a step in one batch."""

    transformer: Any  # the module, or the same compiled
    texts: EncodedPrompts
    walk: Walk  # what the model sees of the tokens, and their timesteps
    positions: torch.Tensor  # of the tokens, (1 or B, 3, N): second, pixel row, pixel column
    attention_kwargs: dict[str, Any] | None = None
    guide: Callable[[Step], SpatioTemporalGuidance] | None = (
        None  # the guidance, where it perturbs the transformer
    )
    _prepared: LTXPrepared | None = field(default=None, init=False)
    _prepared_for: tuple[Any, ...] = field(default=(None, None, None), init=False)

    def __call__(
        self, latents: torch.Tensor, step: Step, conditions: tuple[Branch, ...]
    ) -> torch.Tensor:
        """The velocity `(len(conditions) * B, N, C)` of latents `(B, N, C)`."""
        prepared = self.prepare(conditions)
        tokens, timestep = self.walk.model_input(latents, step)
        timestep = timestep.expand(len(tokens), *[-1] * (timestep.ndim - 1))
        more: dict[str, Any] = {}
        if self.guide is not None and "perturbed" in conditions:
            guidance = self.guide(step)
            perturbed = torch.tensor(
                [condition == "perturbed" for condition in conditions], device=tokens.device
            )
            rows = perturbed.repeat_interleave(len(tokens))
            more["perturbation"] = Perturbation(guidance.mode, guidance.blocks, rows)
        return self.transformer(
            tokens.repeat(len(conditions), 1, 1).to(self.texts.tensors["prompt_embeds"].dtype),
            timestep=torch.cat([timestep] * len(conditions)),
            attention_kwargs=self.attention_kwargs,
            return_dict=False,
            prepared=prepared,
            **more,
        )[0]

    def prepare(self, conditions: tuple[Branch, ...]) -> LTXPrepared:
        """The transformer's step-invariant work, done again only where a callback changed the text
        or the guidance.
        """
        embeds = self.texts.tensors["prompt_embeds"]
        # `_version` counts the changes that were made to a tensor in place.
        done_for, text, version = self._prepared_for
        if (
            self._prepared is None
            or conditions != done_for
            or embeds is not text
            or embeds._version != version
        ):
            rows, mask = self._rows(embeds, conditions)
            self._prepared = self.transformer.prepare(rows, mask, video_coords=self.positions)
            self._prepared_for = (conditions, embeds, embeds._version)
        return self._prepared

    def _rows(
        self, embeds: torch.Tensor, conditions: tuple[Branch, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of texts and mask for these conditions: the first for the negative prompts, else
        the last.
        """
        videos, mask = self.texts.videos, self.texts.mask
        rows = videos * len({*conditions} - {"perturbed"})
        if embeds.shape[0] < rows or mask.shape[0] < rows or embeds.shape[1] != mask.shape[1]:
            raise InputError(
                f"A callback left prompt_embeds of shape {tuple(embeds.shape)}; this step needs "
                f"{rows} rows of "
                f"{mask.shape[1]} tokens, for {' and '.join(conditions)} prompts of {videos} "
                "videos."
            )
        first, last = slice(-rows, videos - rows or None), slice(-videos, None)
        parts = [first if condition == "negative" else last for condition in conditions]
        return torch.cat([embeds[part] for part in parts]), torch.cat(
            [mask[part] for part in parts]
        )
