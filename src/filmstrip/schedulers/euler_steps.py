"""Euler steps of flow matching as pure functions, with one noise level or one for each token.

At noise level sigma, from 1 (noise) to 0 (data), a sample is `sigma * noise + (1 - sigma) * data`,
and the velocity that the model predicts is `noise - data`.
"""

import torch

TOLERANCE = 1e-6  # sigmas that differ by less are the same noise level


def euler_step(
    sample: torch.Tensor,
    velocity: torch.Tensor,
    sigma: torch.Tensor,
    next_sigma: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Move a sample from one noise level to a lower one.

    Lipman et al., "Flow Matching for Generative Modeling"; the stochastic step is that of `rf.py`
    in Lightricks/LTX-Video.

    Args:
        sample: `(B, ...)`, at noise level `sigma`.
        velocity: noise minus data, the shape of `sample`.
        sigma: noise level of `sample`, broadcast against it.
        next_sigma: noise level of the result, broadcast against it too.
        noise: standard normal, the shape of `sample`. With it the step is stochastic: it goes to
            the predicted data and adds this noise. Without it the step follows the velocity.

    Returns:
        The sample at `next_sigma`.
    """
    if noise is None:
        return sample - (sigma - next_sigma) * velocity
    data = sample - sigma * velocity
    return (1 - next_sigma) * data + next_sigma * noise


def euler_step_per_token(
    sample: torch.Tensor,
    velocity: torch.Tensor,
    sigmas: torch.Tensor,
    schedule: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Move each token to the next lower noise level of a schedule, or to 0 below the last.

    `RectifiedFlowScheduler.step` in `rf.py` of Lightricks/LTX-Video; diffusers'
    `FlowMatchEulerDiscreteScheduler.step` with `per_token_timesteps` does the same.

    Args:
        sample: tokens `(B, N, C)`.
        velocity: noise minus data, `(B, N, C)`.
        sigmas: noise level of each token, 0 to 1, `(1 or B, 1 or N)`. A token at 0 stays.
        schedule: noise levels, falling, `(num_steps,)`.
        noise: for a stochastic step, see `euler_step`.

    Returns:
        Tokens `(B, N, C)` at their next noise levels.
    """
    sigmas = sigmas[..., None]
    lower_sigmas = torch.where(schedule < sigmas - TOLERANCE, schedule, 0)
    next_sigmas = lower_sigmas.amax(dim=-1, keepdim=True)
    return euler_step(sample, velocity, sigmas, next_sigmas, noise)
