"""The walk from noise to data, and what happens between its steps: progress, the interrupt, the
caller's callback.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from filmstrip.errors import InputError
from filmstrip.logging import is_progress_bar_enabled
from filmstrip.pipeline.callbacks import MultiPipelineCallbacks, PipelineCallback
from filmstrip.pipeline.guiders import Branch, Guider

Advance = Callable[[], None]
Callback = Callable[[Any, int, torch.Tensor, dict[str, Any]], Mapping[str, Any] | None]
Watching = tuple[
    Callback | None, Sequence[str]
]  # a callback, and the names of the tensors that it is handed


@dataclass(frozen=True)
class Step:
    """One step of the walk."""

    index: int
    timestep: torch.Tensor  # what the model is told, a scalar


# Asks the model about latents `(B, ...)` under each condition; answers `(len(conditions) * B,
# ...)`.
Predict = Callable[[torch.Tensor, Step, tuple[Branch, ...]], torch.Tensor]


def denoise(
    latents: torch.Tensor,
    steps: Iterable[Step],
    predict: Predict,
    guide: Callable[[Step], Guider],
    advance: Callable[[torch.Tensor, torch.Tensor, Step], torch.Tensor],
    watch: Callable[[Step, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Walk `latents` from noise to data: predict, guide, advance, and go on with what `watch`
    returns after a step.
    """
    for step in steps:
        guidance = guide(step)
        prediction = guidance.combine(predict(latents, step, guidance.conditions))
        latents = advance(latents, prediction, step)
        latents = watch(step, latents)
    return latents


class Progress(Protocol):
    """What a pipeline reports its stages to."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Enter a stage; what it yields is called after each of its `total` steps."""
        ...


class ProgressBar:
    """A tqdm bar for each stage that has steps. `options` are tqdm's own."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options = options or {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        if total is None:
            yield lambda: None
            return
        from tqdm.auto import tqdm

        options = {"disable": not is_progress_bar_enabled(), **self.options}
        with tqdm(total=total, **options) as bar:
            yield lambda: bar.update() and None


@dataclass
class StepCallbacks:
    """What happens around steps: progress, the interrupt, and the caller's callback."""

    # what the callback is handed; its `current_timestep` follows the walk, its `interrupt` ends it
    pipeline: Any
    tensors: dict[
        str, Any
    ]  # what the callback may see besides `latents`; what it returns under a name replaces it
    callback: (
        Callback | None
    )  # of pipeline, index, timestep and tensors; returns changed tensors or None
    names: Sequence[str]  # of the tensors that the callback is handed
    advance: Advance  # called after each step

    def steps(self, timesteps: torch.Tensor) -> Iterator[Step]:
        """The steps of `timesteps`, `(N,)`, until the pipeline is interrupted."""
        for index, timestep in enumerate(timesteps):
            if self.pipeline.interrupt:
                return
            self.pipeline.current_timestep = timestep
            yield Step(index, timestep)

    def __call__(self, step: Step, latents: torch.Tensor) -> torch.Tensor:
        if self.callback is not None:
            seen = {"latents": latents, **self.tensors}
            handed = {name: seen[name] for name in self.names}
            changed = self.callback(self.pipeline, step.index, step.timestep, handed) or {}
            latents = changed.get("latents", latents)
            self.tensors.update({name: changed[name] for name in self.tensors if name in changed})
        self.advance()
        return latents


def callback_names(
    callback: Callback | None, names: Sequence[str], allowed: Sequence[str]
) -> Sequence[str]:
    """Which tensors the callback is handed: a callback class says so itself. Names must be among
    `allowed`.
    """
    if isinstance(callback, PipelineCallback | MultiPipelineCallbacks):
        names = callback.tensor_inputs
    if unknown := [name for name in names or () if name not in allowed]:
        raise InputError(
            f"callback_on_step_end_tensor_inputs names {', '.join(map(repr, unknown))}; "
            f"a callback can be handed {', '.join(map(repr, allowed))}."
        )
    return names or ()
