"""The Euler scheduler for flow matching; LTX-Video uses it."""

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
    check_num_steps,
    check_timestep,
    to_flat_float_array,
    to_float_array,
)
from filmstrip.schedulers.euler_steps import euler_step, euler_step_per_token
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
    """Noise levels for flow matching, and Euler steps between them.

    At noise level sigma, from 1 (noise) to 0 (data), a sample is `sigma * noise + (1 - sigma) *
    data`. The model is given the timestep `sigma * num_train_timesteps` and predicts the velocity
    `noise - data`. Lipman et al., "Flow Matching for Generative Modeling"; Liu et al., "Flow
    Straight and Fast".

    Args:
        num_train_timesteps: the timestep of pure noise.
        shift: constant shift of the sigmas towards noise, above 0; used where
            `use_dynamic_shifting` is off.
        use_dynamic_shifting: shift by the `mu` that `set_timesteps` is given instead.
        base_shift, max_shift, base_image_seq_len, max_image_seq_len: the line from which pipelines
            compute `mu` for a number of tokens; not used by the scheduler.
        invert_sigmas: let sigmas rise from 0 (noise) to 1 (data).
        shift_terminal: stretch the sigmas so that the last step starts at this one.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: respace the sigmas; at most one
            of these.
        time_shift_type: how `mu` shifts, "exponential" or "linear".
        stochastic_sampling: step to the predicted data and add fresh noise.

    Raises:
        InputError: several spacings, an unknown `time_shift_type`, or a number out of range.
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

        timesteps = np.arange(num_train_timesteps, 0, -1, dtype=np.float32)
        sigmas = timesteps / np.float32(num_train_timesteps)
        if not use_dynamic_shifting:
            sigmas = static_shift(shift, sigmas)
        self._set_schedule(sigmas * num_train_timesteps, sigmas, None, None)
        self.sigma_max = float(sigmas[0])
        self.sigma_min = float(sigmas[-1])

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
        """Shift the sigmas `t` by `mu` according to `time_shift_type`; `sigma` is the exponent."""
        return TIME_SHIFTS[self.config.time_shift_type](mu, sigma, t)

    def stretch_shift_to_terminal(self, t: Values) -> Values:
        """Stretch the sigmas `t` so that the last is `shift_terminal`."""
        return stretch_to_terminal(self.config.shift_terminal, t)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Device = None,
        sigmas: Numbers | None = None,
        mu: float | None = None,
        timesteps: Numbers | None = None,
    ) -> None:
        """Set the schedule for the next sampling.

        Args:
            num_inference_steps: number of steps; may be left out where a list is given.
            device: of `timesteps` and `sigmas`.
            sigmas: noise levels instead of evenly spaced ones; they are still shifted, stretched
                and respaced.
            mu: the shift for `use_dynamic_shifting`, usually computed from the number of tokens.
            timesteps: the model's input at each step, not shifted. Without `sigmas`, the sigmas
                are computed from them.

        Raises:
            InputError: no number of steps, or several that differ; or `mu` is missing.
        """
        if self.config.use_dynamic_shifting and mu is None:
            raise InputError("use_dynamic_shifting is on, so `mu` must be given to set_timesteps.")
        num_steps = _resolve_num_steps(num_inference_steps, sigmas, timesteps)
        if timesteps is not None and sigmas is None:
            logger.warning(
                "timesteps were given without sigmas: the model gets them as they are, but the "
                "sigmas computed from them are shifted. Give sigmas, or both, to have them agree."
            )
        num_train = self.config.num_train_timesteps
        model_timesteps = None if timesteps is None else to_float_array(timesteps)
        if sigmas is not None:
            schedule = to_float_array(sigmas)
        elif model_timesteps is not None:
            schedule = model_timesteps / num_train
        else:
            first = self.sigma_max * num_train
            last = self.sigma_min * num_train
            schedule = np.linspace(first, last, num_steps) / num_train
        schedule = self._shift_and_space(schedule, mu).astype(np.float32)
        if self.config.invert_sigmas:
            schedule = 1 - schedule
            model_timesteps = None  # ignored with invert_sigmas, as in diffusers
        if model_timesteps is None:
            model_timesteps = schedule * num_train
        final_sigma = np.float32(self.config.invert_sigmas)
        self._set_schedule(model_timesteps, np.append(schedule, final_sigma), device, device)
        self.num_inference_steps = num_steps

    def _shift_and_space(self, sigmas: Array, mu: float | None) -> Array:
        """Shift, stretch and respace sigmas in this order, according to the config."""
        if self.config.use_dynamic_shifting and mu is not None:
            sigmas = self.time_shift(mu, 1.0, sigmas)
        else:
            sigmas = static_shift(self.shift, sigmas)
        if self.config.shift_terminal:
            sigmas = self.stretch_shift_to_terminal(sigmas)
        spacing = chosen_spacing(self.config)
        if spacing is not None:
            sigmas = spacing(float(sigmas[-1]), float(sigmas[0]), len(sigmas))
        return sigmas

    def scale_noise(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, noise: torch.Tensor
    ) -> torch.Tensor:
        """Noise clean samples to the level of a timestep: `sigma * noise + (1 - sigma) * sample`.

        Args:
            sample: clean samples `(B, ...)`.
            timestep: one of the schedule, or `(B,)` of them. Where `set_begin_index` was called,
                the level is that of the next step instead, as in diffusers.
            noise: standard normal, the shape of `sample`.
        """
        sigma = self._sigmas_for(timestep, sample)
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
            model_output: the velocity, `(B, ...)`; with `per_token_timesteps` its negative, as in
                diffusers.
            timestep: one of the schedule. It sets the index of the first step; later steps follow
                in order.
            sample: `(B, ...)`, at the noise level of the step; the arithmetic is in float32.
            s_churn, s_tmin, s_tmax, s_noise: arguments of other Euler schedulers, without effect.
            generator: for the noise of `stochastic_sampling`, which is drawn in float32.
            per_token_timesteps: `(B, N)`, a timestep for each token of `(B, N, C)` samples. Each
                token steps to the next lower sigma of the schedule.
            return_dict: return a `SchedulerOutput` rather than a tuple.

        Returns:
            The sample at the next noise level, in the dtype of `model_output`; in float32 with
            `per_token_timesteps`.

        Raises:
            InputError: the timestep is an integer or not in the schedule, or all steps are done.
        """
        check_timestep(timestep)
        index = self._current_index(timestep)
        sample = sample.float()
        noise = None
        if self.config.stochastic_sampling:
            noise = randn(sample.shape, generator, sample.device, sample.dtype)
        if per_token_timesteps is None:
            prev_sample = euler_step(sample, model_output, *self._sigma_pair(index), noise)
            prev_sample = prev_sample.to(model_output.dtype)
        else:
            # diffusers takes the negative velocity here, but its stochastic step takes the same
            # tensor for the velocity itself.
            velocity = -model_output if noise is None else model_output
            sigmas = per_token_timesteps / self.config.num_train_timesteps
            schedule = self.sigmas.to(sigmas.device)
            prev_sample = euler_step_per_token(sample, velocity, sigmas, schedule, noise)
        self._step_index = index + 1
        return SchedulerOutput(prev_sample) if return_dict else (prev_sample,)


def _resolve_num_steps(
    num_inference_steps: int | None, sigmas: Numbers | None, timesteps: Numbers | None
) -> int:
    """The number of steps, on which all arguments that are not `None` must agree."""
    counts = {}
    if sigmas is not None:
        counts["sigmas"] = len(to_flat_float_array(sigmas, "sigmas"))
    if timesteps is not None:
        counts["timesteps"] = len(to_flat_float_array(timesteps, "timesteps"))
    if num_inference_steps is not None:
        counts["num_inference_steps"] = num_inference_steps
    if not counts:
        raise InputError("set_timesteps needs num_inference_steps, sigmas or timesteps.")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} says {count}" for name, count in counts.items())
        raise InputError(f"The number of steps is not clear: {listed}; give them the same length.")
    return check_num_steps(next(iter(counts.values())))
