"""A model computes in another dtype than that of its weights, which do not change."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from filmstrip import AutoencoderKLTemporalDecoder
from filmstrip.nn.compute_dtype import computing_in
from tests.models import SVD_VAE, build


@pytest.fixture
def vae() -> Any:
    return build(AutoencoderKLTemporalDecoder(**SVD_VAE)).half()


def results(vae: Any, **options: Any) -> list[torch.Tensor]:
    frames = torch.randn(2, 3, 88, 72, generator=torch.Generator().manual_seed(1))
    latents = torch.randn(4, 4, 11, 9, generator=torch.Generator().manual_seed(2))
    return [
        vae.encode(frames, **options).latent_dist.parameters,
        vae.decode(latents, 2, **options).sample,
    ]


@torch.no_grad()
@pytest.mark.parametrize("is_tiled", [False, True])
def test_half_weights_in_float32_give_the_numbers_of_the_float32_model(
    vae: Any, is_tiled: bool
) -> None:
    exact = copy.deepcopy(vae).float()
    if is_tiled:
        vae.enable_tiling(64, 64, 48, 48)
        exact.enable_tiling(64, 64, 48, 48)
    weights = dict(vae.named_parameters())
    for result, expected in zip(
        results(vae, compute_dtype=torch.float32), results(exact), strict=True
    ):
        assert result.dtype == torch.float32
        assert torch.equal(result, expected)
    assert all(parameter is weights[name] for name, parameter in vae.named_parameters())
    assert vae.dtype == torch.float16
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vae.modules())


@torch.no_grad()
def test_hooks_see_the_weights_in_their_dtype(vae: Any) -> None:
    dtypes: set[torch.dtype] = set()
    norm = vae.encoder.down_blocks[0].resnets[0].norm1
    norm.register_forward_pre_hook(lambda module, args: dtypes.add(module.weight.dtype))
    norm.register_forward_hook(lambda module, *_: dtypes.add(module.weight.dtype))
    vae.encode(torch.zeros(1, 3, 16, 16), compute_dtype=torch.float32)
    assert dtypes == {torch.float16}


@torch.no_grad()
def test_no_more_than_one_layer_is_cast_at_a_time(vae: Any) -> None:
    max_cast = 0

    def count(module: nn.Module, args: Any) -> None:
        nonlocal max_cast
        cast = [
            m
            for m in vae.modules()
            if any(p.dtype == torch.float32 for p in m._parameters.values() if p is not None)
        ]
        max_cast = max(max_cast, len(cast))

    with computing_in(vae, torch.float32):
        for module in vae.modules():
            module.register_forward_pre_hook(count)
        vae.decoder(torch.zeros(2, 4, 2, 2), 2)
    assert max_cast == 1


@torch.no_grad()
def test_weights_are_restored_after_an_error(vae: Any) -> None:
    weights = dict(vae.named_parameters())
    hook = vae.decoder.mid_block.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vae.decode(torch.zeros(2, 4, 2, 2), 2, compute_dtype=torch.float32)
    hook.remove()
    assert all(parameter is weights[name] for name, parameter in vae.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vae.modules())


def test_no_hooks_are_added_for_the_dtype_of_the_weights(vae: Any) -> None:
    with computing_in(vae, torch.float16):
        assert not any(m._forward_pre_hooks for m in vae.modules())
