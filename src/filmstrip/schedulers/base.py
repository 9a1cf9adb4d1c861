"""What the schedulers share: a schedule, kept on the host and mirrored on the device, and the place
in it.
"""

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
    """`prev_sample`: the sample at the next, lower level; `pred_original_sample`: the data that the
    model predicts, from the schedulers that say it."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class Scheduler(Configurable):
    """A schedule of noise levels and a counter that walks it.

    The schedule lives on the host (`host_timesteps`, `host_sigmas`), where reading it does not wait
    for the GPU, and once more as tensors on the device, where callers expect it. Assigning a tensor
    replaces both.
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
        self._timesteps, self.host_timesteps = timesteps, floats(timesteps)

    @property
    def sigmas(self) -> torch.Tensor:
        """The noise level before each step and after the last, `(steps + 1,)`, float32, on that
        device.
        """
        return self._sigmas

    @sigmas.setter
    def sigmas(self, sigmas: torch.Tensor) -> None:
        self._sigmas, self.host_sigmas = sigmas, floats(sigmas)

    @property
    def compatibles(self) -> list[type["Scheduler"]]:
        """The classes that can be made from this config: of those here, its own alone."""
        return [type(self)]

    @property
    def step_index(self) -> int | None:
        """The number of the step that comes next; `None` before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The number of the step that a walk begins at, if it was set."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin at this step, instead of where the first timestep that is given stands in the
        schedule.
        """
        self._begin_index = begin_index

    def index_for_timestep(
        self, timestep: float | torch.Tensor, schedule_timesteps: torch.Tensor | None = None
    ) -> int:
        """The index of a timestep in the schedule, or in the one that is given; of several equal
        ones the second, as
        in diffusers: a walk that begins midway must not skip a noise level. An InputError refuses a
        timestep that is not one of the schedule's, or not a single number.
        """
        known = self.host_timesteps if schedule_timesteps is None else floats(schedule_timesteps)
        wanted = floats(timestep)
        if wanted.size != 1:
            raise InputError(f"A timestep is one number, but a tensor of {wanted.size} was given.")
        matches = np.flatnonzero(known == wanted)
        if not len(matches):
            where = f"the schedule of {len(known)} steps"
            raise InputError(
                f"The timestep {wanted.item():g} is not in {where}; pass one of "
                "`scheduler.timesteps`."
            )
        return int(matches[:2][-1])

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    def _check_config(self, choices: Mapping[str, Collection[str]]) -> None:
        """Refuse a config without a training step, with several spacings, or an entry that is none
        of its choices.
        """
        if len(self) < 1:
            raise InputError(f"num_train_timesteps is {len(self)}; it must be at least 1.")
        for name, known in choices.items():
            if self.config[name] not in known:
                raise InputError(
                    f"{name} is {self.config[name]!r}; it must be one of {', '.join(known)}."
                )
        chosen_spacing(self.config)

    def _install(
        self, timesteps: Array, sigmas: Array, device: Device, sigmas_device: Device
    ) -> None:
        """Take a new schedule and forget the place in the old one."""
        self.host_timesteps, self.host_sigmas = floats(timesteps), floats(sigmas)
        self._timesteps = torch.from_numpy(self.host_timesteps.copy()).to(device)
        self._sigmas = torch.from_numpy(self.host_sigmas.copy()).to(sigmas_device)
        self._step_index = self._begin_index = None

    def _place(self, timestep: float | torch.Tensor) -> int:
        """The number of the step to take: the next one, or the one that begins the walk."""
        if self._step_index is not None:
            return self._step_index
        return self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index

    def _levels(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The noise levels before and after a step, each a number in a tensor."""
        if index + 1 >= len(self.host_sigmas):
            steps = len(self.host_timesteps)
            raise InputError(
                f"All {steps} steps of the schedule are done; call `set_timesteps` before another "
                "walk."
            )
        return self.sigmas[index], self.sigmas[index + 1]

    def _levels_of(self, timestep: float | torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """The noise levels of one timestep or `(B,)` of them, `(B, 1, ...)` in the dtype of
        `sample`.
        """
        times = np.atleast_1d(floats(timestep))
        if (
            self.begin_index is None
        ):  # else the level is that of the next step, whatever the timesteps are
            indices = [self.index_for_timestep(one) for one in times.tolist()]
        else:
            indices = [self.begin_index if self.step_index is None else self.step_index] * len(
                times
            )
        levels = torch.from_numpy(self.host_sigmas[indices]).to(sample.device, sample.dtype)
        return levels.view(-1, *[1] * (sample.ndim - 1))


def floats(values: float | Numbers) -> Array:
    """Numbers of any kind and place as a float32 array on the host."""
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values).astype(np.float32)


def flat(values: Numbers, name: str) -> Array:
    """A flat list of numbers of any kind as a float32 array on the host; others are refused."""
    array = floats(values)
    if array.ndim != 1:
        raise InputError(f"{name} has the shape {array.shape}; give a flat list of numbers.")
    return array


def check_steps(count: int) -> int:
    """The number of steps of a walk; less than 1 is refused."""
    if count < 1:
        raise InputError(f"A walk of {count} steps leads nowhere; ask for at least 1.")
    return count


def refuse_integer(timestep: float | torch.Tensor) -> None:
    """Refuse an integer as a timestep."""
    if isinstance(timestep, int) or (
        isinstance(timestep, torch.Tensor) and not timestep.is_floating_point()
    ):
        raise InputError(
            f"The timestep {timestep} is an integer, which looks like a step number; pass one of "
            "`scheduler.timesteps`."
        )
