"""What happens around the steps of a call: progress, the interrupt, and the caller's callback."""

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
    """A caller's `callback_on_step_end`, and the names of the tensors that it is handed."""

    function: CallbackFunction | None = None
    tensor_inputs: Sequence[str] | None = ()

    def tensor_names(self, allowed: Sequence[str]) -> tuple[str, ...]:
        """The names of the tensors that the callback is handed; a callback class has its own.

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
    """Where the tensors of a call live that callbacks may see, besides the latents."""

    def callback_tensors(self) -> Mapping[str, Any]:
        """The tensors by name."""
        ...

    def replace_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Go on with these tensors; a callback may have changed them in place."""
        ...


class NoTensors:
    """The `CallbackTensors` of a call that shows its callback only the latents."""

    def callback_tensors(self) -> Mapping[str, Any]:
        """No tensors."""
        return {}

    def replace_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Nothing to replace."""


@dataclass
class StepCallbacks:
    """Progress, the interrupt and the caller's callback, around the steps of one call.

    Args:
        pipeline: handed to the callback. Its `current_timestep` follows the steps, and its
            `interrupt` ends them.
        advance: called after each step.
        callback: the caller's.
        tensors: the tensors that the callback may see, besides the latents.
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
        """After a step: the callback, then progress. Returns the latents of the next step."""
        if self.callback.function is not None:
            latents = self._call_back(self.callback.function, step, latents)
        self.advance()
        return latents

    def _call_back(
        self, function: CallbackFunction, step: Step, latents: torch.Tensor
    ) -> torch.Tensor:
        visible = {"latents": latents, **self.tensors.callback_tensors()}
        names = self.callback.tensor_names(tuple(visible))
        tensors = {name: visible[name] for name in names}
        changed = function(self.pipeline, step.index, step.timestep, dict(tensors)) or {}
        replaced = {name: value for name, value in changed.items() if name in visible}
        after = {**tensors, **replaced}
        self.tensors.replace_tensors(
            {name: value for name, value in after.items() if name != "latents"}
        )
        return replaced.get("latents", latents)
