"""Devices and dtypes from the names that callers pass."""

import torch

from filmstrip.errors import InputError


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Convert a floating-point dtype or its name ("bfloat16") to a dtype; None stays None.

    Raises:
        InputError: It is no floating-point dtype.
    """
    if dtype is None:
        return None
    resolved = dtype
    if isinstance(dtype, str):
        resolved = getattr(torch, dtype.removeprefix("torch."), dtype)
    if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
        raise InputError(
            f"dtype is {dtype!r}; use torch.bfloat16, torch.float16 or torch.float32, or "
            '"bfloat16" ...'
        )
    return resolved


def as_device(device: torch.device | str | int | None) -> torch.device:
    """Convert a device or its name to a device; None is the CPU.

    Raises:
        InputError: There is no such device on this machine.
    """
    try:
        resolved = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f'device is {device!r}; name one device, such as "cuda", "cuda:1" or "cpu".'
        ) from error
    if resolved.type == "meta" or (resolved.type == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"device is {device!r}, but weights cannot be put there on this machine. Use "
            "device='cpu'."
        )
    return resolved
