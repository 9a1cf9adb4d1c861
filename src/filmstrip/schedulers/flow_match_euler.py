"""Euler steps along the straight paths of flow matching, the scheduler of LTX-Video."""

from typing import Literal

import numpy as np
import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.nn.noise import Generators, randn
from filmstrip.schedulers.base import (
    Device,
    Numbers,
    Scheduler,
    SchedulerOutput,
    check_steps,
    flat,
    floats,
    refuse_integer,
)
from filmstrip.schedulers.sigmas import (
    TIME_SHIFTS,
    Array,
    Values,
    chosen_spacing,
    static_shift,
    stretch_to_terminal,
)

logger = get_logger(__name__)


class FlowMatchEulerDiscreteScheduler(Scheduler):
    """Noise levels for flow matching, and Euler's method to walk them.

    At noise level sigma, from 1 (noise) to 0 (data), a sample is `sigma * noise + (1 - sigma) *
    data`. The model is given the timestep `sigma * num_train_timesteps` and predicts the velocity
    `noise - data`. Lipman et al., "Flow Matching for Generative Modeling"; Liu et al., "Flow
    Straight and Fast".

    Args:
        num_train_timesteps: the timestep of pure noise.
        shift: constant shift of the levels towards noise, above 0; without `use_dynamic_shifting`.
        use_dynamic_shifting: shift by `mu`, which `set_timesteps` is given, instead.
        base_shift, max_shift, base_image_seq_len, max_image_seq_len: the line from which pipelines
            read `mu` for a number of tokens; not used here.
        invert_sigmas: count levels from 0 (noise) to 1 (data).
        shift_terminal: stretch the levels so that the last step starts at this one.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: space the levels anew; one of
            these at most.
        time_shift_type: how `mu` shifts.
        stochastic_sampling: step to the predicted data and add fresh noise.

    Several spacings, an unknown shift, and a number out of range are an InputError.
    """

    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float | None = 0.5,
        max_shift: float | None = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        invert_sigmas: bool = False,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool = False,
        use_exponential_sigmas: bool = False,
        use_beta_sigmas: bool = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        stochastic_sampling: bool = False,
    ) -> None:
        self._check_config({"time_shift_type": TIME_SHIFTS})
        self.set_shift(shift)

        steps = np.arange(num_train_timesteps, 0, -1, dtype=np.float32)
        sigmas = steps / np.float32(num_train_timesteps)
        if not use_dynamic_shifting:
            sigmas = static_shift(shift, sigmas)
        self._install(sigmas * num_train_timesteps, sigmas, None, None)
        self.sigma_max, self.sigma_min = float(sigmas[0]), float(sigmas[-1])

    @property
    def shift(self) -> float:
        """The constant shift that `set_timesteps` applies without `use_dynamic_shifting`."""
        return self._shift

    def set_shift(self, shift: float) -> None:
        """Change the constant shift, which must be above 0, from the next `set_timesteps` on."""
        if not self.config.use_dynamic_shifting and shift <= 0:
            raise InputError(f"The shift is {shift:g}; it must be above 0, and 1 shifts nothing.")
        self._shift = shift

    def time_shift(self, mu: float, sigma: float, t: Values) -> Values:
        """Shift the levels `t` by `mu`, with the power `sigma`, in the way of `time_shift_type`."""
        return TIME_SHIFTS[self.config.time_shift_type](mu, sigma, t)

    def stretch_shift_to_terminal(self, t: Values) -> Values:
        """Stretch the levels `t` so that the last is `shift_terminal`."""
        return stretch_to_terminal(self.config.shift_terminal, t)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Device = None,
        sigmas: Numbers | None = None,
        mu: float | None = None,
        timesteps: Numbers | None = None,
    ) -> None:
        """Make the schedule of the next walk.

        Args:
            sigmas: noise levels instead of even ones; they are still shifted, stretched and spaced.
            mu: the shift for `use_dynamic_shifting`, which usually depends on the number of tokens.
            timesteps: what the model is given at each step, as it is. Levels come from it without
                `sigmas`.

        No number of steps, several that differ, and a missing `mu` are an InputError.
        """
        if self.config.use_dynamic_shifting and mu is None:
            raise InputError("use_dynamic_shifting is on, so `mu` must be given to set_timesteps.")
        steps = _number_of_steps(num_inference_steps, sigmas, timesteps)
        if timesteps is not None and sigmas is None:
            logger.warning(
                "timesteps were given without sigmas: the model gets them as they are, but the "
                "noise levels "
                "made from them are shifted. Give sigmas, or both, to have them agree."
            )
        train = self.config.num_train_timesteps
        given = None if timesteps is None else floats(timesteps)
        if sigmas is not None:
            levels = floats(sigmas)
        elif given is not None:
            levels = given / train
        else:
            levels = np.linspace(self.sigma_max * train, self.sigma_min * train, steps) / train
        levels = self._shifted(levels, mu).astype(np.float32)
        if self.config.invert_sigmas:
            levels, given = 1 - levels, None
        end = np.float32(self.config.invert_sigmas)
        self._install(
            levels * train if given is None else given, np.append(levels, end), device, device
        )
        self.num_inference_steps = steps

    def _shifted(self, sigmas: Array, mu: float | None) -> Array:
        """The levels after everything that the config asks for: shift, stretch, spacing."""
        if self.config.use_dynamic_shifting and mu is not None:
            sigmas = self.time_shift(mu, 1.0, sigmas)
        else:
            sigmas = static_shift(self.shift, sigmas)
        if self.config.shift_terminal:
            sigmas = self.stretch_shift_to_terminal(sigmas)
        if spacing := chosen_spacing(self.config):
            sigmas = spacing(float(sigmas[-1]), float(sigmas[0]), len(sigmas))
        return sigmas

    def scale_noise(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, noise: torch.Tensor
    ) -> torch.Tensor:
        """Noise clean samples to the level of a timestep: `sigma * noise + (1 - sigma) * sample`.

        Samples are `(B, ...)`; the timestep is one of the schedule, or `(B,)` of them. Where the
        begin of the walk was set, the level is that of the next step whatever they are.
        """
        sigma = self._levels_of(timestep, sample)
        return sigma * noise + (1 - sigma) * sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        generator: Generators = None,
        per_token_timesteps: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """Take the next step of the schedule.

        Args:
            model_output: the velocity, `(B, ...)`; with `per_token_timesteps` its negative.
            timestep: finds the place of the first step in the schedule; later steps follow from it.
                An integer, one that is not in the schedule, or one step too many is an InputError.
            sample: `(B, ...)`; the arithmetic is in float32.
            s_churn, s_tmin, s_tmax, s_noise: taken as other Euler schedulers do, and without
                effect.
            generator: for the noise of `stochastic_sampling`, which is drawn in float32.
            per_token_timesteps: `(B, N)`, a timestep for each token of `(B, N, C)` samples. Each
                token steps to the next lower level of the schedule, and the result stays in
                float32.

        Returns:
            The sample at the next level, in the dtype of `model_output`.
        """
        refuse_integer(timestep)
        index = self._place(timestep)
        sample = sample.float()
        if per_token_timesteps is None:
            sigma, lower = self._levels(index)
            change = lower - sigma
        else:
            sigma = (per_token_timesteps / self.config.num_train_timesteps)[..., None]
            levels = self.sigmas.to(sigma.device)
            lower = torch.where(levels < sigma - 1e-6, levels, 0).amax(dim=-1, keepdim=True)  # or 0
            change = sigma - lower

        if self.config.stochastic_sampling:
            data = sample - sigma * model_output
            stepped = (1 - lower) * data + lower * randn(
                sample.shape, generator, sample.device, sample.dtype
            )
        else:
            stepped = sample + change * model_output
        stepped = stepped.to(model_output.dtype) if per_token_timesteps is None else stepped
        self._step_index = index + 1
        return SchedulerOutput(stepped) if return_dict else (stepped,)


def _number_of_steps(steps: int | None, sigmas: Numbers | None, timesteps: Numbers | None) -> int:
    """The number of steps on which all that was given agrees; refused if it does not, or is not
    given or below 1.
    """
    lists = {"sigmas": sigmas, "timesteps": timesteps}
    counts = {name: len(flat(values, name)) for name, values in lists.items() if values is not None}
    if steps is not None:
        counts["num_inference_steps"] = steps
    if not counts:
        raise InputError("set_timesteps needs num_inference_steps, sigmas or timesteps.")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} says {count}" for name, count in counts.items())
        raise InputError(f"The number of steps is not clear: {said}; give them the same length.")
    return check_steps(next(iter(counts.values())))
