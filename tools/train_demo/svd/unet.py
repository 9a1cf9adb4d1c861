"""Training the SVD demo's UNet as SVD is trained: v-predictions at noise levels from a log-normal
distribution.

A noisy video is `x + sigma * n`. The UNet is given it over `sqrt(sigma^2 + 1)` and beside it, in
every frame, the latents of the picture; it is told `log(sigma) / 4`. It predicts `(n - sigma * x) /
sqrt(sigma^2 + 1)`, all of weight 1, which is the weighting of Karras et al. (arXiv 2206.00364,
table 1, data of deviation 1; arXiv 2311.15127, appendix D).
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import nn

from filmstrip.svd.models.unet import UNetSpatioTemporalConditionModel
from tools.train_demo.common.store import Tensors
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.svd.settings import SCHEDULER, Settings

DROPPED_FRACTION = 0.1  # of pictures, token and latents together, for guidance
LEVEL_MEAN, LEVEL_DEVIATION = 1.0, 1.6  # of log(sigma)
EVEN_FRACTION = 0.2  # of noise levels, spread evenly over all logarithms that the sampler meets
LOG_RANGE = (math.log(SCHEDULER["sigma_min"]), math.log(SCHEDULER["sigma_max"]))


def build_unet(settings: Settings) -> UNetSpatioTemporalConditionModel:
    """A new UNet that predicts zero. Parameters that a single token does not use are zero."""
    unet = UNetSpatioTemporalConditionModel(**settings.unet_config())
    unused = unet.state_dict().keys() - used_parameters(unet).keys()
    with torch.no_grad():
        for name in ("conv_out.weight", "conv_out.bias", *unused):
            unet.get_parameter(name).zero_()
    return unet


def used_parameters(unet: UNetSpatioTemporalConditionModel) -> dict[str, nn.Parameter]:
    """The parameters without queries, keys and norms of the attention to a single token."""

    def used(name: str) -> bool:
        in_transformer = "transformer_blocks." in name
        return not (
            in_transformer
            and any(part in name for part in (".norm2.", ".attn2.to_q.", ".attn2.to_k."))
        )

    return {name: p for name, p in unet.named_parameters() if used(name)}


def predict(
    unet: UNetSpatioTemporalConditionModel,
    sample: torch.Tensor,
    timestep: torch.Tensor,
    token: torch.Tensor,
    ids: torch.Tensor,
) -> torch.Tensor:
    """The prediction (B, T, C, h, w) in float32."""
    dtype = unet.conv_in.weight.dtype
    return unet(sample.to(dtype), timestep, token.to(dtype), ids, return_dict=False)[0].float()


def draw_levels(batch: int, device: torch.device) -> torch.Tensor:
    """Noise levels (B,): log-normal, or log-uniform."""
    low, high = LOG_RANGE
    normal = LEVEL_MEAN + LEVEL_DEVIATION * torch.randn(batch, device=device)
    even = low + (high - low) * torch.rand(batch, device=device)
    return torch.where(
        torch.rand(batch, device=device) < EVEN_FRACTION, even, normal.clamp(low, high)
    ).exp()


def noised(
    clean: torch.Tensor, noise: torch.Tensor, level: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The input, the timestep and the target of the UNet.

    Args:
        clean, noise: (B, T, C, h, w).
        level: sigma, (B,).
    """
    sigma = level[:, None, None, None, None]
    scale = (sigma.square() + 1).rsqrt()
    return (clean + sigma * noise) * scale, level.log() / 4, (noise - sigma * clean) * scale


def unet_trainer(
    settings: Settings, data: Tensors, device: torch.device
) -> tuple[Trainer, nn.Module]:
    """The trainer, and the UNet that it trains.

    Args:
        data: from `encode_clips`.
    """
    torch.manual_seed(0)
    unet = build_unet(settings).to(device)
    on_gpu = device.type == "cuda"
    working = deepcopy(unet).bfloat16() if on_gpu else unet
    compute = torch.compile(predict, dynamic=False) if on_gpu else predict
    batch = settings.batch

    def loss(progress: torch.Tensor) -> Losses:
        row = torch.randint(len(data["latents"]), (batch,), device=device)
        noising = torch.randint(settings.noisings, (batch,), device=device)
        shown = (torch.rand(batch, device=device) >= DROPPED_FRACTION).float()
        clean = data["latents"][row].float()
        picture = data["pictures"][row, noising].float() * shown[:, None, None, None]
        token = data["tokens"][row] * shown[:, None, None]
        ids = torch.cat([data["motions"][row], data["strengths"][row, noising][:, None]], dim=1)
        level = draw_levels(batch, device)
        sample, timestep, expected = noised(clean, torch.randn_like(clean), level)
        sample = torch.cat([sample, picture[:, None].expand_as(clean)], dim=2)
        error = (
            (compute(working, sample, timestep, token, ids) - expected).square().mean((1, 2, 3, 4))
        )
        return {"loss": error.mean()}

    used = used_parameters(unet)
    blocks = [name for name, p in used.items() if "_block" in name and p.ndim >= 2]
    plan = Plan(
        settings.budget_unet,
        settings.rate,
        settings.warm_up,
        settings.ema,
        settings.save_every,
        captured=bool(settings.capture),
    )
    copies = list(used_parameters(working).values()) if on_gpu else None
    return Trainer("unet", used, {"": loss}, plan, device, for_muon=blocks, working=copies), unet
