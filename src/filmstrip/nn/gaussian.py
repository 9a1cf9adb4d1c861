"""The posterior of a variational autoencoder."""

from collections.abc import Sequence

import torch

from filmstrip.nn.noise import Generators, randn


class DiagonalGaussianDistribution:
    """A Gaussian with diagonal covariance over latents (Kingma and Welling, arXiv 1312.6114).

    Args:
        parameters: mean and log variance joined along dimension 1, `(B, 2 * C, ...)`; the log
            variance is clamped to [-30, 20].
        deterministic: use a variance of 0.
    """

    def __init__(self, parameters: torch.Tensor, deterministic: bool = False) -> None:
        self.parameters = parameters
        self.deterministic = deterministic
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(-30.0, 20.0)
        self.std = torch.zeros_like(self.mean) if deterministic else torch.exp(0.5 * self.logvar)
        self.var = torch.zeros_like(self.mean) if deterministic else torch.exp(self.logvar)

    def sample(self, generator: Generators = None) -> torch.Tensor:
        """Draw latents, `(B, C, ...)`."""
        noise = randn(self.mean.shape, generator, self.mean.device, self.mean.dtype)
        return self.mean + self.std * noise

    def mode(self) -> torch.Tensor:
        """The most likely latents, `(B, C, ...)`."""
        return self.mean

    def kl(self, dims: Sequence[int] = (1, 2, 3, 4)) -> torch.Tensor:
        """Kullback-Leibler divergence from the standard normal distribution, summed over `dims`
        (arXiv 1312.6114, appendix B).
        """
        return 0.5 * (self.mean.square() + self.var - 1.0 - self.logvar).sum(dim=list(dims))
