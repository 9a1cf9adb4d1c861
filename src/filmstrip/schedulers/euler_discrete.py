"""The Euler scheduler for diffusion models, in the form of Karras et al.; SVD uses it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

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
)
from filmstrip.schedulers.sigmas import BETA_SCHEDULES, Array, chosen_spacing, zero_terminal_snr

logger = get_logger(__name__)

CHOICES: Mapping[str, Collection[str]] = {
    "prediction_type": ("epsilon", "v_prediction", "sample", "original_sample"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "timestep_type": ("discrete", "continuous"),
    "final_sigmas_type": ("zero", "sigma_min"),
}


class EulerDiscreteScheduler(Scheduler):
    """Noise levels of a diffusion model, and Euler steps between them.

    At noise level sigma a sample is `data + sigma * noise`; the model is given it divided by
    `sqrt(sigma^2 + 1)`. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", algorithm 2.

    Args:
        num_train_timesteps: the number of noise levels that the model was trained on.
        beta_start, beta_end: first and last variance.
        beta_schedule: how the variances grow between them, one of `BETA_SCHEDULES`.
        trained_betas: all variances, instead of the three arguments above.
        prediction_type: whether the model predicts the noise ("epsilon"), the velocity
            ("v_prediction"; Salimans and Ho, "Progressive Distillation", appendix D), or the data
            ("sample"; "original_sample" is the same).
        interpolation_type: "linear" interpolates between trained sigmas; "log_linear" spaces the
            sigmas evenly in their logarithm.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: respace the sigmas; at most one
            of these.
        sigma_min, sigma_max: ends of a respaced schedule, by default its last and first sigma.
        timestep_spacing: which of the trained timesteps are used; Lin et al., "Common Diffusion
            Noise Schedules and Sample Steps are Flawed", table 2.
        timestep_type: "continuous" gives a model with v-prediction `log(sigma) / 4` as its
            timestep.
        steps_offset: added to the timesteps of the spacing "leading".
        rescale_betas_zero_snr: make the last trained level (almost) pure noise.
        final_sigmas_type: whether the last step ends at sigma 0 or at the lowest trained sigma.

    Raises:
        InputError: several spacings, an unknown choice, or no training timestep.
    """

    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: Sequence[float] | Array | None = None,
        prediction_type: str = "epsilon",
        interpolation_type: str = "linear",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        timestep_spacing: Literal["linspace", "leading", "trailing"] = "linspace",
        timestep_type: Literal["discrete", "continuous"] = "discrete",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
    ) -> None:
        if trained_betas is None:
            self._check_config({**CHOICES, "beta_schedule": BETA_SCHEDULES})
            betas = BETA_SCHEDULES[beta_schedule](beta_start, beta_end, num_train_timesteps)
        else:
            self._check_config(CHOICES)
            betas = torch.from_numpy(to_flat_float_array(trained_betas, "trained_betas"))
        self.betas = zero_terminal_snr(betas) if rescale_betas_zero_snr else betas
        self.alphas_cumprod = torch.cumprod(1 - self.betas, dim=0)
        if rescale_betas_zero_snr:
            self.alphas_cumprod[-1] = 2**-24  # 0 would make the first sigma infinite

        self._trained_sigmas = (((1 - self.alphas_cumprod) / self.alphas_cumprod) ** 0.5).numpy()
        sigmas = self._trained_sigmas[::-1]
        if self.is_continuous:
            timesteps = _continuous_timesteps(sigmas)
        else:
            timesteps = np.arange(num_train_timesteps, dtype=np.float32)[::-1]
        self._set_schedule(timesteps, np.append(sigmas, 0), None, "cpu")
        self.is_scale_input_called = False

    @property
    def is_continuous(self) -> bool:
        """Whether timesteps are `log(sigma) / 4`, and not the index of a trained level."""
        return (
            self.config.timestep_type == "continuous"
            and self.config.prediction_type == "v_prediction"
        )

    @property
    def init_noise_sigma(self) -> Tensor:
        """The standard deviation of the first sample, a tensor of shape `()` on the CPU."""
        sigma = self.sigmas.max()
        if self.config.timestep_spacing == "leading":
            return (sigma**2 + 1) ** 0.5
        return sigma

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Device = None,
        timesteps: Numbers | None = None,
        sigmas: Numbers | None = None,
    ) -> None:
        """Set the schedule for the next sampling, from one of three arguments.

        Args:
            num_inference_steps: number of steps.
            device: of `self.timesteps`. `self.sigmas` stay on the CPU, as in diffusers.
            timesteps: from 0 to `num_train_timesteps - 1`, falling, fractions included.
            sigmas: noise levels before each step and after the last, falling; only the last may be
                0.

        Raises:
            InputError: none or several of the three are given, `timesteps` contradict the config,
                a list is not flat, a sigma is out of range, or there are no steps.
        """
        arguments = {
            "num_inference_steps": num_inference_steps,
            "timesteps": timesteps,
            "sigmas": sigmas,
        }
        names = [name for name, value in arguments.items() if value is not None]
        if len(names) != 1:
            got = " and ".join(names) or "none of them"
            raise InputError(f"set_timesteps needs one of {', '.join(arguments)}, but got {got}.")
        if sigmas is not None:
            schedule = _check_sigmas(sigmas)
            model_timesteps = self._timesteps_of(schedule[:-1])
            num_steps = len(schedule) - 1
        elif timesteps is not None:
            self._check_accepts_timesteps()
            model_timesteps = to_flat_float_array(timesteps, "timesteps")
            num_steps = check_num_steps(len(model_timesteps))
            schedule, model_timesteps = self._sigmas_at(model_timesteps, num_steps)
        else:
            num_steps = check_num_steps(num_inference_steps or 0)
            schedule, model_timesteps = self._sigmas_at(self._space_timesteps(num_steps), num_steps)
        if self.is_continuous:
            model_timesteps = _continuous_timesteps(schedule[:-1].astype(np.float32))
        self._set_schedule(model_timesteps, schedule, device, "cpu")
        self.num_inference_steps = num_steps

    def _check_accepts_timesteps(self) -> None:
        """Refuse `timesteps` where the config computes them from the sigmas."""
        spacing = chosen_spacing(self.config)
        if spacing is not None:
            reason = f"{spacing.__name__} sigmas"
        elif self.is_continuous:
            reason = "continuous timesteps with v_prediction"
        else:
            return
        raise InputError(
            f"timesteps cannot be given to a scheduler whose config has {reason}; give sigmas."
        )

    def _space_timesteps(self, num_steps: int) -> Array:
        """Choose trained timesteps by `timestep_spacing`, float32, from noise to data."""
        num_train = self.config.num_train_timesteps
        if self.config.timestep_spacing == "linspace":
            return np.linspace(0, num_train - 1, num_steps, dtype=np.float32)[::-1]
        if self.config.timestep_spacing == "leading":
            timesteps = np.arange(num_steps)[::-1] * (num_train // num_steps)
            return timesteps.astype(np.float32) + self.config.steps_offset
        return np.arange(num_train, 0, -num_train / num_steps).round().astype(np.float32) - 1

    def _sigmas_at(self, timesteps: Array, num_steps: int) -> tuple[Array, Array]:
        """Interpolate the sigmas of timesteps and respace them.

        Returns:
            The sigmas including the final one, and the timesteps, which a spacing changes.
        """
        if self.config.interpolation_type == "linear":
            indices = np.arange(len(self._trained_sigmas))
            sigmas = np.interp(timesteps, indices, self._trained_sigmas)
        else:  # one more than steps, as in diffusers
            start, end = np.log(self._trained_sigmas[[-1, 0]]).tolist()
            sigmas = torch.linspace(start, end, num_steps + 1).exp().numpy()
        spacing = chosen_spacing(self.config)
        if spacing is not None:
            low = sigmas[-1] if self.config.sigma_min is None else self.config.sigma_min
            high = sigmas[0] if self.config.sigma_max is None else self.config.sigma_max
            sigmas = spacing(float(low), float(high), num_steps)
            timesteps = self._timesteps_of(sigmas)
        ends_at_sigma_min = self.config.final_sigmas_type == "sigma_min"
        final_sigma = self._trained_sigmas[0] if ends_at_sigma_min else 0.0
        return np.append(sigmas, final_sigma), timesteps

    def _timesteps_of(self, sigmas: Array) -> Array:
        """The timesteps of sigmas, interpolated in log(sigma) between the trained ones."""
        log_sigmas = np.log(np.maximum(sigmas, 1e-10))
        indices = np.arange(len(self._trained_sigmas))
        return np.interp(log_sigmas, np.log(self._trained_sigmas), indices)

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor) -> Tensor:
        """Scale a sample to unit variance for the model, by `1 / sqrt(sigma^2 + 1)`.

        Args:
            sample: `(B, ...)`, at the noise level of the next step.
            timestep: one of the schedule; it sets the step index where none is set yet.

        Raises:
            InputError: the timestep is not in the schedule, or all steps are done.
        """
        self._step_index = self._current_index(timestep)
        self.is_scale_input_called = True
        sigma, _ = self._sigma_pair(self._step_index)
        return sample / (sigma**2 + 1) ** 0.5

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor, Tensor]:
        """Take the next step of the schedule.

        Args:
            model_output: the prediction of type `prediction_type`, `(B, ...)`.
            timestep: one of the schedule. It sets the index of the first step; later steps follow
                in order.
            sample: `(B, ...)`, not scaled; the arithmetic is in float32.
            s_churn: amount of noise to add before the steps, over the whole schedule (Karras et
                al., algorithm 2).
            s_tmin, s_tmax: noise is added only at sigmas between these.
            s_noise: standard deviation of that noise.
            generator: for that noise, which is drawn in the dtype of `model_output`.
            return_dict: return a `SchedulerOutput` rather than a tuple.

        Returns:
            The sample at the next noise level, in the dtype of `model_output`, and the data that
            the model predicts.

        Raises:
            InputError: the timestep is an integer or not in the schedule, or all steps are done.
        """
        check_timestep(timestep)
        if not self.is_scale_input_called:
            logger.warning(
                "The model's input was not scaled: call `scale_model_input` before each step."
            )
        index = self._current_index(timestep)
        sigma, next_sigma = self._sigma_pair(index)
        sample = sample.float()
        gamma = 0.0
        if s_tmin <= sigma <= s_tmax:
            gamma = min(s_churn / (len(self.host_sigmas) - 1), 2**0.5 - 1)
        sigma_hat = sigma * (gamma + 1)
        if gamma > 0:
            noise = randn(model_output.shape, generator, model_output.device, model_output.dtype)
            sample = sample + noise * s_noise * (sigma_hat**2 - sigma**2) ** 0.5

        data = self._predict_data(model_output, sample, sigma, sigma_hat)
        derivative = (sample - data) / sigma_hat
        prev_sample = (sample + derivative * (next_sigma - sigma_hat)).to(model_output.dtype)
        self._step_index = index + 1
        return SchedulerOutput(prev_sample, data) if return_dict else (prev_sample, data)

    def _predict_data(
        self, model_output: Tensor, sample: Tensor, sigma: Tensor, sigma_hat: Tensor
    ) -> Tensor:
        """The data that the model predicts.

        Args:
            model_output: the prediction of type `prediction_type`.
            sample: at the noise level `sigma_hat`, after `s_churn`.
            sigma: the noise level before `s_churn`; v-prediction uses it, as in diffusers.
            sigma_hat: the noise level of `sample`.
        """
        if self.config.prediction_type == "epsilon":
            return sample - sigma_hat * model_output
        if self.config.prediction_type == "v_prediction":
            return model_output * (-sigma / (sigma**2 + 1) ** 0.5) + sample / (sigma**2 + 1)
        return model_output

    def add_noise(
        self, original_samples: Tensor, noise: Tensor, timesteps: Tensor | float
    ) -> Tensor:
        """Noise clean samples to the levels of timesteps: `sample + sigma * noise`.

        Args:
            original_samples: clean samples `(B, ...)`.
            noise: standard normal, the shape of the samples.
            timesteps: one of the schedule, or `(B,)` of them. Where `set_begin_index` was called,
                the level is that of the next step instead, as in diffusers.
        """
        return original_samples + noise * self._sigmas_for(timesteps, original_samples)


def _check_sigmas(sigmas: Numbers) -> Array:
    """Sigmas of a caller as a float32 array; refused where a step cannot start or end at one."""
    array = to_flat_float_array(sigmas, "sigmas")
    check_num_steps(len(array) - 1)
    if not (np.isfinite(array).all() and (array[:-1] > 0).all() and array[-1] >= 0):
        raise InputError(
            f"sigmas are {array.tolist()}; all must be above 0, but the last may be 0."
        )
    return array


def _continuous_timesteps(sigmas: Array) -> Array:
    """The timesteps `log(sigma) / 4`: c_noise of Karras et al., table 1."""
    return np.float32(0.25) * np.log(sigmas)
