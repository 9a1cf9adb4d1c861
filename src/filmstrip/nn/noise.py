"""Seeded Gaussian noise, drawn in the order and on the device that diffusers draws it."""

from collections.abc import Sequence

import torch

from filmstrip.errors import InputError

Generators = torch.Generator | list[torch.Generator] | None


def randn(
    shape: Sequence[int],
    generator: Generators = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Standard normal noise of `shape`.

    Args:
        generator: one for all rows of the batch, or a list with one for each row; a list of one
            draws for all rows. A generator on the CPU draws on the CPU and the noise is moved, so
            that a seed gives the same video on every device. `None` is PyTorch's global generator.
        device: of the result; the CPU by default.

    Raises:
        InputError: the generator is on another accelerator than `device`, or the list has another
            length than the batch.
    """
    device = torch.device(device or "cpu")
    if isinstance(generator, list) and len(generator) == 1:
        generator = generator[0]
    if isinstance(generator, list):
        if len(generator) != shape[0]:
            raise InputError(
                f"{len(generator)} generators were given for a batch of {shape[0]}; give one, or "
                "one for each."
            )
        rows = [randn((1, *shape[1:]), row_generator, device, dtype) for row_generator in generator]
        return torch.cat(rows)
    generator_device = device if generator is None else generator.device
    if generator_device.type not in (device.type, "cpu"):
        raise InputError(
            f"The generator is on {generator_device}, but the noise is for {device}; make the "
            f"generator on {device} or on the CPU."
        )
    # "cuda" and "cuda:0" are the same device; the name with the index, if any, is `device`.
    drawing_device = device if generator_device.type == device.type else generator_device
    noise = torch.randn(tuple(shape), generator=generator, device=drawing_device, dtype=dtype)
    return noise.to(device)
