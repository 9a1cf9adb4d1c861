"""Noise levels as pure functions: how sigmas are spaced over the steps, and how they are shifted.

Sigmas run from noise to data. The shifts work on arrays and tensors alike.
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
    """Even steps in sigma^(1/rho).

    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", eq. 5.
    """
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** rho


def exponential(sigma_min: float, sigma_max: float, steps: int) -> Array:
    """Even steps in log(sigma), as in k-diffusion's `get_sigmas_exponential`.

    Raises:
        InputError: an end of the range is not above 0.
    """
    if min(sigma_min, sigma_max) <= 0:
        raise InputError(
            f"Exponential sigmas need both ends above 0, but the range is {sigma_min:g} to {sigma_max:g}; "
            "choose other sigmas or another spacing."
        )
    return np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), steps))


def beta(sigma_min: float, sigma_max: float, steps: int, a: float = 0.6, b: float = 0.6) -> Array:
    """Quantiles of a beta distribution, dense at both ends. Lee et al., "Beta Sampling is All You Need"."""
    from scipy.special import betaincinv

    return sigma_min + betaincinv(a, b, 1 - np.linspace(0, 1, steps)) * (sigma_max - sigma_min)


SPACINGS: Mapping[str, Spacing] = {
    "use_karras_sigmas": karras,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}


def chosen_spacing(config: Mapping[str, Any]) -> Spacing | None:
    """The spacing that a scheduler's config switches on, if any.

    Raises:
        InputError: more than one is switched on.
    """
    chosen = [name for name in SPACINGS if config.get(name)]
    if len(chosen) > 1:
        raise InputError(
            f"{' and '.join(chosen)} are both on, but sigmas can be spaced in one way only; switch one off."
        )
    return SPACINGS[chosen[0]] if chosen else None


def static_shift(shift: float, sigmas: Values) -> Values:
    """Move sigmas towards noise by a factor. Esser et al., "Scaling Rectified Flow Transformers", eq. 23."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def exponential_shift(mu: float, power: float, sigmas: Values) -> Values:
    """Move sigmas by e^mu, which grows with the size of the picture. `time_shift` of the Flux repository."""
    return math.exp(mu) / (math.exp(mu) + _odds_against(sigmas) ** power)


def linear_shift(mu: float, power: float, sigmas: Values) -> Values:
    """As `exponential_shift`, with mu itself as the factor; `static_shift(mu, sigmas)` where power is 1."""
    return mu / (mu + _odds_against(sigmas) ** power)


TIME_SHIFTS: Mapping[str, Callable[[float, float, Any], Any]] = {
    "exponential": exponential_shift,
    "linear": linear_shift,
}


def stretch_to_terminal(terminal: float, sigmas: Values) -> Values:
    """Stretch the distances from 1 so that the last sigma is `terminal`. `rf.py` of the LTX-Video repository.

    A schedule that ends at 1, such as one of a single step, has nothing to stretch and stays as it is.
    """
    distance = 1 - sigmas
    if distance[-1] == 0:
        return sigmas
    return 1 - distance / (distance[-1] / (1 - terminal))


def _odds_against(sigmas: Values) -> Values:
    """(1 - sigma) / sigma; infinite at 0, which both shifts map to 0 again."""
    with np.errstate(divide="ignore"):
        return 1 / sigmas - 1
