"""Progress, the interrupt and the caller's callback, around the steps of a call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from filmstrip.errors import InputError
from filmstrip.pipeline.callbacks import MultiPipelineCallbacks, PipelineCallback
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.progress import Advance

# Called as `callback(pipeline, step_index, timestep, tensors)`; returns changed tensors, or None.
CallbackFunction = Callable[[Any, int, torch.Tensor, dict[str, Any]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class StepCallback:
    """A caller's `callback_on_step_end`, and the names of the tensors that it gets."""

    function: CallbackFunction | None = None
    tensor_inputs: Sequence[str] | None = ()

    def tensor_names(self, allowed: Sequence[str]) -> tuple[str, ...]:
        """The names of the tensors that the callback gets.

        A callback class names them in `tensor_inputs`.

        Args:
            allowed: the names of the tensors that a callback may get.

        Raises:
            InputError: a name is not among the allowed ones.
        """
        names = self.tensor_inputs or ()
        if isinstance(self.function, PipelineCallback | MultiPipelineCallbacks):
            names = self.function.tensor_inputs
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise InputError(
                "callback_on_step_end_tensor_inputs names "
                f"{', '.join(map(repr, unknown))}; a callback can be handed "
                f"{', '.join(map(repr, allowed))}."
            )
        return tuple(names)


class CallbackTensors(Protocol):
    """The tensors of a call, besides the latents, that a callback may read and replace."""

    def callback_tensors(self) -> Mapping[str, Any]:
        """The tensors by name."""
        ...

    def replace_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Use these tensors from now on; a callback may have changed them in place."""
        ...


class NoTensors:
    """The `CallbackTensors` of a call whose callback gets only the latents."""

    def callback_tensors(self) -> Mapping[str, Any]:
        """No tensors."""
        return {}

    def replace_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Nothing to replace."""


@dataclass
class StepCallbacks:
    """Progress, the interrupt and the caller's callback, around the steps of one call.

    Args:
        pipeline: passed to the callback. Its `current_timestep` is set at each step, and its
            `interrupt` ends the steps.
        advance: reports progress; called after each step.
        callback: the caller's.
        tensors: those that the callback may read and replace, besides the latents.
    """

    pipeline: Any
    advance: Advance
    callback: StepCallback = field(default_factory=StepCallback)
    tensors: CallbackTensors = field(default_factory=NoTensors)

    def steps(self, timesteps: torch.Tensor) -> Iterator[Step]:
        """The steps of a schedule `(num_steps,)`, until the pipeline is interrupted."""
        for index, timestep in enumerate(timesteps):
            if self.pipeline.interrupt:
                return
            self.pipeline.current_timestep = timestep
            yield Step(index, timestep)

    def __call__(self, step: Step, latents: torch.Tensor) -> torch.Tensor:
        """Run the callback and report progress. Returns the latents for the next step."""
        if self.callback.function is not None:
            latents = self._call_back(self.callback.function, step, latents)
        self.advance()
        return latents

    def _call_back(
        self, function: CallbackFunction, step: Step, latents: torch.Tensor
    ) -> torch.Tensor:
        """Run the callback and store the tensors that it returns."""
        available = {"latents": latents, **self.tensors.callback_tensors()}
        names = self.callback.tensor_names(tuple(available))
        tensors = {name: available[name] for name in names}
        returned = function(self.pipeline, step.index, step.timestep, dict(tensors)) or {}
        for name, tensor in returned.items():
            if name in available:
                tensors[name] = tensor
        next_latents: torch.Tensor = returned.get("latents", latents)
        tensors.pop("latents", None)
        self.tensors.replace_tensors(tensors)
        return next_latents
