"""The denoising loop and its three parts: predict, guide, step.

The latents are one value: a tensor, or a frozen dataclass of tensors for a model of several
streams. The loop only passes them on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch

from filmstrip.pipeline.guiders import Guider

Latents = TypeVar("Latents")


@dataclass(frozen=True)
class Step:
    """One step of a schedule."""

    index: int
    timestep: torch.Tensor  # the model's input, a scalar


# Takes latents `(B, ...)`, the step and its guider. Returns a prediction for each of the guider's
# branches, stacked along the batch: `(len(guider.branches) * B, ...)`.
Predict: TypeAlias = Callable[[Latents, Step, Guider], torch.Tensor]
# Returns the guider of a step. It is a new one for each step, as callbacks may change the guidance.
Guide: TypeAlias = Callable[[Step], Guider]


class Stepper(Protocol[Latents]):
    """Takes latents from one noise level to the next."""

    def renoise(self, latents: Latents, step: Step) -> Latents:
        """The latents that the model gets at this step; conditioned tokens may have new noise."""
        ...

    def step(self, latents: Latents, prediction: torch.Tensor, step: Step) -> Latents:
        """The latents at the next noise level."""
        ...


def denoise(
    latents: Latents,
    schedule: Iterable[Step],
    predict: Predict[Latents],
    guide: Guide,
    stepper: Stepper[Latents],
    on_step_end: Callable[[Step, Latents], Latents],
) -> Latents:
    """Denoise latents.

    Args:
        latents: at the noise level of the first step.
        schedule: the steps to take, in order.
        predict: runs the model.
        guide: returns the guider of a step.
        stepper: takes the latents to the next noise level.
        on_step_end: called after each step, for progress and callbacks; returns the latents for the
            next step.

    Returns:
        The latents after the last step.
    """
    for step in schedule:
        guider = guide(step)
        latents = stepper.renoise(latents, step)
        prediction = guider.combine(predict(latents, step, guider))
        latents = stepper.step(latents, prediction, step)
        latents = on_step_end(step, latents)
    return latents
