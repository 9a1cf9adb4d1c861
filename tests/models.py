"""Tiny models of all classes, each with a call that uses its encode, decode and prepare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from filmstrip import (
    AutoencoderKLLTXVideo,
    AutoencoderKLTemporalDecoder,
    LTXLatentUpsamplerModel,
    LTXVideoTransformer3DModel,
    UNetSpatioTemporalConditionModel,
)
from filmstrip.weights.model import Model
from tests.parity.common import randomise
from tests.parity.test_ltx_transformer import BASE as LTX_TRANSFORMER, call as ltx_arguments
from tests.parity.test_ltx_upsample import MODELS as UPSAMPLERS, UPSAMPLER
from tests.parity.test_ltx_vae import V090, V091, V095, time
from tests.parity.test_svd_unet import BASE as SVD_UNET, call as svd_arguments

SVD_VAE: dict[str, Any] = {
    "block_out_channels": (32, 32, 64, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "layers_per_block": 2,
}


@dataclass(frozen=True)
class Case:
    """A model, and a call that runs all of its modules."""

    make: Callable[[], Model]
    run: Callable[[Any], tuple[torch.Tensor, ...]]
    idle: tuple[str, ...] = ()  # modules that do not run in this call, by the ends of their names


def build(model: Model) -> Model:
    """The model with random weights, in evaluation mode."""
    randomise(model)
    return model.eval()


def run_ltx_transformer(model: Any) -> tuple[torch.Tensor, ...]:
    call = ltx_arguments()
    tokens = call.pop("hidden_states")
    timestep = call.pop("timestep")
    del call["return_dict"]
    prepared = model.prepare(**call)
    return model(tokens, timestep=timestep, prepared=prepared, return_dict=False)


def run_ltx_vae(vae: Any) -> tuple[torch.Tensor, ...]:
    parameters = vae.encode(torch.rand(1, 3, 17, 64, 64)).latent_dist.parameters
    video = vae.decode(torch.randn(1, 6, 2, 2, 2), time(vae.config, 1)).sample
    return parameters, video


def run_unet(model: Any, tokens: int) -> tuple[torch.Tensor, ...]:
    call = svd_arguments(SVD_UNET, tokens=tokens)
    prepared = model.prepare(call["encoder_hidden_states"], call["added_time_ids"], 3)
    return model(call["sample"], call["timestep"], prepared=prepared, return_dict=False)


def run_svd_vae(vae: Any) -> tuple[torch.Tensor, ...]:
    parameters = vae.encode(torch.randn(2, 3, 96, 80)).latent_dist.parameters
    return parameters, vae.decode(torch.randn(2, 4, 12, 10), 2).sample


def run_svd_vae_in_tiles(vae: Any) -> tuple[torch.Tensor, ...]:
    vae.enable_tiling(64, 64, 48, 48)
    return run_svd_vae(vae)


def run_upsampler(model: Any) -> tuple[torch.Tensor, ...]:
    return (model(torch.randn(1, 6, 3, 4, 5)),)


CASES: dict[str, Case] = {
    "LTX transformer": Case(
        lambda: build(LTXVideoTransformer3DModel(**LTX_TRANSFORMER)), run_ltx_transformer
    ),
    **{
        f"LTX VAE {name}": Case(
            lambda config=config: build(AutoencoderKLLTXVideo(**config)), run_ltx_vae
        )
        for name, config in (("0.9.0", V090), ("0.9.1", V091), ("0.9.5", V095))
    },
    **{
        f"LTX upsampler, {name}": Case(
            lambda config=config: build(LTXLatentUpsamplerModel(**UPSAMPLER | config)),
            run_upsampler,
        )
        for name, config in UPSAMPLERS.items()
    },
    # The output of attention to a single token does not depend on the query: neither queries nor
    # keys, nor the norm before them, are computed.
    "SVD UNet, one token": Case(
        lambda: build(UNetSpatioTemporalConditionModel(**SVD_UNET)),
        lambda model: run_unet(model, tokens=1),
        idle=("norm2", "attn2.to_q", "attn2.to_k"),
    ),
    "SVD UNet, three tokens": Case(
        lambda: build(UNetSpatioTemporalConditionModel(**SVD_UNET)),
        lambda model: run_unet(model, tokens=3),
    ),
    "SVD VAE": Case(lambda: build(AutoencoderKLTemporalDecoder(**SVD_VAE)), run_svd_vae),
    "SVD VAE in tiles": Case(
        lambda: build(AutoencoderKLTemporalDecoder(**SVD_VAE)), run_svd_vae_in_tiles
    ),
}
