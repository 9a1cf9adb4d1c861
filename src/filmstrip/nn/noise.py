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

    A list of generators gives each row of the batch its own; a list of one stands for that one. A
    generator on the CPU draws there and the noise is moved, so that a seed gives the same video on
    every device.

    Raises:
        InputError: the generator lives on another accelerator than `device`, or the list is not as
            the batch.
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
        rows = [randn((1, *shape[1:]), one, device, dtype) for one in generator]
        return torch.cat(rows)
    source = device if generator is None else generator.device
    if source.type not in (device.type, "cpu"):
        raise InputError(
            f"The generator lives on {source} but the noise is wanted on {device}; make it on "
            f"{device} or on the CPU."
        )
    where = device if source.type == device.type else source
    return torch.randn(tuple(shape), generator=generator, device=where, dtype=dtype).to(device)
