"""Optimisers whose whole step stays on the device, so that it can be captured in a CUDA graph."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch.nn import Parameter

from tools.train_demo.common.store import Tensors

# Coefficients of the quintic Newton-Schulz iteration (Jordan et al., "Muon", 2024,
# kellerjordan.github.io/posts/muon).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """Move the singular values of each matrix (N, R, C) close to 1, in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon:
    """Momentum, orthogonalised (Muon), with matrices of one shape stacked into one. Convolutions
    are matrices from all that an output sees to the outputs.

    Updates are scaled to AdamW's usual size, 0.2 in the root mean square (Liu et al., arXiv
    2502.16982, section 2.2), so that both share a learning rate.
    """

    def __init__(
        self, matrices: list[Parameter], momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.groups: dict[tuple[int, int], list[Parameter]] = defaultdict(list)
        for matrix in matrices:
            self.groups[matrix.shape[0], matrix[0].numel()].append(matrix)
        self.buffers = {
            shape: torch.zeros(len(group), *shape, device=group[0].device)
            for shape, group in self.groups.items()
        }

    @torch.no_grad()
    def step(self, rate: torch.Tensor) -> None:
        """One step with the learning rate `rate`, a scalar tensor."""
        for shape, group in self.groups.items():
            gradients = torch.stack([p.grad.flatten(1) for p in group if p.grad is not None])
            buffer = self.buffers[shape]
            buffer.lerp_(gradients, 1 - self.momentum)
            update = orthogonalise(gradients.lerp(buffer, self.momentum)).float()
            update = update * (rate * -0.2 * max(shape) ** 0.5)
            torch._foreach_mul_(group, 1 - rate * self.weight_decay)
            torch._foreach_add_(
                group, [u.view(p.shape) for u, p in zip(update, group, strict=True)]
            )

    def state(self) -> Tensors:
        return {
            f"muon.{'x'.join(map(str, shape))}": buffer for shape, buffer in self.buffers.items()
        }

    def load(self, tensors: Tensors) -> None:
        for name, buffer in self.state().items():
            buffer.copy_(tensors[name])


class Average:
    """Exponential moving average of parameters; `weight` of the new value is a scalar tensor on
    their device.
    """

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, weight: torch.Tensor) -> None:
        difference = torch._foreach_sub(self.parameters, self.values)
        torch._foreach_mul_(difference, weight)
        torch._foreach_add_(self.values, difference)


def adam_state(optimizer: torch.optim.Optimizer) -> Tensors:
    """The tensors of AdamW, in the order of its parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"adam.{i}.{key}": value
        for i, p in enumerate(parameters)
        for key, value in optimizer.state[p].items()
    }


def load_adam(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Load the tensors of `adam_state`, each moment in the memory layout of its parameter, as fused
    steps want it.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, p in enumerate(parameters):
        prefix = f"adam.{i}."
        optimizer.state[p] = {
            key.removeprefix(prefix): torch.empty_like(p).copy_(value)
            if value.shape == p.shape
            else value.to(p.device)
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
