"""Noise levels as pure functions: where they come from, how they are spaced over the steps, how
they are shifted.

Sigmas run from noise to data, betas from data to noise. The shifts work on arrays and tensors
alike.
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
    """Even steps in sigma^(1/rho). Karras et al., "Design Space of Diffusion-Based Generative
    Models", eq. 5.
    """
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** rho


def exponential(sigma_min: float, sigma_max: float, steps: int) -> Array:
    """Even steps in log(sigma), as in k-diffusion's `get_sigmas_exponential`; a range that reaches
    0 is refused.
    """
    if min(sigma_min, sigma_max) <= 0:
        found = f"{sigma_min:g} to {sigma_max:g}"
        raise InputError(
            f"Exponential sigmas need both ends above 0, not {found}; choose others or another "
            "spacing."
        )
    return np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), steps))


def beta(sigma_min: float, sigma_max: float, steps: int, a: float = 0.6, b: float = 0.6) -> Array:
    """Quantiles of a beta distribution, dense at both ends. Lee et al., "Beta Sampling is All You
    Need".
    """
    from scipy.special import betaincinv

    return sigma_min + betaincinv(a, b, 1 - np.linspace(0, 1, steps)) * (sigma_max - sigma_min)


SPACINGS: Mapping[str, Spacing] = {
    "use_karras_sigmas": karras,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}


def chosen_spacing(config: Mapping[str, Any]) -> Spacing | None:
    """The spacing that a scheduler's config switches on, if any; several are refused."""
    chosen = [name for name in SPACINGS if config.get(name)]
    if len(chosen) > 1:
        raise InputError(
            f"{' and '.join(chosen)} are on, but sigmas can be spaced in one way only; leave one."
        )
    return SPACINGS[chosen[0]] if chosen else None


def static_shift(shift: float, sigmas: Values) -> Values:
    """Move sigmas towards noise by a factor. Esser et al., "Scaling Rectified Flow Transformers",
    eq. 23.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def exponential_shift(mu: float, power: float, sigmas: Values) -> Values:
    """Move sigmas by e^mu, which grows with the size of the picture. `time_shift` of the Flux
    repository.
    """
    return linear_shift(math.exp(mu), power, sigmas)


def linear_shift(mu: float, power: float, sigmas: Values) -> Values:
    """As `exponential_shift`, with mu itself as the factor; `static_shift(mu, sigmas)` where power
    is 1.
    """
    with np.errstate(divide="ignore"):  # infinite at 0, which it maps to 0 again
        return mu / (mu + (1 / sigmas - 1) ** power)


TIME_SHIFTS: Mapping[str, Callable[[float, float, Any], Any]] = {
    "exponential": exponential_shift,
    "linear": linear_shift,
}


def stretch_to_terminal(terminal: float, sigmas: Values) -> Values:
    """Stretch the distances from 1 so that the last sigma is `terminal`. `rf.py` of the LTX-Video
    repository.

    A schedule that ends at 1, such as one of a single step, has nothing to stretch and stays as it
    is.
    """
    distance = 1 - sigmas
    return sigmas if distance[-1] == 0 else 1 - distance / (distance[-1] / (1 - terminal))


def cosine_betas(start: float, end: float, steps: int) -> torch.Tensor:
    """Variances under which the signal falls as a cosine; the ends are its own.

    Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", eq. 17.
    """
    times = np.arange(steps + 1) / steps
    signal = np.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.from_numpy(np.minimum(1 - signal[1:] / signal[:-1], 0.999)).float()


# Evenly growing variances: Ho et al., "Denoising Diffusion Probabilistic Models", section 4. Evenly
# growing roots of them: the latent-diffusion repository.
BETA_SCHEDULES: Mapping[str, Callable[[float, float, int], torch.Tensor]] = {
    "linear": lambda start, end, steps: torch.linspace(start, end, steps, dtype=torch.float32),
    "scaled_linear": lambda start, end, steps: (
        torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
    ),
    "squaredcos_cap_v2": cosine_betas,
}


def zero_terminal_snr(betas: torch.Tensor) -> torch.Tensor:
    """Move and stretch the betas so that no signal is left at the last step, and the first keeps
    its level.

    Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1.
    """
    roots = torch.cumprod(1 - betas, dim=0).sqrt()
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    signal = roots.square()
    return 1 - torch.cat([signal[:1], signal[1:] / signal[:-1]])
