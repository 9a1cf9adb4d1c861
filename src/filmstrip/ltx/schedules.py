"""Schedules of LTX sampling, as in the authors' `rf.py` and in diffusers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from filmstrip.errors import InputError
from filmstrip.schedulers.sigmas import Array, exponential_shift, static_shift, stretch_to_terminal

# The line from the number of tokens to the shift `mu` (Lightricks/LTX-Video, `rf.py`). The names
# are those of the scheduler's config in diffusers.
BASE_IMAGE_SEQ_LEN = 1024  # tokens
MAX_IMAGE_SEQ_LEN = 4096  # tokens
BASE_SHIFT = 0.95
MAX_SHIFT = 2.05


def calculate_shift(
    tokens: int, base_tokens: int, max_tokens: int, base_shift: float, max_shift: float
) -> float:
    """The scheduler's `mu` for a number of tokens: a line through two points.

    `rf.py` of Lightricks/LTX-Video.

    Args:
        tokens: number of latent tokens of the video; may lie outside the two points.
        base_tokens, base_shift: the first point.
        max_tokens, max_shift: the second point.
    """
    slope = (max_shift - base_shift) / (max_tokens - base_tokens)
    return tokens * slope + base_shift - slope * base_tokens


def linear_quadratic_schedule(steps: int, threshold: float = 0.025) -> Array:
    """Timesteps that fall linearly from 1 in the first half of the steps, then quadratically.

    Polyak et al., "Movie Gen", arXiv 2410.13720, section 3.4.2; in the form of `rf.py` of
    Lightricks/LTX-Video.

    Args:
        steps: number of steps, at least 1.
        threshold: how far the linear half falls, in (0, 1).

    Returns:
        `(steps,)`, from 1; the final 0 is left out.
    """
    linear_steps = steps // 2
    index = np.arange(steps, dtype=np.float64)
    if not linear_steps:
        return 1 - index
    quadratic_steps = steps - linear_steps
    slope = threshold / linear_steps
    curvature = (linear_steps - threshold * steps) / (linear_steps * quadratic_steps**2)
    return 1 - (slope * index + curvature * np.maximum(index - linear_steps, 0) ** 2)


@dataclass(frozen=True)
class RectifiedFlowSchedule:
    """The schedule of a checkpoint: its timesteps from 1 (noise) to 0 (data).

    The options are those of `RectifiedFlowScheduler` in `rf.py` of Lightricks/LTX-Video.

    Args:
        sampler: "Uniform", "LinearQuadratic", or "Constant" with its `shift`.
        shifting: "SD3" and "SimpleDiffusion" shift the timesteps towards noise, more so for more
            tokens; or `None`.
        base_resolution: number of tokens for which "SimpleDiffusion" shifts nothing.
        target_shift_terminal: where "SD3" stretches the last timestep to, if set.
        shift: `mu` of the exponential shift of "Constant".

    Raises:
        InputError: an unknown sampler or shifting, or "Constant" without a shift.
    """

    sampler: str = "Uniform"
    shifting: str | None = None
    base_resolution: int = 1024
    target_shift_terminal: float | None = None
    shift: float | None = None

    def __post_init__(self) -> None:
        if self.sampler not in ("Uniform", "LinearQuadratic", "Constant"):
            raise InputError(
                f"The sampler is {self.sampler!r}; it is 'Uniform', 'LinearQuadratic' or "
                "'Constant'."
            )
        if self.sampler == "Constant" and self.shift is None:
            raise InputError("The sampler 'Constant' has no shift; give one.")
        if self.shifting not in (None, "SD3", "SimpleDiffusion"):
            raise InputError(
                f"shifting is {self.shifting!r}; it is 'SD3', 'SimpleDiffusion' or None."
            )

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> Self:
        """The schedule of a `FlowMatchEulerDiscreteScheduler` with this config."""
        if config["use_dynamic_shifting"]:
            return cls(shifting="SD3", target_shift_terminal=config["shift_terminal"])
        return cls("Constant", shift=math.log(config["shift"]))

    def to_scheduler_config(self) -> dict[str, Any]:
        """The config of the `FlowMatchEulerDiscreteScheduler` in diffusers' folder.

        It is empty, for the scheduler's defaults, unless `shifting` is "SD3".
        """
        if self.shifting != "SD3":
            return {}
        return {
            "use_dynamic_shifting": True,
            "base_image_seq_len": BASE_IMAGE_SEQ_LEN,
            "max_image_seq_len": MAX_IMAGE_SEQ_LEN,
            "base_shift": BASE_SHIFT,
            "max_shift": MAX_SHIFT,
            "shift_terminal": self.target_shift_terminal,
        }

    def timesteps(self, steps: int, tokens: int) -> Array:
        """The timestep of each step.

        Args:
            steps: number of steps, at least 1.
            tokens: number of latent tokens of the video, on which the shift depends.

        Returns:
            `(steps,)`, falling from 1; the final 0 is left out.
        """
        if self.sampler == "LinearQuadratic":
            times = linear_quadratic_schedule(steps)
        else:
            times = np.linspace(1, 1 / steps, steps)
        if self.sampler == "Constant" and self.shift is not None:
            times = exponential_shift(self.shift, 1, times)
        if self.shifting == "SimpleDiffusion":
            return static_shift(tokens / self.base_resolution, times)
        if self.shifting is None:
            return times
        shift = calculate_shift(
            tokens, BASE_IMAGE_SEQ_LEN, MAX_IMAGE_SEQ_LEN, BASE_SHIFT, MAX_SHIFT
        )
        times = exponential_shift(shift, 1, times)
        terminal = self.target_shift_terminal
        return times if terminal is None else stretch_to_terminal(terminal, times)


@dataclass(frozen=True)
class CheckpointInfo:
    """How a checkpoint is sampled.

    Args:
        sampling: Its schedule.
        causal_positions: Whether positions in time take into account that the first latent frame is
            only one frame of the video.
        allowed_timesteps: The only timesteps that a distilled model was trained for; None for any.
    """

    sampling: RectifiedFlowSchedule = field(default_factory=RectifiedFlowSchedule)
    causal_positions: bool = False
    allowed_timesteps: tuple[float, ...] | None = None
