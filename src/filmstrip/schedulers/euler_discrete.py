"""Euler steps from noise to data for models trained on a variance-preserving path: the scheduler of
SVD.
"""

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
    check_steps,
    flat,
    refuse_integer,
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
    """Noise levels of a diffusion model, and Euler's method to walk them.

    At noise level sigma a sample is `data + sigma * noise`; the model is given it divided by
    `sqrt(sigma^2 + 1)`. Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
    Models", algorithm 2.

    Args:
        num_train_timesteps: the number of noise levels that the model was trained on.
        beta_start, beta_end, beta_schedule: first and last variance, and one of `BETA_SCHEDULES`
            between them.
        trained_betas: the variances themselves instead.
        prediction_type: whether the model predicts the noise ("epsilon"), the velocity
            ("v_prediction"; Salimans and Ho, "Progressive Distillation", appendix D), or the data
            ("sample"; "original_sample" is the same).
        interpolation_type: read levels between trained ones off linearly, or space them evenly in
            the logarithm.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: space the levels between the
            first and the last anew, or between sigma_min and sigma_max; one of these at most.
        timestep_spacing: which of the trained timesteps; "Common Diffusion Noise Schedules", table
            2.
        timestep_type: "continuous" gives a model with v-prediction `log(sigma) / 4` as its
            timestep.
        steps_offset: added to the timesteps of the spacing "leading".
        rescale_betas_zero_snr: let the last trained level be (nearly) pure noise.
        final_sigmas_type: whether the walk ends at level 0 or at the lowest trained one.

    Several spacings, an unknown choice, and no training step are an InputError.
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
            betas = torch.from_numpy(flat(trained_betas, "trained_betas"))
        self.betas = zero_terminal_snr(betas) if rescale_betas_zero_snr else betas
        self.alphas_cumprod = torch.cumprod(1 - self.betas, dim=0)
        if rescale_betas_zero_snr:
            self.alphas_cumprod[-1] = 2**-24  # not 0, which would make the first sigma infinite

        self._trained = (((1 - self.alphas_cumprod) / self.alphas_cumprod) ** 0.5).numpy()
        sigmas = self._trained[::-1]
        timesteps = np.arange(num_train_timesteps, dtype=np.float32)[::-1]
        self._install(
            _continuous(sigmas) if self.is_continuous else timesteps,
            np.append(sigmas, 0),
            None,
            "cpu",
        )
        self.is_scale_input_called = False

    @property
    def is_continuous(self) -> bool:
        """Whether the model is told `log(sigma) / 4`, and not the number of a trained level."""
        return (
            self.config.timestep_type == "continuous"
            and self.config.prediction_type == "v_prediction"
        )

    @property
    def init_noise_sigma(self) -> Tensor:
        """The factor on standard normal noise that makes it the first sample, a number in a tensor
        on the CPU.
        """
        highest = self.sigmas.max()
        return (highest**2 + 1) ** 0.5 if self.config.timestep_spacing == "leading" else highest

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Device = None,
        timesteps: Numbers | None = None,
        sigmas: Numbers | None = None,
    ) -> None:
        """Make the schedule of the next walk, from a number of steps, from `timesteps` among or
        between the trained ones, or from the `sigmas` before each step and after the last.
        `self.sigmas` stay on the CPU, as in diffusers.

        An InputError says that none or several of the three are given, that the config sets
        `timesteps` another way, that a list is not flat, a level cannot be walked from, or there
        are no steps.
        """
        given = {
            "num_inference_steps": num_inference_steps,
            "timesteps": timesteps,
            "sigmas": sigmas,
        }
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            got = " and ".join(names) or "none of them"
            raise InputError(f"set_timesteps needs one of {', '.join(given)}, but got {got}.")
        if sigmas is not None:
            levels = flat(sigmas, "sigmas")
            steps = check_steps(len(levels) - 1)
            if not (np.isfinite(levels).all() and (levels[:-1] > 0).all() and levels[-1] >= 0):
                raise InputError(
                    f"sigmas are {levels.tolist()}; all must be above 0, but the last may be 0."
                )
            times = self._timesteps_of(levels[:-1])
        else:
            times = (
                self._given(timesteps)
                if timesteps is not None
                else self._spaced(num_inference_steps or 0)
            )
            steps = check_steps(len(times)) if num_inference_steps is None else num_inference_steps
            levels, times = self._levels_at(times, steps)
        if self.is_continuous:
            times = _continuous(levels[:-1].astype(np.float32))
        self._install(times, levels, device, "cpu")
        self.num_inference_steps = steps

    def _given(self, timesteps: Numbers) -> Array:
        """The timesteps that a caller wants, unless the config sets them in another way."""
        spacing = chosen_spacing(self.config)
        if spacing or self.is_continuous:
            why = (
                f"{spacing.__name__} sigmas"
                if spacing
                else "continuous timesteps with v_prediction"
            )
            raise InputError(
                f"timesteps cannot be given to a scheduler whose config asks for {why}; give "
                "sigmas."
            )
        return flat(timesteps, "timesteps")

    def _spaced(self, steps: int) -> Array:
        """That many of the trained timesteps, in float32, from noise to data, as `timestep_spacing`
        chooses them.
        """
        train = self.config.num_train_timesteps
        check_steps(steps)
        if self.config.timestep_spacing == "linspace":
            return np.linspace(0, train - 1, steps, dtype=np.float32)[::-1]
        if self.config.timestep_spacing == "leading":
            return (np.arange(steps)[::-1] * (train // steps)).astype(
                np.float32
            ) + self.config.steps_offset
        return np.arange(train, 0, -train / steps).round().astype(np.float32) - 1

    def _levels_at(self, times: Array, steps: int) -> tuple[Array, Array]:
        """The noise levels for timesteps, and the timesteps after a spacing has moved them."""
        if self.config.interpolation_type == "linear":
            levels = np.interp(times, np.arange(len(self._trained)), self._trained)
        else:  # one more than steps, as in diffusers
            high, low = np.log(self._trained[[-1, 0]]).tolist()
            levels = torch.linspace(high, low, steps + 1).exp().numpy()
        if spacing := chosen_spacing(self.config):
            low = levels[-1] if self.config.sigma_min is None else self.config.sigma_min
            high = levels[0] if self.config.sigma_max is None else self.config.sigma_max
            levels = spacing(float(low), float(high), steps)
            times = self._timesteps_of(levels)
        end = self._trained[0] if self.config.final_sigmas_type == "sigma_min" else 0.0
        return np.append(levels, end), times

    def _timesteps_of(self, sigmas: Array) -> Array:
        """Where the levels lie among the trained ones, by interpolation in the logarithm."""
        logs = np.log(np.maximum(sigmas, 1e-10))
        return np.interp(logs, np.log(self._trained), np.arange(len(self._trained)))

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor) -> Tensor:
        """The sample as the model wants it, of unit variance.

        Before the first step it finds the place of `timestep`, which must be in the schedule.
        """
        self._step_index, self.is_scale_input_called = self._place(timestep), True
        return sample / (self._levels(self._step_index)[0] ** 2 + 1) ** 0.5

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
            model_output: what `prediction_type` says, `(B, ...)`.
            timestep: finds the place of the first step in the schedule; later steps follow from it.
                An integer, one that is not in the schedule, or one step too many is an InputError.
            sample: `(B, ...)`, not scaled; the arithmetic is in float32.
            s_churn, s_tmin, s_tmax, s_noise, generator: how much noise to add first over the whole
                walk (Karras et al., algorithm 2), between which levels, its deviation, and whence,
                in the dtype of `model_output`.

        Returns:
            The sample at the next level, in the dtype of `model_output`, and the data that the
            model predicts.
        """
        refuse_integer(timestep)
        if not self.is_scale_input_called:
            logger.warning(
                "The model's input was not scaled: call `scale_model_input` before each step."
            )
        index = self._place(timestep)
        sigma, lower = self._levels(index)
        sample = sample.float()
        churn = (
            min(s_churn / (len(self.host_sigmas) - 1), 2**0.5 - 1)
            if s_tmin <= sigma <= s_tmax
            else 0.0
        )
        higher = sigma * (churn + 1)
        if churn > 0:
            noise = randn(model_output.shape, generator, model_output.device, model_output.dtype)
            sample = sample + noise * s_noise * (higher**2 - sigma**2) ** 0.5

        data = self._data(model_output, sample, sigma, higher)
        stepped = (sample + (sample - data) / higher * (lower - higher)).to(model_output.dtype)
        self._step_index = index + 1
        return SchedulerOutput(stepped, data) if return_dict else (stepped, data)

    def _data(self, output: Tensor, sample: Tensor, sigma: Tensor, higher: Tensor) -> Tensor:
        """The data that the model predicts for a sample that was raised from the level `sigma` to
        `higher`.
        """
        if self.config.prediction_type == "epsilon":
            return sample - higher * output
        if (
            self.config.prediction_type == "v_prediction"
        ):  # at the level before the churn, as in diffusers
            return output * (-sigma / (sigma**2 + 1) ** 0.5) + sample / (sigma**2 + 1)
        return output

    def add_noise(
        self, original_samples: Tensor, noise: Tensor, timesteps: Tensor | float
    ) -> Tensor:
        """Noise clean samples `(B, ...)` to the levels of timesteps, one or `(B,)`: `sample + sigma
        * noise`.

        Where the begin of the walk was set, the level is that of the next step whatever the
        timesteps are; else they must be in the schedule.
        """
        return original_samples + noise * self._levels_of(timesteps, original_samples)


def _continuous(sigmas: Array) -> Array:
    """The continuous timesteps of levels: `log(sigma) / 4`, c_noise of Karras et al., table 1."""
    return np.float32(0.25) * np.log(sigmas)
