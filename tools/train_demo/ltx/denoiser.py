"""Training the demo's transformer together with its text encoder, by flow matching.

One whole step, from the draw of the data to the moving average, is captured in a CUDA graph: a
model this small would otherwise wait for Python. There are two types of steps. In a text step all
tokens are equally noisy. In an image step the first latent frame is clean and at timestep 0, and
only the others are predicted, so that the model can later be given a picture to start from.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import torch
from torch import nn
from transformers import T5EncoderModel

from filmstrip.ltx.models.rotary import BASE_SIZE
from filmstrip.ltx.models.transformer import LTXPrepared, LTXVideoTransformer3DModel
from filmstrip.nn.ops import Rotation
from tools.train_demo.common.store import Tensors
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.ltx.settings import (
    CAPTION_TOKENS,
    FRAME_RATE,
    LATENT_SIZE,
    TEXT_TOKENS,
    Settings,
)
from tools.train_demo.ltx.text import MASKED, AttributeReader, encode_captions

EMPTY_FRACTION = 0.1  # of captions
MASKED_FRACTION = 0.5  # of captions that T5 sees with a mask
TIME_MEAN, TIME_DEVIATION, UNIFORM_FRACTION = (
    0.6,
    1.2,
    0.15,
)  # noise levels: sigmoid of a normal, or uniform
READER_WEIGHT = 0.1  # of naming the attributes, which keeps T5's colours bound


def position_table(
    transformer: LTXVideoTransformer3DModel, settings: Settings, device: torch.device
) -> Rotation:
    """Cosines and sines (P, N, C / 2) of the positions that training meets, the usual ones most
    often.

    Most are those of the text pipeline at 25 frames a second; some are of other rates, and some
    have the first frame alone in time, as the conditioned pipelines place it.
    """
    temporal, spatial = (
        settings.vae_config()["temporal_compression_ratio"],
        settings.vae_config()["spatial_compression_ratio"],
    )
    pixels = transformer.rope.grid(
        *LATENT_SIZE, (temporal, spatial, spatial), device
    )  # in units of the base size
    causal = pixels.clone()
    causal[..., 0] = (causal[..., 0] * BASE_SIZE[0] + 1 - temporal).clamp(min=0) / BASE_SIZE[0]
    chosen = (
        [(pixels, FRAME_RATE)] * 12
        + [(causal, FRAME_RATE)] * 3
        + [(pixels, rate) for rate in (8, 12, 16, 24, 30)]
    )
    scales = [(grid, torch.tensor([1 / rate, 1, 1], device=device)) for grid, rate in chosen]
    return transformer.rope(torch.cat([grid * scale for grid, scale in scales]))


def predict(
    transformer: LTXVideoTransformer3DModel,
    noisy: torch.Tensor,
    timestep: torch.Tensor,
    text: torch.Tensor,
    bias: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
) -> torch.Tensor:
    """The transformer's prediction (B, N, C) with given rotations of the positions."""
    prepared = transformer.prepare(text, bias, *LATENT_SIZE)
    prepared = LTXPrepared((cos, sin), prepared.keys_values, prepared.bias)
    return transformer(noisy, timestep=timestep, prepared=prepared, return_dict=False)[0]


def transformer_trainer(
    settings: Settings,
    encoder: T5EncoderModel,
    reader: AttributeReader,
    data: Tensors,
    device: torch.device,
) -> tuple[Trainer, nn.ModuleDict]:
    """The trainer with its two types of steps, "text" and "image", and the models that it trains.

    Args:
        data: `latents`, `captions` and `scenes` of the clips, on the device.
    """
    transformer = LTXVideoTransformer3DModel(**settings.transformer_config()).to(device)
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    models = nn.ModuleDict({"transformer": transformer, "encoder": encoder, "reader": reader})
    positions = position_table(transformer, settings, device)
    on_gpu = device.type == "cuda"
    compute = torch.compile(predict, dynamic=False) if on_gpu else predict

    def losses(image: bool) -> tuple[torch.Tensor, torch.Tensor]:
        batch = settings.batch
        row = torch.randint(len(data["latents"]), (batch,), device=device)
        wording = torch.randint(data["captions"].shape[1], (batch,), device=device)
        clean = data["latents"][row].float()
        empty = torch.rand(batch, device=device) < EMPTY_FRACTION
        ids = nn.functional.pad(
            data["captions"][row, wording].long(), (0, TEXT_TOKENS - CAPTION_TOKENS)
        )
        nothing = torch.zeros(TEXT_TOKENS, dtype=torch.long, device=device)
        nothing[0].fill_(1)  # "</s>"
        ids = torch.where(empty[:, None], nothing, ids)

        text = encode_captions(encoder, ids, torch.rand(batch, device=device) < MASKED_FRACTION)
        reading = reader.loss(text, ids != 0, data["scenes"][row], (~empty).float())
        text = text[:, :CAPTION_TOKENS]
        bias = ((ids[:, :CAPTION_TOKENS] == 0) * MASKED)[:, None]

        level = torch.sigmoid(TIME_MEAN + TIME_DEVIATION * torch.randn(batch, device=device))
        level = torch.where(
            torch.rand(batch, device=device) < UNIFORM_FRACTION,
            torch.rand(batch, device=device),
            level,
        )[:, None]
        num_conditioned = LATENT_SIZE[1] * LATENT_SIZE[2] if image else 0
        if image:
            later = torch.arange(clean.shape[1], device=device) >= num_conditioned
            level = level * later
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, level[..., None])
        place = torch.randint(len(positions[0]), (1,), device=device)
        cos, sin = (table[place] for table in positions)
        prediction = compute(transformer, noisy, level * 1000, text, bias.to(text.dtype), cos, sin)
        error = prediction.float() - (noise - clean)
        return error[:, num_conditioned:].square().mean(), READER_WEIGHT * reading

    def logged_losses(image: bool, progress: torch.Tensor) -> Losses:
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False):
            loss, reading = losses(image)
        return {"image_loss" if image else "text_loss": loss, "reading": reading}

    parameters = dict(models.named_parameters())
    blocks = [
        name
        for name, p in parameters.items()
        if name.startswith("transformer.transformer_blocks.") and p.ndim == 2 and min(p.shape) > 8
    ]
    rate_factors = {"encoder.": settings.text_rate_joint, "reader.": settings.text_rate_joint}
    plan = Plan(
        settings.budget_transformer,
        settings.rate,
        settings.warm_up,
        settings.ema,
        settings.save_every,
        rate_factors=rate_factors,
        captured=True,
    )
    step_types = {"text": partial(logged_losses, False), "image": partial(logged_losses, True)}
    return Trainer("transformer", parameters, step_types, plan, device, for_muon=blocks), models


def split_weights(weights: Tensors) -> dict[str, Tensors]:
    """State dicts by model, of weights named `model.key`."""
    result: dict[str, Tensors] = defaultdict(dict)
    for name, value in weights.items():
        model, key = name.split(".", 1)
        result[model][key] = value
    return result
