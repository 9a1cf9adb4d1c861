"""Sigmas and betas as pure functions: training variances, spacings over the steps, and shifts.

Sigmas run from noise to data, betas from data to noise. The shifts work on arrays and tensors.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from filmstrip.errors import InputError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Spacing: TypeAlias = Callable[[float, float, int], Array]
Values = TypeVar("Values", Array, torch.Tensor)


def karras(sigma_min: float, sigma_max: float, steps: int, rho: float = 7.0) -> Array:
    """Sigmas evenly spaced in sigma^(1/rho), `(steps,)`, falling.

    `get_sigmas_karras` of k-diffusion; Karras et al., "Elucidating the Design Space of
    Diffusion-Based Generative Models", eq. 5.
    """
    low = sigma_min ** (1 / rho)
    high = sigma_max ** (1 / rho)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** rho


def exponential(sigma_min: float, sigma_max: float, steps: int) -> Array:
    """Sigmas evenly spaced in log(sigma), `(steps,)`, falling.

    `get_sigmas_exponential` of k-diffusion.

    Raises:
        InputError: one end is not above 0.
    """
    if min(sigma_min, sigma_max) <= 0:
        raise InputError(
            f"Exponential sigmas need both ends above 0, not {sigma_min:g} to {sigma_max:g}; "
            "choose others or another spacing."
        )
    return np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), steps))


def beta(sigma_min: float, sigma_max: float, steps: int, a: float = 0.6, b: float = 0.6) -> Array:
    """Sigmas at quantiles of a beta distribution, `(steps,)`, falling, dense at both ends.

    Lee et al., "Beta Sampling is All You Need".
    """
    from scipy.special import betaincinv

    return sigma_min + betaincinv(a, b, 1 - np.linspace(0, 1, steps)) * (sigma_max - sigma_min)


SPACINGS: Mapping[str, Spacing] = {
    "use_karras_sigmas": karras,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}


def chosen_spacing(config: Mapping[str, Any]) -> Spacing | None:
    """The spacing that a scheduler's config switches on, or `None`.

    Raises:
        InputError: the config switches on several.
    """
    chosen = [name for name in SPACINGS if config.get(name)]
    if len(chosen) > 1:
        raise InputError(
            f"{' and '.join(chosen)} are on, but only one spacing can be used; switch on one."
        )
    return SPACINGS[chosen[0]] if chosen else None


def static_shift(shift: float, sigmas: Values) -> Values:
    """Shift sigmas in [0, 1] towards noise by a factor; 1 shifts nothing.

    Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", eq. 23.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def exponential_shift(mu: float, power: float, sigmas: Values) -> Values:
    """Shift sigmas in [0, 1] by the factor e^mu; `time_shift` of the Flux repository.

    Args:
        mu: usually grows with the number of tokens.
        power: exponent of the odds of data, `1 / sigma - 1`.
        sigmas: noise levels, as an array or tensor.
    """
    return linear_shift(math.exp(mu), power, sigmas)


def linear_shift(mu: float, power: float, sigmas: Values) -> Values:
    """Shift sigmas as `exponential_shift` does, by the factor mu instead of e^mu.

    With a power of 1 it is `static_shift(mu, sigmas)`.
    """
    with np.errstate(divide="ignore"):  # 1 / 0 is infinite, and the result is 0 again
        return mu / (mu + (1 / sigmas - 1) ** power)


TIME_SHIFTS: Mapping[str, Callable[[float, float, Any], Any]] = {
    "exponential": exponential_shift,
    "linear": linear_shift,
}


def stretch_to_terminal(terminal: float, sigmas: Values) -> Values:
    """Scale the distances from 1 so that the last sigma is `terminal`.

    `stretch_shift_to_terminal` in `rf.py` of Lightricks/LTX-Video. A schedule whose last sigma is
    1, such as that of a single step, is returned unchanged.
    """
    distance = 1 - sigmas
    if distance[-1] == 0:
        return sigmas
    return 1 - distance / (distance[-1] / (1 - terminal))


def linear_betas(start: float, end: float, steps: int) -> torch.Tensor:
    """Evenly growing variances, `(steps,)`.

    Ho et al., "Denoising Diffusion Probabilistic Models", section 4.
    """
    return torch.linspace(start, end, steps, dtype=torch.float32)


def scaled_linear_betas(start: float, end: float, steps: int) -> torch.Tensor:
    """Variances whose square roots grow evenly, `(steps,)`.

    `make_beta_schedule` of CompVis/latent-diffusion.
    """
    return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2


def cosine_betas(start: float, end: float, steps: int) -> torch.Tensor:
    """Variances under which the signal falls as a squared cosine, `(steps,)`.

    Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", eq. 17. `start` and
    `end` are not used.
    """
    times = np.arange(steps + 1) / steps
    signal = np.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.from_numpy(np.minimum(1 - signal[1:] / signal[:-1], 0.999)).float()


BETA_SCHEDULES: Mapping[str, Callable[[float, float, int], torch.Tensor]] = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,
    "squaredcos_cap_v2": cosine_betas,
}


def zero_terminal_snr(betas: torch.Tensor) -> torch.Tensor:
    """Rescale betas so that no signal is left at the last step; the first beta stays the same.

    Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
    """
    roots = torch.cumprod(1 - betas, dim=0).sqrt()
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    signal = roots.square()
    return 1 - torch.cat([signal[:1], signal[1:] / signal[:-1]])
