"""Teaching the demo's transformer what may be held of a video: first frames, pictures and clips
inside; and 256 x 256.

Tokens are held as `filmstrip.ltx.pipelines.steppers.MaskedStepper` holds them: one of strength s is
no noisier than 1 - s, and a token that is wholly held has timestep 0, with or without noise that
falls with the video's. Pictures and clips that begin inside are tokens of their own before the
video's, as `filmstrip.ltx.pipelines.conditions.apply_conditioning` puts them. The text encoder
stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import nn
from transformers import T5EncoderModel

from filmstrip.ltx.latents import LatentShape, token_positions
from filmstrip.ltx.models.rotary import BASE_SIZE
from filmstrip.ltx.models.transformer import LTXPrepared, LTXVideoTransformer3DModel
from filmstrip.nn.ops import Rotation
from tools.train_demo.common.store import Tensors
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.ltx.denoiser import (
    EMPTY_SHARE,
    MASKED_SHARE,
    TIME_DEVIATION,
    TIME_MEAN,
    UNIFORM_SHARE,
)
from tools.train_demo.ltx.held import SCALES
from tools.train_demo.ltx.settings import CAPTION_TOKENS, LATENT_SIZE, TEXT_TOKENS, Settings
from tools.train_demo.ltx.text import MASKED, encode_captions

WEAK_SHARE = 0.15  # of samples whose held tokens have strengths below 1
SOFT_SHARE = 0.5  # whose held first frames are softened
NOISY_SHARE, IMAGE_NOISE = 0.65, 0.15  # whose held tokens get noise, and its scale at timestep 1000
CAUSAL_SHARE = 0.25  # whose first frame is alone in time, as `LTXConditionPipeline` has it
RATES = (25, 25, 25, 25, 25, 30, 30, 24, 24, 16, 12, 8)  # frames a second, evenly
LAST_SHARE = 0.6  # of the pictures that are a clip's last
REFINED_SHARE, REFINED_FROM = (
    0.65,
    (0.4, 0.8),
)  # of large clips in a second pass, and the noise that it starts from
ALL_HELD_SHARE = 0.5  # of clips inside that are held to the end


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    scale: a name in `SCALES`.
    own: latent frames that are tokens of their own.
    held: shares of 0, 1, 2, 3 and 4 first latent frames held.
    every: how often, in a round of all kinds.
    frames: latent frames of the video.
    """

    scale: str
    own: int
    held: tuple[float, ...]
    every: int
    frames: int = LATENT_SIZE[0]


KINDS = {
    "plain": Kind("small", 0, (0.45, 0.3, 0.08, 0.09, 0.08), 7),
    "short": Kind("small", 0, (0.2, 0.2, 0.2, 0.25, 0.15), 2, frames=5),
    "picture": Kind("small", 1, (0.3, 0.55, 0.05, 0.05, 0.05), 5),
    "pair": Kind("small", 2, (0.35, 0.5, 0.05, 0.05, 0.05), 2),
    "large": Kind("large", 0, (0.5, 0.35, 0.05, 0.05, 0.05), 5),
    "large_picture": Kind("large", 1, (0.2, 0.65, 0.05, 0.05, 0.05), 1),
}
_SLOTS = sorted(
    ((i + 0.5) / kind.every, name) for name, kind in KINDS.items() for i in range(kind.every)
)


def kind_of_step(step: int) -> str:
    """The kinds in turn, each spread evenly."""
    return _SLOTS[step % len(_SLOTS)][1]


def rotations(
    transformer: LTXVideoTransformer3DModel,
    size: LatentShape,
    ratios: tuple[int, int],
    own: torch.Tensor,
    causal: torch.Tensor,
    rate: torch.Tensor,
) -> Rotation:
    """Cosines and sines (B, N, C / 2) of own tokens, if any, and of those of the video after them.

    Args:
        own: (B, latent frames) where each of the own ones stands, in frames.
        causal, rate: (B,) of each sample: whether the video's first latent frame stands for one
            frame; frames a second.
    """
    plain, single = (
        token_positions(size, ratios, 1.0, first, device=own.device)[0] for first in (False, True)
    )
    area = size.height * size.width
    frames = torch.cat([each(own, area), torch.where(causal[:, None], single[0], plain[0])], dim=1)
    place = torch.cat([plain[1:, :area].repeat(1, own.shape[1]), plain[1:]], dim=1).expand(
        len(own), -1, -1
    )
    axes = frames / rate[:, None], place[:, 0], place[:, 1]
    coordinates = torch.stack(
        [axis / base for axis, base in zip(axes, BASE_SIZE, strict=True)], dim=-1
    )
    return transformer.rope(coordinates)


def each(frames: torch.Tensor, area: int) -> torch.Tensor:
    """A value for each of the `area` tokens of frames (B, T): (B, T * area)."""
    return frames[..., None].expand(-1, -1, area).flatten(1)


@dataclass(frozen=True)
class Batch:
    """What is held of a batch.

    values: (B, own + video tokens, C), clean.
    strength: of each token, (B, N).
    own: (B, latent frames) where the own ones stand, in frames.
    """

    values: torch.Tensor
    strength: torch.Tensor
    own: torch.Tensor


def hold(kind: Kind, data: Tensors, row: torch.Tensor, causal: torch.Tensor) -> Batch:
    """Draw what is held of the clips `row`, (B,)."""
    batch, device = len(row), row.device
    area = data["latents"].shape[1] // LATENT_SIZE[0]
    frame = torch.arange(kind.frames, device=device)

    def chance(share: float) -> torch.Tensor:
        return torch.rand(batch, device=device) < share

    def strength() -> torch.Tensor:
        return torch.where(
            chance(WEAK_SHARE), torch.rand(batch, device=device), torch.ones(batch, device=device)
        )

    unit, count = torch.rand(batch, device=device), data["least"][row]
    for frames, end in enumerate(accumulate(kind.held[:-1]), start=1):
        count = torch.maximum(count, frames * (unit > end))
    held = strength()[:, None] * (frame < count[:, None])

    tokens, own_strength = [], strength()[:, None]
    inside, start = data["frames"][row].unbind(1)
    last = torch.full_like(inside, (LATENT_SIZE[0] - 1) * 4)
    own = torch.empty(batch, 0, device=device)
    pictures = data["pictures"][row].unflatten(1, (2, area))
    if kind.own == 1:
        final = chance(LAST_SHARE)
        own = torch.where(final, last, inside)[:, None]
        tokens = [torch.where(final[:, None, None], pictures[:, 1], pictures[:, 0])]
    if kind.own == 2:
        clip, on = chance(0.5), chance(ALL_HELD_SHARE)
        second = start + 4 - 3 * causal.long()
        own = torch.where(
            clip[:, None], torch.stack([start, second], dim=1), torch.stack([inside, last], dim=1)
        )
        tokens = [torch.where(clip[:, None, None], data["pair"][row], pictures.flatten(1, 2))]
        rest = (clip & on)[:, None] & (frame >= (start // 4 + 2)[:, None])
        held = torch.where(rest, own_strength, held)

    strengths = each(held, area)
    soft = chance(SOFT_SHARE)[:, None] & (strengths > 0)
    end = kind.frames * area
    video = torch.where(soft[..., None], data["soft"][row, :end], data["latents"][row, :end])
    strengths = torch.cat([own_strength.expand(-1, kind.own * area), strengths], dim=1)
    return Batch(torch.cat([*tokens, video], dim=1).float(), strengths, own.float())


def draw_level(batch: int, device: torch.device) -> torch.Tensor:
    """Noise levels (B,) as in the first training."""
    level = torch.sigmoid(TIME_MEAN + TIME_DEVIATION * torch.randn(batch, device=device))
    even = torch.rand(batch, device=device)
    return torch.where(torch.rand(batch, device=device) < UNIFORM_SHARE, even, level)


def refine(
    data: Tensors, row: torch.Tensor, held: Batch, level: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Noise levels (B,), and what is wrong with the tokens at level 1 (B, N, C), where a sample is
    of a second pass.

    Such a pass starts at a level s from raised latents x' instead of from the true ones x. A
    straight way from there to x is, at level t, off by t (1 - s) / s (x' - x).
    """
    least, most = REFINED_FROM
    start = least + (most - least) * torch.rand_like(level)
    refined = torch.rand_like(level) < REFINED_SHARE
    level = torch.where(refined, start * torch.rand_like(level), level)
    raised = nn.functional.pad(
        data["raised"][row].float(), (0, 0, held.values.shape[1] - data["raised"].shape[1], 0)
    )
    share = (refined * (1 - start) / start)[:, None] * (held.strength == 0)
    return level, share[..., None] * (raised - held.values)


def draw_texts(
    captions: torch.Tensor, row: torch.Tensor, encoder: T5EncoderModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoded captions (B, L, C) of clips, some of them empty, and the bias (B, 1, L) that hides
    their padding.
    """
    batch, device = len(row), row.device
    ids = captions[row, torch.randint(captions.shape[1], (batch,), device=device)].long()
    ids = nn.functional.pad(ids, (0, TEXT_TOKENS - CAPTION_TOKENS))
    nothing = torch.zeros(TEXT_TOKENS, dtype=torch.long, device=device)
    nothing[0].fill_(1)  # "</s>"
    ids = torch.where(torch.rand(batch, 1, device=device) < EMPTY_SHARE, nothing, ids)
    with torch.no_grad():
        text = encode_captions(encoder, ids, torch.rand(batch, device=device) < MASKED_SHARE)
    return text[:, :CAPTION_TOKENS], ((ids[:, :CAPTION_TOKENS] == 0) * MASKED)[:, None].to(
        text.dtype
    )


def conditioned_loss(
    settings: Settings,
    transformer: LTXVideoTransformer3DModel,
    encoder: T5EncoderModel,
    kind: Kind,
    data: Tensors,
    rates: torch.Tensor,
) -> torch.Tensor:
    """The loss of a fresh batch: squared error of the velocity, over all tokens that walk.

    `rates` are the frames a second to choose from. Nothing may come from the host, so that steps
    can be captured.
    """
    device = data["latents"].device
    batch = settings.tuned_batch if kind.scale == "small" else settings.large_batch
    row = torch.randint(len(data["latents"]), (batch,), device=device)
    causal = torch.rand(batch, device=device) < CAUSAL_SHARE
    rate = rates[torch.randint(len(rates), (batch,), device=device)]
    held = hold(kind, data, row, causal)
    text, bias = draw_texts(data["captions"], row, encoder)

    level, wrong = draw_level(batch, device), torch.zeros((), device=device)
    if kind.scale == "large":
        level, wrong = refine(data, row, held, level)
    levels = torch.minimum(level[:, None], 1 - held.strength)
    noise = torch.randn_like(held.values)
    noisy = torch.lerp(held.values, noise, levels[..., None]) + levels[..., None] * wrong
    scale = IMAGE_NOISE * (torch.rand(batch, device=device) < NOISY_SHARE) * level.square()
    still = held.strength == 1
    noisy = noisy + (still * scale[:, None])[..., None] * noise

    config, times = settings.vae_config(), SCALES[kind.scale]
    ratios = (config["temporal_compression_ratio"], config["spatial_compression_ratio"])
    size = LatentShape(kind.frames, LATENT_SIZE[1] * times, LATENT_SIZE[2] * times)
    prepared = transformer.prepare(text, bias, 1, 1, 1)
    rotation = rotations(transformer, size, ratios, held.own, causal, rate)
    prepared = LTXPrepared(rotation, prepared.keys_values, prepared.bias)
    prediction = transformer(noisy, timestep=levels * 1000, prepared=prepared, return_dict=False)[0]
    error = (prediction.float() - (noise + wrong - held.values)).square().mean(-1)
    return (error * ~still).sum() / (~still).sum()


def conditions_trainer(
    settings: Settings,
    transformer: LTXVideoTransformer3DModel,
    encoder: T5EncoderModel,
    data: dict[str, Tensors],
    device: torch.device,
) -> Trainer:
    """The trainer of a transformer that can make videos from texts, with the kinds of step of
    `KINDS`.

    Args:
        data: from `encode_held`.
    """
    on_gpu = device.type == "cuda"
    rates = torch.tensor(RATES, dtype=torch.float32, device=device)
    encoder.requires_grad_(False)
    if on_gpu:  # the blocks are alike: each kind of step compiles one, and the others share it
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)

    def loss(name: str, progress: torch.Tensor) -> Losses:
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False):
            kind = KINDS[name]
            return {
                f"{name}_loss": conditioned_loss(
                    settings, transformer, encoder, kind, data[kind.scale], rates
                )
            }

    parameters = dict(transformer.named_parameters())
    blocks = [
        name
        for name, p in parameters.items()
        if name.startswith("transformer_blocks.") and p.ndim == 2 and min(p.shape) > 8
    ]
    plan = Plan(
        settings.budget_conditions,
        settings.tuned_rate,
        settings.tuned_warm_up,
        settings.tuned_ema,
        settings.save_every,
        captured=True,
    )
    losses = {name: partial(loss, name) for name in KINDS}
    return Trainer("conditions", parameters, losses, plan, device, for_muon=blocks)
