"""What a recipe is, as plain data: walks from noise to data, and their guidance. Needs no torch, so
tables are fast.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from filmstrip.errors import InputError

if TYPE_CHECKING:
    from filmstrip.ltx.schedules import RectifiedFlowSchedule


SECOND_PASS = (
    0.6,
    0.45,
    0.3,
    0.18,
    0.09,
    0.04,
)  # timesteps, for recipes that have none of their own


@dataclass(frozen=True)
class GuidanceSchedule:
    """`SpatioTemporalGuidance` over a walk: values that hold throughout, or one for each of
    `timesteps`, which fall.
    """

    scale: float | tuple[float, ...] = 1.0
    stg_scale: float | tuple[float, ...] = 0.0
    rescale: float | tuple[float, ...] = 1.0
    blocks: tuple[int, ...] | tuple[tuple[int, ...], ...] = ()
    timesteps: tuple[
        float, ...
    ] = ()  # in [0, 1]; an entry holds up to the timestep before, the last below too
    cfg_zero_star: bool = False
    mode: str = "attention_values"

    def __post_init__(self) -> None:
        for name, values in self._lists.items():
            if len(values) != len(self.timesteps):
                raise InputError(
                    f"The guidance has {len(values)} values of {name} for {len(self.timesteps)} "
                    "timesteps; "
                    "give one for each, or a single one for all."
                )
        if list(self.timesteps) != sorted(self.timesteps, reverse=True):
            raise InputError(f"The timesteps of the guidance, {self.timesteps}, must fall.")

    @property
    def _lists(self) -> dict[str, tuple[Any, ...]]:
        """The values that change with the timestep."""
        given = {name: getattr(self, name) for name in ("scale", "stg_scale", "rescale")}
        given["blocks"] = self.blocks if self.blocks and isinstance(self.blocks[0], tuple) else None
        return {name: values for name, values in given.items() if isinstance(values, tuple)}

    @property
    def largest_scale(self) -> float:
        """The largest of the scales; above 1, a step of the walk asks about the negative prompt."""
        return max(self.scale) if isinstance(self.scale, tuple) else self.scale

    def at(self, timestep: float) -> dict[str, Any]:
        """The arguments of `SpatioTemporalGuidance` at a timestep in [0, 1]."""
        reached = (place for place, least in enumerate(self.timesteps) if least <= timestep + 1e-6)
        place = next(reached, len(self.timesteps) - 1)
        values = {
            name: getattr(self, name)
            for name in ("scale", "stg_scale", "rescale", "cfg_zero_star", "blocks", "mode")
        }
        return values | {name: values[place] for name, values in self._lists.items()}


@dataclass(frozen=True)
class Pass:
    """One walk from noise to data."""

    guidance: GuidanceSchedule = field(default_factory=GuidanceSchedule)
    steps: int = 40
    timesteps: tuple[float, ...] | None = (
        None  # in [0, 1], falling, instead of `steps` as the checkpoint spaces them
    )
    skip_initial: int = (
        0  # steps that are left out at the noisy end, for a walk that starts from latents
    )
    skip_final: int = 0  # and at the other
    tone_map: float = 0.0  # how much large latents are compressed before decoding, 0 to 1

    @property
    def count(self) -> int:
        """The steps that are taken."""
        return (
            self.steps - self.skip_initial - self.skip_final
            if self.timesteps is None
            else len(self.timesteps)
        )

    def schedule(self, sampling: "RectifiedFlowSchedule", tokens: int) -> list[float]:
        """The timesteps in [0, 1] for a video of so many tokens."""
        if self.timesteps is not None:
            return list(self.timesteps)
        times: list[float] = sampling.timesteps(self.steps, tokens).tolist()
        return times[self.skip_initial : self.steps - self.skip_final]

    def adjusted(
        self, num_inference_steps: int | None = None, guidance_scale: float | None = None
    ) -> "Pass":
        """The pass with another number of steps or scale of guidance; None keeps its own.

        An `InputError` says that the pass is made of timesteps or scales of its own.
        """
        steps = num_inference_steps
        if steps is not None and (
            self.timesteps is not None or self.skip_initial or self.skip_final
        ):
            own = (
                "timesteps of its own" if self.timesteps is not None else "steps that are left out"
            )
            raise InputError(
                f"This model's recipe has {own} ({self.count} steps); leave out the number of "
                "steps."
            )
        if guidance_scale is not None and isinstance(self.guidance.scale, tuple):
            scales = ", ".join(f"{scale:g}" for scale in self.guidance.scale)
            raise InputError(
                f"This model's recipe changes its guidance on the way ({scales}); leave out the "
                "guidance."
            )
        guidance = (
            self.guidance
            if guidance_scale is None
            else replace(self.guidance, scale=guidance_scale)
        )
        return replace(self, guidance=guidance, steps=self.steps if steps is None else steps)


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint makes its best videos."""

    first: Pass = field(default_factory=Pass)
    second: Pass | None = (
        None  # at twice the size of the first, which is then smaller than what was asked for
    )
    downscale: float = 2 / 3  # size of the first pass, where there is a second
    stochastic: bool = False  # step to the predicted data and add fresh noise
    image_noise: float = 0.15  # on what is wholly conditioned, times the square of the timestep
    decode_timestep: float = 0.05
    decode_noise: float = 0.025

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The walks, one or two."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def largest_scale(self) -> float:
        """The largest scale of guidance; above 1, some step asks about the negative prompt."""
        return max(one.guidance.largest_scale for one in self.passes)

    def adjusted(
        self,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        upscale: bool = False,
    ) -> "Recipe":
        """The recipe with another number of steps or scale of guidance; see `Pass.adjusted`.

        With `upscale`, the first pass is at half the size that is asked for, and a recipe without a
        second one gets `SECOND_PASS`, with the guidance of the first.
        """
        first, *second = (one.adjusted(num_inference_steps, guidance_scale) for one in self.passes)
        made = replace(self, first=first, second=second[0] if second else None)
        if not upscale:
            return made
        return replace(
            made, second=made.second or replace(first, timesteps=SECOND_PASS), downscale=0.5
        )
