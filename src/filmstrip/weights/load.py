"""Loading weights into a model that was built without memory.

Each tensor goes from its source to its device and dtype before the next one is read, so the memory
that loading needs beyond the model itself is that of the largest tensor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from filmstrip.errors import CheckpointError
from filmstrip.logging import get_logger
from filmstrip.weights.tensor_source import TensorInfo, TensorSource

logger = get_logger(__name__)

# An operation on a model before its weights are read. It may replace modules, for example a linear
# layer by a quantised one, and returns the source to read from: the one that was passed, or one
# that wraps it, for example to quantise each tensor as it is read. The attribute `keep_dtype` of a
# module names its tensors whose dtype does not change, such as packed weights and scales.
Transform: TypeAlias = Callable[[nn.Module, TensorSource], TensorSource]


class EmptyOnMeta(TorchFunctionMode):
    """While active, `torch.empty` makes tensors without memory (device "meta").

    Layers make their weights with `torch.empty`; buffers and tables may be computed as usual.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def load_weights(
    model: nn.Module,
    source: TensorSource,
    device: torch.device,
    dtype: torch.dtype | None = None,
    transforms: Iterable[Transform] = (),
) -> None:
    """Read a model's weights from a source.

    Args:
        model: Built under `EmptyOnMeta`. The memory format of its parameters is kept.
        source: The tensors, by the names of the model's state dict.
        device: Where to put them.
        dtype: The dtype of the floating-point tensors, but for those in a module's `keep_dtype`.
            None: the dtypes that the model was built with.
        transforms: Operations on the model before its weights are read, in this order.

    Raises:
        CheckpointError: A weight is missing, of another shape or class of dtype, or damaged.
    """
    with EmptyOnMeta():
        for transform in transforms:
            source = transform(model, source)
    expected = model.state_dict(keep_vars=True)
    check_tensors(type(model).__name__, expected, source)
    with source:
        for name in source.infos:
            if name in expected:
                module_name, _, attribute = name.rpartition(".")
                module = model.get_submodule(module_name)
                target = expected[name].dtype
                if dtype and target.is_floating_point and not _keeps_dtype(module, attribute):
                    target = dtype
                tensor = _convert(source.read(name, device), expected[name], target, device)
                module.load_state_dict({attribute: tensor}, strict=False, assign=True)
    model.to(device)  # buffers that no source holds


def check_tensors(
    model_name: str, expected: Mapping[str, torch.Tensor], source: TensorSource
) -> None:
    """Compare a model's state dict with the tensors of a source, before any is read.

    Args:
        model_name: The class of the model, for messages.
        expected: The state dict of the model.
        source: The tensors.

    Raises:
        CheckpointError: A weight is missing, or of another shape or class of dtype.
    """
    missing = [name for name in expected if name not in source.infos]
    if any(isinstance(expected[name], nn.Parameter) or expected[name].is_meta for name in missing):
        raise CheckpointError(
            f"The weights in {source.location} lack {_first_five(missing)}, which {model_name} "
            "needs with this config."
        )
    if missing:  # buffers, which the constructor has set
        logger.warning(
            "The weights in %s lack %s; they keep their initial values.",
            source.location,
            _first_five(missing),
        )
    unexpected = [name for name in source.infos if name not in expected]
    if unexpected:
        logger.warning(
            "The weights in %s have %s, which %s does not use.",
            source.location,
            _first_five(unexpected),
            model_name,
        )
    for name, tensor in expected.items():
        if name in source.infos:
            _check_tensor(model_name, tensor, source.infos[name])


def _check_tensor(model_name: str, expected: torch.Tensor, info: TensorInfo) -> None:
    if info.shape != tuple(expected.shape):
        raise CheckpointError(
            f"{info.location} holds {info.stored_name} of shape {info.shape}; {model_name} with "
            f"this config needs {tuple(expected.shape)}. The config and the weights are of "
            "different models."
        )
    if info.is_floating_point != expected.is_floating_point():
        raise CheckpointError(
            f"{info.location} holds {info.stored_name} of type {info.stored_dtype}; {model_name} "
            f"needs {expected.dtype} or a dtype like it."
        )


def _keeps_dtype(module: nn.Module, attribute: str) -> bool:
    return attribute in getattr(module, "keep_dtype", ())


def _convert(
    tensor: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """The tensor in this dtype and in the memory format of the model."""
    converted = tensor.to(dtype)
    if expected.is_contiguous():
        return converted
    strided = torch.empty_strided(expected.size(), expected.stride(), dtype=dtype, device=device)
    return strided.copy_(converted)


def _first_five(names: Sequence[str]) -> str:
    """Up to five names, and how many more there are."""
    others = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + others
