"""Triton kernels, and when they apply.

- `group_norm.group_norm` computes `nn.ops.group_norm_silu`, on CUDA tensors with a multiple of 8
  channels, without gradient and outside of compiled code: `group_norm_applies`.

Only `filmstrip.nn.ops` imports this package. It has a plain PyTorch version of each kernel, which
is used where the kernel does not apply, and which is the reference in tests. Kernels need `triton`,
which comes with PyTorch's CUDA builds for Linux.
"""

from functools import cache
from importlib.util import find_spec

import torch


@cache
def has_triton() -> bool:
    """Whether the package `triton` is installed."""
    return find_spec("triton") is not None


def group_norm_applies(hidden_states: torch.Tensor) -> bool:
    """Whether the group norm kernel may be used for `(N, C, ...)`.

    It has no gradient, and a compiler fuses the plain operation itself.
    """
    if not hidden_states.is_cuda or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return hidden_states.shape[1] % 8 == 0 and has_triton()
