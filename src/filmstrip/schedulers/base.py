"""The base class of schedulers: a schedule on the host and on the device, and the step index."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from filmstrip.config import Configurable
from filmstrip.errors import InputError
from filmstrip.outputs import Output
from filmstrip.schedulers.sigmas import Array, chosen_spacing

Device: TypeAlias = torch.device | str | None
Numbers: TypeAlias = Sequence[float] | Array | torch.Tensor


@dataclass
class SchedulerOutput(Output):
    """The result of a step.

    Attributes:
        prev_sample: the sample at the next, lower noise level.
        pred_original_sample: the data that the model predicts, from schedulers that compute it.
    """

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class Scheduler(Configurable):
    """A schedule of noise levels (sigmas) with their timesteps, and the index of the next step.

    The schedule is kept twice: as arrays on the host (`host_timesteps`, `host_sigmas`), which are
    read without waiting for the GPU, and as tensors on the device, as in diffusers.
    Assigning `timesteps` or `sigmas` replaces both copies.
    """

    config_name = "scheduler_config.json"
    order = 1

    num_inference_steps: int | None = None
    _step_index: int | None = None
    _begin_index: int | None = None

    @property
    def timesteps(self) -> torch.Tensor:
        """The timestep of each step, `(steps,)`, float32, on the device of `set_timesteps`."""
        return self._timesteps

    @timesteps.setter
    def timesteps(self, timesteps: torch.Tensor) -> None:
        self._timesteps = timesteps
        self.host_timesteps = to_float_array(timesteps)

    @property
    def sigmas(self) -> torch.Tensor:
        """The noise level before each step and after the last, `(steps + 1,)`, float32.

        On the device of `set_timesteps`; `EulerDiscreteScheduler` keeps them on the CPU.
        """
        return self._sigmas

    @sigmas.setter
    def sigmas(self, sigmas: torch.Tensor) -> None:
        self._sigmas = sigmas
        self.host_sigmas = to_float_array(sigmas)

    @property
    def compatibles(self) -> list[type["Scheduler"]]:
        """The scheduler classes that accept this config: only the class itself."""
        return [type(self)]

    @property
    def step_index(self) -> int | None:
        """The index of the next step; `None` before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The index of the first step, if `set_begin_index` set it."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Set the index of the first step, which is otherwise found from the first timestep."""
        self._begin_index = begin_index

    def index_for_timestep(
        self, timestep: float | torch.Tensor, schedule_timesteps: torch.Tensor | None = None
    ) -> int:
        """Find the index of a timestep in a schedule.

        Of several equal timesteps it is the second, as in diffusers, so that sampling that starts
        in the middle does not skip a noise level.

        Args:
            timestep: a number, or a tensor of one element.
            schedule_timesteps: the schedule to search, by default `self.timesteps`.

        Raises:
            InputError: the timestep is not in the schedule, or is not a single number.
        """
        if schedule_timesteps is None:
            schedule = self.host_timesteps
        else:
            schedule = to_float_array(schedule_timesteps)
        value = to_float_array(timestep)
        if value.size != 1:
            raise InputError(f"A timestep is one number, but a tensor of {value.size} was given.")
        matches = np.flatnonzero(schedule == value)
        if not len(matches):
            raise InputError(
                f"The timestep {value.item():g} is not in the schedule of {len(schedule)} steps; "
                "pass one of `scheduler.timesteps`."
            )
        return int(matches[:2][-1])

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    def _check_config(self, choices: Mapping[str, Collection[str]]) -> None:
        """Check the number of training timesteps, the entries with fixed choices, and the spacing.

        Args:
            choices: the values that a config entry may have, by its name.
        """
        if len(self) < 1:
            raise InputError(f"num_train_timesteps is {len(self)}; it must be at least 1.")
        for name, known in choices.items():
            if self.config[name] not in known:
                raise InputError(
                    f"{name} is {self.config[name]!r}; it must be one of {', '.join(known)}."
                )
        chosen_spacing(self.config)

    def _set_schedule(
        self, timesteps: Array, sigmas: Array, device: Device, sigmas_device: Device
    ) -> None:
        """Replace the schedule and reset the step index."""
        self.host_timesteps = to_float_array(timesteps)
        self.host_sigmas = to_float_array(sigmas)
        self._timesteps = torch.from_numpy(self.host_timesteps.copy()).to(device)
        self._sigmas = torch.from_numpy(self.host_sigmas.copy()).to(sigmas_device)
        self._step_index = None
        self._begin_index = None

    def _current_index(self, timestep: float | torch.Tensor) -> int:
        """The index of the step to take; `timestep` is only used if no index is set yet."""
        if self._step_index is not None:
            return self._step_index
        if self._begin_index is not None:
            return self._begin_index
        return self.index_for_timestep(timestep)

    def _sigma_pair(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The noise levels before and after a step, each a tensor of shape `()`."""
        if index + 1 >= len(self.host_sigmas):
            raise InputError(
                f"All {len(self.host_timesteps)} steps of the schedule are done; call "
                "`set_timesteps` before sampling again."
            )
        return self.sigmas[index], self.sigmas[index + 1]

    def _sigmas_for(self, timestep: float | torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The noise levels of one timestep or `(B,)` of them, to noise a sample with.

        Where the begin index was set, each is the level of the next step, whatever the timesteps
        are, as in diffusers.

        Returns:
            `(1 or B, 1, ...)` with as many dimensions as `sample`, in its dtype.
        """
        timesteps = np.atleast_1d(to_float_array(timestep))
        if self.begin_index is None:
            indices = [self.index_for_timestep(value) for value in timesteps.tolist()]
        else:
            next_index = self.begin_index if self.step_index is None else self.step_index
            indices = [next_index] * len(timesteps)
        sigmas = torch.from_numpy(self.host_sigmas[indices]).to(sample.device, sample.dtype)
        return sigmas.view(-1, *[1] * (sample.ndim - 1))


def to_float_array(values: float | Numbers) -> Array:
    """Convert a number, a sequence, an array or a tensor to a float32 array on the host."""
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values).astype(np.float32)


def to_flat_float_array(values: Numbers, name: str) -> Array:
    """Convert a flat list of numbers to a float32 array on the host.

    Args:
        values: a sequence, array or tensor of one dimension.
        name: of the argument, for the error.

    Raises:
        InputError: it has another number of dimensions.
    """
    array = to_float_array(values)
    if array.ndim != 1:
        raise InputError(f"{name} has the shape {array.shape}; give a flat list of numbers.")
    return array


def check_num_steps(num_steps: int) -> int:
    """Return a number of inference steps.

    Raises:
        InputError: it is below 1.
    """
    if num_steps < 1:
        raise InputError(f"A schedule cannot have {num_steps} steps; give at least 1.")
    return num_steps


def check_timestep(timestep: float | torch.Tensor) -> None:
    """Refuse an integer timestep, which is most likely a step index.

    Raises:
        InputError: the timestep is an integer.
    """
    if isinstance(timestep, torch.Tensor):
        is_integer = not timestep.is_floating_point()
    else:
        is_integer = isinstance(timestep, int)
    if is_integer:
        raise InputError(
            f"The timestep {timestep} is an integer, which looks like a step index; pass one of "
            "`scheduler.timesteps`."
        )
