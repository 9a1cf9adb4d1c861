"""Euler steps of flow matching are exact on straight paths."""

import pytest
import torch

from filmstrip.schedulers.euler_steps import euler_step, euler_step_per_token

DATA, NOISE, NEW_NOISE = torch.randn(3, 2, 5, 3, generator=torch.Generator().manual_seed(0))
SCHEDULE = torch.tensor([1.0, 0.8, 0.5, 0.2])


def at(sigma: torch.Tensor, noise: torch.Tensor = NOISE) -> torch.Tensor:
    """The sample at a noise level."""
    return sigma * noise + (1 - sigma) * DATA


@pytest.mark.parametrize(("sigma", "next_sigma"), [(1.0, 0.75), (0.6, 0.3), (0.2, 0.0), (0.4, 0.4)])
def test_a_step_moves_along_the_path(sigma: float, next_sigma: float) -> None:
    sigma, next_sigma = torch.tensor([sigma, next_sigma])
    stepped = euler_step(at(sigma), NOISE - DATA, sigma, next_sigma)
    torch.testing.assert_close(stepped, at(next_sigma))


@pytest.mark.parametrize(("sigma", "next_sigma"), [(1.0, 0.75), (0.6, 0.3), (0.2, 0.0)])
def test_a_stochastic_step_replaces_the_noise(sigma: float, next_sigma: float) -> None:
    sigma, next_sigma = torch.tensor([sigma, next_sigma])
    stepped = euler_step(at(sigma), NOISE - DATA, sigma, next_sigma, NEW_NOISE)
    torch.testing.assert_close(stepped, at(next_sigma, NEW_NOISE))


@pytest.mark.parametrize("noise", [None, NEW_NOISE], ids=["deterministic", "stochastic"])
def test_each_token_goes_to_the_next_lower_sigma_of_the_schedule(
    noise: torch.Tensor | None,
) -> None:
    sigmas = torch.tensor([[1.0, 0.9, 0.5, 0.2, 0.1], [0.0, 0.6, 0.2, 0.8, 1.0]])
    expected = torch.tensor([[0.8, 0.8, 0.2, 0.0, 0.0], [0.0, 0.5, 0.0, 0.5, 0.8]])
    stepped = euler_step_per_token(at(sigmas[..., None]), NOISE - DATA, sigmas, SCHEDULE, noise)
    path_noise = NOISE if noise is None else noise
    torch.testing.assert_close(stepped, at(expected[..., None], path_noise))


def test_one_sigma_may_be_used_for_all_tokens() -> None:
    sigma = torch.tensor([[0.8]])
    stepped = euler_step_per_token(at(sigma), NOISE - DATA, sigma, SCHEDULE)
    torch.testing.assert_close(stepped, at(torch.tensor(0.5)))


@pytest.mark.parametrize(("above", "expected"), [(5e-7, 0.2), (2e-6, 0.5)])
def test_sigmas_that_differ_by_rounding_are_the_same_level(above: float, expected: float) -> None:
    sigma = torch.tensor([[0.5 + above]], dtype=torch.float64)
    stepped = euler_step_per_token(
        at(sigma[..., None]), NOISE - DATA, sigma, SCHEDULE.to(torch.float64)
    )
    torch.testing.assert_close(stepped.float(), at(torch.tensor(expected)), rtol=0, atol=1e-5)
