"""Computation in another dtype than that of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def computing_in(model: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Within this context, each layer of `model` computes with its weights cast to `dtype`.

    The weights of a layer are cast just before it runs and restored just after, so that at most one
    layer's copy is in memory. The layer's other forward hooks run outside of this: weights that
    they load are cast, and they never see the copies. The caller casts the inputs. The weights get
    no gradient.

    Args:
        model: the model; every parameter must belong to a module that is called.
        dtype: a floating-point dtype; `None` changes nothing.
    """
    if dtype is None or all(parameter.dtype == dtype for parameter in model.parameters()):
        yield
        return
    originals: dict[nn.Module, dict[str, nn.Parameter | None]] = {}

    def cast(module: nn.Module, args: Any) -> None:
        originals[module] = dict(module._parameters)
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.dtype != dtype:
                copy = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
                module._parameters[name] = copy

    def restore(module: nn.Module, args: Any, result: Any) -> None:
        module._parameters.update(originals.pop(module, {}))

    handles = []
    for module in model.modules():
        if module._parameters:
            handles.append(module.register_forward_pre_hook(cast))
            handles.append(module.register_forward_hook(restore, prepend=True, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
