"""Every norm has diffusers' epsilon, also where it hardly changes the numbers."""

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import nn

import filmstrip
from tests.parity import test_ltx_transformer, test_ltx_upsample, test_ltx_vae, test_svd_unet
from tests.parity.common import pair
from tests.parity.test_svd_vae import vaes as svd_vaes


def ltx_transformers() -> tuple[Any, Any]:
    return pair(
        filmstrip.LTXVideoTransformer3DModel,
        diffusers.LTXVideoTransformer3DModel,
        test_ltx_transformer.BASE | {"norm_elementwise_affine": True},
    )


def upsamplers() -> tuple[Any, Any]:
    return pair(
        filmstrip.LTXLatentUpsamplerModel,
        test_ltx_upsample.DiffusersUpsampler,
        test_ltx_upsample.UPSAMPLER,
    )


PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "LTX transformer": ltx_transformers,
    "LTX VAE": lambda: test_ltx_vae.vaes(test_ltx_vae.V090),
    "LTX upsampler": upsamplers,
    "SVD UNet": lambda: test_svd_unet.models(test_svd_unet.BASE | test_svd_unet.THREE),
    "SVD VAE": svd_vaes,
}


def epsilons(model: nn.Module) -> dict[str, float]:
    """The epsilon of each norm that has weights."""
    return {
        name: module.eps
        for name, module in model.named_modules()
        if isinstance(getattr(module, "eps", None), float)
        and next(module.parameters(), None) is not None
    }


@pytest.mark.parametrize("models", PAIRS.values(), ids=PAIRS)
def test_epsilons_are_the_same(models: Callable[[], tuple[Any, Any]]) -> None:
    ours, theirs = (epsilons(model) for model in models())
    assert ours
    assert ours == theirs


@torch.no_grad()
def test_an_epsilon_changes_the_numbers_if_the_variance_is_small() -> None:
    """Why the test above is needed, on the norm of a transformer of the UNet."""
    ours, theirs = (
        model.mid_block.attentions[0] for model in test_svd_unet.models(test_svd_unet.BASE)
    )
    frames = 2e-3 * torch.randn(3, 64, 4, 6)
    assert (ours.norm(frames) - theirs.norm(frames)).abs().max() < 1e-5
    theirs.norm.eps = 1e-5
    assert (ours.norm(frames) - theirs.norm(frames)).abs().max() > 0.1
