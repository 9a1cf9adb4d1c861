"""Group norm of a shifted tensor with SiLU: the same on every device, in channels-last memory."""

import pytest
import torch
import torch.nn.functional as F

from filmstrip.nn.norms import GroupNorm

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    ),
]
SHAPES = [(6, 320, 9, 16), (2, 320, 5, 9, 16), (3, 96, 5, 7), (1, 128, 4, 33, 57), (2, 2560, 3, 4)]


@torch.no_grad()
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-5), (torch.float16, 1e-2), (torch.bfloat16, 8e-2)]
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activate", [False, True])
def test_norm_with_a_shift_equals_the_norm_of_the_shifted_tensor(
    shape: tuple[int, ...], dtype: torch.dtype, bound: float, activate: bool, device: str
) -> None:
    ones = [1] * (len(shape) - 2)
    x = torch.randn(shape) + 2 * torch.randn(1, shape[1], *ones)
    x = x.movedim(1, -1).contiguous().movedim(-1, 1).to(device, dtype)
    shift = torch.randn(shape[:2]).to(device, dtype)
    norm = GroupNorm(shape[1], 1e-5, activate=activate).to(device, dtype)
    norm.weight.normal_()
    norm.bias.normal_()

    shifted = x.double() + shift.double().view(*shift.shape, *ones)
    exact = F.group_norm(shifted, 32, norm.weight.double(), norm.bias.double(), 1e-5)
    exact = F.silu(exact) if activate else exact
    normed = norm(x, shift)
    assert normed.dtype == dtype
    assert normed.movedim(1, -1).is_contiguous()
    assert ((normed.double() - exact).abs() / (1 + exact.abs())).max() < bound


def test_norm_has_a_gradient() -> None:
    norm = GroupNorm(64, 1e-5, activate=True)
    norm(torch.randn(2, 64, 3, 3), torch.randn(2, 64)).sum().backward()
    assert norm.weight.grad is not None
