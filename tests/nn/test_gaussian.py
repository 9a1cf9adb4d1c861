"""The posterior is a Gaussian whose log variance is clamped."""

import diffusers
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as DiffusersDistribution

from filmstrip.nn.gaussian import DiagonalGaussianDistribution

EXTREMES = torch.tensor([-1000.0, -30.5, -30.0, -29.5, 0.0, 1.0, 19.5, 20.0, 20.5, 1000.0])


def parameters(logvar: torch.Tensor) -> torch.Tensor:
    """Mean and log variance `(1, 2, 1, 1, N)`."""
    mean = torch.linspace(-2, 2, len(logvar))
    return torch.stack([mean, logvar]).view(1, 2, 1, 1, -1)


def test_log_variance_is_clamped() -> None:
    assert diffusers.__version__ == "0.42.1"
    distribution = DiagonalGaussianDistribution(parameters(EXTREMES))
    expected = [-30.0, -30.0, -30.0, -29.5, 0.0, 1.0, 19.5, 20.0, 20.0, 20.0]
    assert distribution.logvar.flatten().tolist() == expected
    reference = DiffusersDistribution(parameters(EXTREMES))
    for name in ("mean", "logvar", "std", "var"):
        torch.testing.assert_close(getattr(distribution, name), getattr(reference, name))


@pytest.mark.parametrize("logvar", [-3.0, -0.4, 0.0, 0.7, 4.0])
def test_divergence_is_that_of_torch_s_distributions(logvar: float) -> None:
    values = parameters(torch.full((6,), logvar))
    posterior = torch.distributions.Normal(values[:, 0], torch.tensor(logvar).div(2).exp())
    normal = torch.distributions.Normal(0.0, 1.0)
    exact = torch.distributions.kl_divergence(posterior, normal).sum()
    torch.testing.assert_close(DiagonalGaussianDistribution(values).kl().squeeze(), exact)


def test_without_variance_every_draw_is_the_mean() -> None:
    distribution = DiagonalGaussianDistribution(parameters(EXTREMES), deterministic=True)
    assert torch.equal(distribution.sample(), distribution.mode())
    assert not distribution.var.any()
