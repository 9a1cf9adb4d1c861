"""Group norm and SiLU as Triton kernels over channels-last memory.

PyTorch's kernel copies channels-last tensors into the other order and leaves its result there.
These read the tensor twice and write it once, and compute in float32. Import this module only where
Triton is installed.

On the CPU they run in Triton's interpreter, for tests: set `TRITON_INTERPRET=1` before the import.
"""

import importlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

triton: Any = importlib.import_module("triton")
tl: Any = importlib.import_module("triton.language")
if TYPE_CHECKING:
    constexpr = Any
else:  # Triton evaluates unquoted annotations of kernels, and accepts only those that it defines
    constexpr = tl.constexpr

TILE = 4096  # elements that a program holds at a time
PROGRAMS = 2048  # programs to aim for, so that all multiprocessors have work
PARTS_AT_ONCE = 128  # partial sums of a channel that the second kernel reads at a time


def _sum(
    x: "Any",
    sums: "Any",
    rows: "Any",
    rows_per_part: "Any",
    channels: constexpr,
    height: constexpr,
    width: constexpr,
) -> None:
    """Sum and sum of squares of each channel over one part of a sample's rows.

    The sample's first row is subtracted before. Where the mean is far from 0, this row is close to
    it, so that the variance does not cancel out.
    """
    part = tl.program_id(0)
    sample = tl.program_id(2)
    columns = tl.program_id(1) * width + tl.arange(0, width)
    x += sample.to(tl.int64) * rows * channels
    first = tl.load(x + columns).to(tl.float32)
    total = tl.zeros([height, width], tl.float32)
    square = tl.zeros([height, width], tl.float32)
    for start in range(part * rows_per_part, tl.minimum((part + 1) * rows_per_part, rows), height):
        index = start + tl.arange(0, height)
        inside = (index < rows)[:, None]
        value = tl.load(
            x + index[:, None].to(tl.int64) * channels + columns[None, :], mask=inside, other=0.0
        )
        value = tl.where(inside, value.to(tl.float32) - first[None, :], 0.0)
        total += value
        square += value * value
    sums += (sample * tl.num_programs(0) + part) * 2 * channels + columns
    tl.store(sums, tl.sum(total, 0))
    tl.store(sums + channels, tl.sum(square, 0))


def _combine(
    x: "Any",
    sums: "Any",
    shift: "Any",
    weight: "Any",
    bias: "Any",
    affine: "Any",
    rows: "Any",
    parts: "Any",
    eps: "Any",
    channels: constexpr,
    size: constexpr,
    width: constexpr,
    parts_at_once: constexpr,
    shifted: constexpr,
) -> None:
    """Scale and offset of each channel of a group, from the sums: the norm and its weights
    combined.
    """
    sample = tl.program_id(1)
    lane = tl.arange(0, width)
    inside = lane < size
    columns = tl.program_id(0) * size + lane
    total = tl.zeros([parts_at_once, width], tl.float32)
    square = tl.zeros([parts_at_once, width], tl.float32)
    for start in range(0, parts, parts_at_once):
        part = start + tl.arange(0, parts_at_once)
        offsets = (sample * parts + part)[:, None] * 2 * channels + columns[None, :]
        mask = (part < parts)[:, None] & inside[None, :]
        total += tl.load(sums + offsets, mask=mask, other=0.0)
        square += tl.load(sums + offsets + channels, mask=mask, other=0.0)
    mean = tl.sum(total, 0) / rows
    variance = tl.sum(square, 0) / rows - mean * mean
    mean += tl.load(x + sample.to(tl.int64) * rows * channels + columns, mask=inside, other=0.0).to(
        tl.float32
    )
    shifts = tl.zeros([width], tl.float32)
    if shifted:
        shifts = tl.load(shift + sample * channels + columns, mask=inside, other=0.0).to(tl.float32)
        mean += shifts
    group_mean = tl.sum(mean, 0) / size
    squares = tl.where(inside, variance + (mean - group_mean) * (mean - group_mean), 0.0)
    scale = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    scale = scale / tl.sqrt(tl.sum(squares, 0) / size + eps)
    offset = (
        tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
        + (shifts - group_mean) * scale
    )
    affine += sample * 2 * channels + columns
    tl.store(affine, scale, mask=inside)
    tl.store(affine + channels, offset, mask=inside)


def _apply(
    x: "Any",
    affine: "Any",
    y: "Any",
    rows: "Any",
    channels: constexpr,
    height: constexpr,
    width: constexpr,
    activate: constexpr,
) -> None:
    """Scale, offset and SiLU of one tile."""
    sample = tl.program_id(2)
    columns = tl.program_id(1) * width + tl.arange(0, width)
    index = tl.program_id(0) * height + tl.arange(0, height)
    affine += sample * 2 * channels + columns
    scale = tl.load(affine)[None, :]
    offset = tl.load(affine + channels)[None, :]
    offsets = (sample.to(tl.int64) * rows + index[:, None]) * channels + columns[None, :]
    inside = (index < rows)[:, None]
    value = tl.load(x + offsets, mask=inside, other=0.0).to(tl.float32) * scale + offset
    if activate:
        value = value * tl.sigmoid(value)
    tl.store(y + offsets, value.to(y.dtype.element_ty), mask=inside)


sum_kernel = triton.jit(_sum)
combine_kernel = triton.jit(_combine)
apply_kernel = triton.jit(_apply)


def group_norm(
    x: torch.Tensor,
    shift: torch.Tensor | None,
    groups: int,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    activate: bool,
) -> torch.Tensor:
    """The norm of `x + shift`, then SiLU if `activate`.

    Args:
        x: `(N, C, ...)`, C a multiple of 8; copied if not in channels-last memory.
        shift: `(N, C)`, or `None` for 0.
        groups: number of groups, a divisor of C.
        weight, bias: `(C,)`.
        activate: whether to apply SiLU.

    Returns:
        The same shape and dtype, in channels-last memory.
    """
    x = x.movedim(1, -1).contiguous()
    samples, channels = x.shape[0], x.shape[-1]
    rows = x.numel() // (samples * channels)
    width = min(channels & -channels, 128)  # the largest power of 2 that divides the channels
    height = TILE // width
    blocks = channels // width
    parts = min(triton.cdiv(PROGRAMS, samples * blocks), triton.cdiv(rows, height))
    rows_per_part = triton.cdiv(triton.cdiv(rows, parts), height) * height
    sums = x.new_empty((samples, parts, 2, channels), dtype=torch.float32)
    affine = x.new_empty((samples, 2, channels), dtype=torch.float32)
    y = torch.empty_like(x)
    shift = None if shift is None else shift.contiguous()
    size = channels // groups
    with torch.cuda.device_of(x) if x.is_cuda else nullcontext():
        sum_kernel[parts, blocks, samples](x, sums, rows, rows_per_part, channels, height, width)
        combine_kernel[groups, samples](
            x, sums, bias if shift is None else shift, weight, bias, affine, rows, parts, eps,
            channels, size, triton.next_power_of_2(size), PARTS_AT_ONCE, shift is not None,
        )  # fmt: skip
        apply_kernel[triton.cdiv(rows, height), blocks, samples](
            x, affine, y, rows, channels, height, width, activate
        )
    return y.movedim(-1, 1)
