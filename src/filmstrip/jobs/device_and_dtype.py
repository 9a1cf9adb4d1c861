"""The device and the dtype of a job."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from filmstrip.errors import InputError

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "float32": "float32",
        "bfloat16": "bfloat16",
        "float16": "float16",
        "fp32": "float32",
        "bf16": "bfloat16",
        "fp16": "float16",
    }
)


def choose_device(requested: str) -> str:
    """Choose the device of a job.

    Args:
        requested: "auto", "cpu", "cuda", "cuda:N" or "mps". "auto" is a GPU if there is one.

    Returns:
        The name of a torch device.

    Raises:
        InputError: this machine has no such device.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", requested):
        raise InputError(f"--device {requested} is not known: use auto, cpu, cuda, cuda:N or mps.")
    device_type, _, index = requested.partition(":")
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device_type == "auto":
        return next(name for name, is_available in available.items() if is_available)
    if not available[device_type]:
        raise InputError(
            f"--device {requested}: torch {torch.__version__} finds no {device_type} device here. "
            "Use --device cpu."
        )
    if device_type == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise InputError(
            f"--device {requested}: there are {torch.cuda.device_count()} GPUs, counted from "
            "cuda:0."
        )
    return requested


def choose_dtype(requested: str, device: str) -> str:
    """Choose the dtype of a job.

    Args:
        requested: "auto" or one of `DTYPES`. "auto" is float32 on the CPU, else bfloat16, or
            float16 on a GPU without it.
        device: from `choose_device`.

    Returns:
        The name of a torch dtype.

    Raises:
        InputError: there is no such dtype, or the device cannot compute in it.
    """
    import torch

    has_bfloat16 = not device.startswith("cuda") or torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    if requested == "auto":
        if device == "cpu":
            return "float32"
        return "bfloat16" if has_bfloat16 else "float16"
    dtype = DTYPES.get(requested)
    if dtype is None:
        raise InputError(
            f"--dtype {requested} is not known: use auto, float32, bfloat16 or float16."
        )
    if dtype == "float16" and device == "cpu":
        raise InputError(
            "--dtype float16 does not work on the CPU: use float32 (exact) or bfloat16 (half the "
            "memory)."
        )
    if dtype == "bfloat16" and not has_bfloat16:
        raise InputError(
            f"--dtype bfloat16: {torch.cuda.get_device_name(device)} cannot compute in it. Use "
            "float16."
        )
    return dtype
