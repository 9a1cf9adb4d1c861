"""Recipes: how the authors of LTX-Video sample a checkpoint, as plain data.

It does not import torch, so that tables of presets load fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from filmstrip.errors import InputError

if TYPE_CHECKING:
    from filmstrip.ltx.schedules import RectifiedFlowSchedule

# Timesteps of the second pass that upscaling adds to a recipe of one pass.
SECOND_PASS_TIMESTEPS = (0.6, 0.45, 0.3, 0.18, 0.09, 0.04)

# Timesteps that differ by less are the same.
TIMESTEP_TOLERANCE = 1e-6


@dataclass(frozen=True)
class GuidanceSchedule:
    """The arguments of `SpatioTemporalGuidance` at each timestep.

    A tuple has one value for each of `timesteps`; a single value applies to all.

    Args:
        scale: Scale of classifier-free guidance; 1 is off.
        stg_scale: Scale of spatio-temporal guidance; 0 is off.
        rescale: How much of the prediction's standard deviation is kept, 0 to 1; 1 is off.
        blocks: Indices of the transformer blocks that are perturbed.
        timesteps: In [0, 1], falling. An entry applies from its timestep up to the previous entry;
            the last one also applies below its timestep.
        cfg_zero_star: Whether the negative prediction is scaled as in CFG-Zero*.
        mode: What is skipped in these blocks, as in `SpatioTemporalGuidance`.

    Raises:
        InputError: A tuple has another length than `timesteps`, or these do not fall.
    """

    scale: float | tuple[float, ...] = 1.0
    stg_scale: float | tuple[float, ...] = 0.0
    rescale: float | tuple[float, ...] = 1.0
    blocks: tuple[int, ...] | tuple[tuple[int, ...], ...] = ()
    timesteps: tuple[float, ...] = ()
    cfg_zero_star: bool = False
    mode: str = "attention_values"

    def __post_init__(self) -> None:
        for name, values in self._scheduled().items():
            if len(values) != len(self.timesteps):
                raise InputError(
                    f"The guidance has {len(values)} values of {name} for {len(self.timesteps)} "
                    "timesteps; give one for each, or a single one for all."
                )
        if list(self.timesteps) != sorted(self.timesteps, reverse=True):
            raise InputError(f"The timesteps of the guidance, {self.timesteps}, must fall.")

    @property
    def largest_scale(self) -> float:
        """The largest scale; above 1, some step needs the negative prompt."""
        return max(self.scale) if isinstance(self.scale, tuple) else self.scale

    def at(self, timestep: float) -> dict[str, Any]:
        """The arguments of `SpatioTemporalGuidance` at a timestep in [0, 1]."""
        arguments = {
            "scale": self.scale,
            "stg_scale": self.stg_scale,
            "rescale": self.rescale,
            "cfg_zero_star": self.cfg_zero_star,
            "blocks": self.blocks,
            "mode": self.mode,
        }
        index = self._index(timestep)
        for name, values in self._scheduled().items():
            arguments[name] = values[index]
        return arguments

    def _index(self, timestep: float) -> int:
        """The index of the entry that applies at a timestep."""
        for index, lowest in enumerate(self.timesteps):
            if lowest <= timestep + TIMESTEP_TOLERANCE:
                return index
        return len(self.timesteps) - 1

    def _scheduled(self) -> Mapping[str, tuple[Any, ...]]:
        """The arguments that have one value for each timestep."""
        scheduled: dict[str, tuple[Any, ...]] = {}
        for name in ("scale", "stg_scale", "rescale"):
            values = getattr(self, name)
            if isinstance(values, tuple):
                scheduled[name] = values
        if self.blocks and isinstance(self.blocks[0], tuple):
            scheduled["blocks"] = self.blocks
        return scheduled


@dataclass(frozen=True)
class Pass:
    """One denoising pass.

    Args:
        guidance: The guidance at each timestep.
        steps: Number of steps of the checkpoint's schedule.
        timesteps: In [0, 1], falling, instead of `steps`.
        skip_initial: Number of steps that are skipped at the start, for a pass that starts from
            latents.
        skip_final: Number of steps that are skipped at the end.
        tone_map: How much large latents are compressed before decoding, 0 to 1.
    """

    guidance: GuidanceSchedule = field(default_factory=GuidanceSchedule)
    steps: int = 40
    timesteps: tuple[float, ...] | None = None
    skip_initial: int = 0
    skip_final: int = 0
    tone_map: float = 0.0

    @property
    def count(self) -> int:
        """The number of steps that are taken."""
        if self.timesteps is not None:
            return len(self.timesteps)
        return self.steps - self.skip_initial - self.skip_final

    def schedule(self, sampling: "RectifiedFlowSchedule", tokens: int) -> list[float]:
        """The timesteps in [0, 1].

        Args:
            sampling: The schedule of the checkpoint.
            tokens: The number of latent tokens of the video.
        """
        if self.timesteps is not None:
            return list(self.timesteps)
        timesteps: list[float] = sampling.timesteps(self.steps, tokens).tolist()
        return timesteps[self.skip_initial : self.steps - self.skip_final]

    def adjusted(
        self, num_inference_steps: int | None = None, guidance_scale: float | None = None
    ) -> "Pass":
        """The pass with another number of steps or guidance scale.

        Args:
            num_inference_steps, guidance_scale: None keeps the value of the pass.

        Raises:
            InputError: A number of steps for a pass with `timesteps` or skipped steps, or a scale
                for a pass with a scale for each timestep.
        """
        changes: dict[str, Any] = {}
        if num_inference_steps is not None:
            self._refuse_fixed_steps()
            changes["steps"] = num_inference_steps
        if guidance_scale is not None:
            self._refuse_scheduled_scale()
            changes["guidance"] = replace(self.guidance, scale=guidance_scale)
        return replace(self, **changes)

    def _refuse_fixed_steps(self) -> None:
        if self.timesteps is not None:
            reason = "timesteps of its own"
        elif self.skip_initial or self.skip_final:
            reason = "steps that are left out"
        else:
            return
        raise InputError(
            f"This model's recipe has {reason} ({self.count} steps); leave out the number of steps."
        )

    def _refuse_scheduled_scale(self) -> None:
        if isinstance(self.guidance.scale, tuple):
            scales = ", ".join(f"{scale:g}" for scale in self.guidance.scale)
            raise InputError(
                f"This model's recipe changes its guidance on the way ({scales}); leave out the "
                "guidance."
            )


@dataclass(frozen=True)
class Recipe:
    """How the authors sample a checkpoint.

    Args:
        first: The first pass, or the only one.
        second: A pass at twice the size of the first, on its upsampled latents.
        downscale: The size of the first pass over that of the video, where there is a second.
        stochastic: Whether each step goes to the predicted data and adds fresh noise.
        image_noise: Scale of the noise on conditioned tokens, times the square of the timestep.
        decode_timestep: Timestep that the decoder gets.
        decode_noise: Fraction of noise that is mixed into the latents before decoding.
    """

    first: Pass = field(default_factory=Pass)
    second: Pass | None = None
    downscale: float = 2 / 3
    stochastic: bool = False
    image_noise: float = 0.15
    decode_timestep: float = 0.05
    decode_noise: float = 0.025

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes, one or two."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def largest_scale(self) -> float:
        """The largest guidance scale of all passes; above 1, some step needs the negative
        prompt.
        """
        return max(settings.guidance.largest_scale for settings in self.passes)

    def adjusted(
        self,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        upscale: bool = False,
    ) -> "Recipe":
        """The recipe with another number of steps or guidance scale in each pass.

        Args:
            num_inference_steps, guidance_scale: As in `Pass.adjusted`; None keeps the recipe's.
            upscale: Make the first pass at half the size of the video. A recipe without a second
                pass gets one of `SECOND_PASS_TIMESTEPS` with the guidance of the first.
        """
        first = self.first.adjusted(num_inference_steps, guidance_scale)
        second = self.second
        if second is not None:
            second = second.adjusted(num_inference_steps, guidance_scale)
        if not upscale:
            return replace(self, first=first, second=second)
        if second is None:
            second = replace(first, timesteps=SECOND_PASS_TIMESTEPS)
        return replace(self, first=first, second=second, downscale=0.5)
