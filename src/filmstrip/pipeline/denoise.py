"""The denoising loop, and the three parts that it is made of: predict, guide, step.

The latents are one value: a tensor, or a frozen bundle of tensors for a model of several streams.
The loop never looks inside.
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
    timestep: torch.Tensor  # what the model is told, a scalar


# From latents `(B, ...)`, the step and its guider, to a prediction for each of the guider's
# branches, stacked along the batch: `(len(guider.branches) * B, ...)`.
Predict: TypeAlias = Callable[[Latents, Step, Guider], torch.Tensor]
# The guider of a step, made anew each time, as callbacks may change the guidance between steps.
Guide: TypeAlias = Callable[[Step], Guider]


class Stepper(Protocol[Latents]):
    """How latents go from one noise level to the next."""

    def renoise(self, latents: Latents, step: Step) -> Latents:
        """The latents that the model sees at this step; conditioned tokens may get new noise."""
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
    """From noise to data.

    Args:
        latents: at the noise level of the first step.
        schedule: the steps to take, in order.
        predict: asks the model.
        guide: gives the guider of a step: the branches it needs, and how they combine.
        stepper: takes the step.
        on_step_end: progress, callbacks, checkpoints; returns the latents of the next step.

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
