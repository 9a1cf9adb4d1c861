"""Shared by the parity tests: the same random weights in both libraries, and the comparison."""

from typing import Any

import torch
from torch import nn

BOUND = 1e-4


def randomise(model: nn.Module, scale: float = 0.3, seed: int = 0) -> None:
    """Give every parameter and buffer random values, including norms, tables and biases."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("timestep_scale_multiplier"):
            tensor.fill_(900.0)
        elif "norm" in name and name.endswith("weight"):
            tensor.copy_(1 + scale * noise)
        elif name.endswith("latents_std"):
            tensor.copy_(0.5 + noise.abs())
        elif tensor.ndim > 1 and "table" not in name and "per_channel" not in name:
            tensor.copy_(noise / tensor[0].numel() ** 0.5)
        else:
            tensor.copy_(scale * noise)


def pair(ours: type, theirs: type, config: dict[str, Any], seed: int = 0) -> tuple[Any, Any]:
    """A model of each library with the same config and weights, in evaluation mode."""
    model = ours(**config).eval()
    reference = theirs(**config).eval()
    randomise(model, seed=seed)
    reference.load_state_dict(model.state_dict())
    return model, reference


def generators(seed: int | list[int]) -> torch.Generator | list[torch.Generator]:
    """A new generator for a seed, or a list with one for each of several seeds."""
    if isinstance(seed, list):
        return [torch.Generator().manual_seed(value) for value in seed]
    return torch.Generator().manual_seed(seed)


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, bound: float = BOUND) -> None:
    """Check that the shapes are the same, and each element differs by at most `bound`."""
    assert ours.shape == theirs.shape
    error = (ours.double() - theirs.double()).abs().max().item()
    assert error <= bound, f"the largest difference is {error:.3e}"
