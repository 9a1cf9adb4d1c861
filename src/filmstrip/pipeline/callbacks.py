"""Classes of callbacks that a pipeline calls after each step."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from filmstrip.config import Configurable
from filmstrip.errors import InputError

Tensors = dict[str, Any]


class PipelineCallback(Configurable):
    """Base class of callbacks that act at one step of a call, the cutoff.

    A subclass implements `callback_fn`, and sets `tensor_inputs` to the names of the tensors that
    it gets, which must be in the pipeline's `_callback_tensor_inputs`.

    Args:
        cutoff_step_ratio: the cutoff as a fraction of the steps, a float from 0 to 1; 1 is after
            the last step.
        cutoff_step_index: the cutoff as the index of a step; the ratio must then be `None`.

    Raises:
        InputError: both arguments or neither is given, or the ratio is not a float from 0 to 1.
    """

    tensor_inputs: ClassVar[Sequence[str]]

    def __init__(
        self, cutoff_step_ratio: float | None = 1.0, cutoff_step_index: int | None = None
    ) -> None:
        if (cutoff_step_ratio is None) == (cutoff_step_index is None):
            raise InputError(
                f"cutoff_step_ratio is {cutoff_step_ratio} and cutoff_step_index is "
                f"{cutoff_step_index}; give one of them and set the other to None."
            )
        if cutoff_step_ratio is not None and not (
            isinstance(cutoff_step_ratio, float) and 0 <= cutoff_step_ratio <= 1
        ):
            raise InputError(
                f"cutoff_step_ratio is {cutoff_step_ratio!r}; it must be a float from 0.0 to 1.0."
            )

    def cutoff_step(self, pipeline: Any) -> int:
        """The index of the step to act at."""
        index: int | None = self.config.cutoff_step_index
        return (
            int(pipeline.num_timesteps * self.config.cutoff_step_ratio) if index is None else index
        )

    def callback_fn(
        self, pipeline: Any, step_index: int, timestep: torch.Tensor, callback_kwargs: Tensors
    ) -> Tensors:
        """Act after a step. Returns the tensors for the following steps."""
        raise NotImplementedError(f"{type(self).__name__} does not implement callback_fn.")

    def __call__(
        self, pipeline: Any, step_index: int, timestep: torch.Tensor, callback_kwargs: Tensors
    ) -> Tensors:
        return self.callback_fn(pipeline, step_index, timestep, callback_kwargs)


class MultiPipelineCallbacks:
    """Several callbacks in one: each gets the tensors that the previous one returned."""

    def __init__(self, callbacks: Sequence[PipelineCallback]) -> None:
        self.callbacks = callbacks

    @property
    def tensor_inputs(self) -> list[str]:
        """The names of the tensors that any of the callbacks needs."""
        return list(
            dict.fromkeys(name for callback in self.callbacks for name in callback.tensor_inputs)
        )

    def __call__(
        self, pipeline: Any, step_index: int, timestep: torch.Tensor, callback_kwargs: Tensors
    ) -> Tensors:
        for callback in self.callbacks:
            callback_kwargs = callback(pipeline, step_index, timestep, callback_kwargs)
        return callback_kwargs


class SDCFGCutoffCallback(PipelineCallback):
    """Switches guidance off after the cutoff step: sets its scale to 0 and drops negative prompts.

    `prompt_embeds` is `[negative; positive]` while guidance is on; the whole positive half is kept.
    (diffusers keeps only the last row, which is the same for a batch of one.)
    """

    tensor_inputs = ("prompt_embeds",)

    def callback_fn(
        self, pipeline: Any, step_index: int, timestep: torch.Tensor, callback_kwargs: Tensors
    ) -> Tensors:
        if step_index == self.cutoff_step(pipeline):
            if pipeline.do_classifier_free_guidance:
                _, callback_kwargs["prompt_embeds"] = callback_kwargs["prompt_embeds"].chunk(2)
            pipeline._guidance_scale = 0.0
        return callback_kwargs
