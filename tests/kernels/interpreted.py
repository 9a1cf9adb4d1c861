"""Compare the kernels with plain PyTorch on the CPU, in Triton's interpreter.

Run it in a separate process, since Triton reads the variable when it is imported:

    TRITON_INTERPRET=1 python -m tests.kernels.interpreted
"""

import torch
import torch.nn.functional as F

from filmstrip.kernels.group_norm import group_norm

# Shape, groups: few and many rows, odd sizes, channels that are no power of 2 and a single group
# among the 128 columns of a program, more rows than a program holds, several partial sums.
SHAPES = [
    ((2, 32, 1, 1), 4),
    ((3, 96, 5, 7), 32),
    ((1, 8, 3, 2), 2),
    ((2, 24, 3, 5, 3), 3),
    ((1, 320, 9, 16), 32),
    ((1, 136, 3, 3), 17),
    ((2, 64, 29, 31), 8),
    ((1, 8, 67, 131), 4),
]


def check(
    shape: tuple[int, ...],
    groups: int,
    dtype: torch.dtype,
    bound: float,
    has_shift: bool,
    activate: bool,
) -> None:
    """Compare one call with PyTorch's operations in float64."""
    channels = shape[1]
    ones = [1] * (len(shape) - 2)
    offset = 30 * torch.randn(1, channels, *ones)  # variance must not cancel out
    x = (torch.randn(shape) + offset).to(dtype)
    x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    shift = torch.randn(shape[:2]).to(dtype) if has_shift else None
    weight = torch.randn(channels).to(dtype)
    bias = torch.randn(channels).to(dtype)

    shifted = x.double()
    if shift is not None:
        shifted = shifted + shift.double().view(*shift.shape, *ones)
    exact = F.group_norm(shifted, groups, weight.double(), bias.double(), 1e-5)
    exact = F.silu(exact) if activate else exact
    normed = group_norm(x, shift, groups, weight, bias, 1e-5, activate)
    assert normed.shape == x.shape
    assert normed.dtype == dtype
    assert normed.movedim(1, -1).is_contiguous()
    error = ((normed.double() - exact).abs() / (1 + exact.abs())).max().item()
    assert error < bound, f"{shape}, {groups} groups, {dtype}: the error is {error:.2e}"


def main() -> None:
    """Compare all shapes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for index, (shape, groups) in enumerate(SHAPES):
        check(shape, groups, torch.float32, 1e-4, has_shift=index % 2 == 0, activate=index % 3 != 0)
    check((2, 64, 5, 3), 32, torch.float16, 5e-3, has_shift=True, activate=True)
    check((2, 64, 5, 3), 32, torch.bfloat16, 4e-2, has_shift=False, activate=True)
    print(f"{len(SHAPES) + 2} calls agree")


if __name__ == "__main__":
    main()
