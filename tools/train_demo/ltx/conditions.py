"""Training the demo's transformer on conditions (first frames, later pictures and clips) and on
videos of 256 x 256.

Conditioned tokens are those of `filmstrip.ltx.pipelines.steppers.MaskedStepper`: the noise level of
a token of strength s is at most 1 - s. Tokens of strength 1 have timestep 0, and may have noise
that decreases with that of the video. Later pictures and clips are extra tokens before those of the
video, as in `filmstrip.ltx.pipelines.conditions.apply_conditioning`. The text encoder is not
trained.
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
from tools.train_demo.ltx.conditioned_clips import SCALES
from tools.train_demo.ltx.denoiser import (
    EMPTY_FRACTION,
    MASKED_FRACTION,
    TIME_DEVIATION,
    TIME_MEAN,
    UNIFORM_FRACTION,
)
from tools.train_demo.ltx.settings import CAPTION_TOKENS, LATENT_SIZE, TEXT_TOKENS, Settings
from tools.train_demo.ltx.text import MASKED, encode_captions

WEAK_FRACTION = 0.15  # of samples with strengths below 1
SOFT_FRACTION = 0.5  # of samples with softened first frames
NOISY_FRACTION = 0.65  # of samples with noise on conditioned tokens
IMAGE_NOISE = 0.15  # the scale of this noise at timestep 1000
CAUSAL_FRACTION = 0.25  # of samples with causal positions, as in `LTXConditionPipeline`
RATES = (25, 25, 25, 25, 25, 30, 30, 24, 24, 16, 12, 8)  # frames a second, evenly
LAST_FRACTION = 0.6  # of pictures that are the last frame of a clip
REFINED_FRACTION = 0.65  # of large clips that are samples of a second pass
REFINED_FROM = (0.4, 0.8)  # the lowest and the highest noise level at the start of that pass
WHOLE_CLIP_FRACTION = 0.5  # of later clips whose frames are conditioned until the end


@dataclass(frozen=True)
class StepType:
    """A type of training steps.

    Attributes:
        scale: a name in `SCALES`.
        extra: the number of later latent frames, which are extra tokens.
        num_first_frames: the probabilities of 0, 1, 2, 3 and 4 conditioned first latent frames.
        every: how often it occurs in a round of all types.
        frames: latent frames of the video.
    """

    scale: str
    extra: int
    num_first_frames: tuple[float, ...]
    every: int
    frames: int = LATENT_SIZE[0]


STEP_TYPES = {
    "plain": StepType("small", 0, (0.45, 0.3, 0.08, 0.09, 0.08), 7),
    "short": StepType("small", 0, (0.2, 0.2, 0.2, 0.25, 0.15), 2, frames=5),
    "picture": StepType("small", 1, (0.3, 0.55, 0.05, 0.05, 0.05), 5),
    "pair": StepType("small", 2, (0.35, 0.5, 0.05, 0.05, 0.05), 2),
    "large": StepType("large", 0, (0.5, 0.35, 0.05, 0.05, 0.05), 5),
    "large_picture": StepType("large", 1, (0.2, 0.65, 0.05, 0.05, 0.05), 1),
}
_SLOTS = sorted(
    ((i + 0.5) / step_type.every, name)
    for name, step_type in STEP_TYPES.items()
    for i in range(step_type.every)
)


def step_type_of(step: int) -> str:
    """The name of the type of a step. The types take turns, each spread evenly."""
    return _SLOTS[step % len(_SLOTS)][1]


def rotations(
    transformer: LTXVideoTransformer3DModel,
    size: LatentShape,
    ratios: tuple[int, int],
    extra: torch.Tensor,
    causal: torch.Tensor,
    rate: torch.Tensor,
) -> Rotation:
    """Cosines and sines (B, N, C / 2) of the extra tokens, and then of the video's tokens.

    Args:
        extra: positions in time of the extra latent frames, (B, latent frames), in frames.
        causal: whether the video's first latent frame is a single frame, (B,).
        rate: frames a second, (B,).
    """
    plain, single = (
        token_positions(size, ratios, 1.0, first, device=extra.device)[0] for first in (False, True)
    )
    area = size.height * size.width
    frames = torch.cat(
        [repeat_for_tokens(extra, area), torch.where(causal[:, None], single[0], plain[0])], dim=1
    )
    positions = torch.cat([plain[1:, :area].repeat(1, extra.shape[1]), plain[1:]], dim=1).expand(
        len(extra), -1, -1
    )
    axes = frames / rate[:, None], positions[:, 0], positions[:, 1]
    coordinates = torch.stack(
        [axis / base for axis, base in zip(axes, BASE_SIZE, strict=True)], dim=-1
    )
    return transformer.rope(coordinates)


def repeat_for_tokens(frames: torch.Tensor, area: int) -> torch.Tensor:
    """Repeat the values of frames (B, T) for their `area` tokens: (B, T * area)."""
    return frames[..., None].expand(-1, -1, area).flatten(1)


@dataclass(frozen=True)
class Batch:
    """A batch of clips with their conditions.

    Attributes:
        values: clean extra and video tokens, (B, N, C).
        strength: the strength of each token, 0 without a condition, (B, N).
        extra: positions in time of the extra latent frames, (B, latent frames), in frames.
    """

    values: torch.Tensor
    strength: torch.Tensor
    extra: torch.Tensor


def draw_conditions(
    step_type: StepType, data: Tensors, row: torch.Tensor, causal: torch.Tensor
) -> Batch:
    """Draw the conditions of the clips with the indices `row`, (B,)."""
    batch, device = len(row), row.device
    area = data["latents"].shape[1] // LATENT_SIZE[0]
    frame = torch.arange(step_type.frames, device=device)

    def chance(fraction: float) -> torch.Tensor:
        return torch.rand(batch, device=device) < fraction

    def strength() -> torch.Tensor:
        return torch.where(
            chance(WEAK_FRACTION),
            torch.rand(batch, device=device),
            torch.ones(batch, device=device),
        )

    unit, count = torch.rand(batch, device=device), data["least"][row]
    for frames, end in enumerate(accumulate(step_type.num_first_frames[:-1]), start=1):
        count = torch.maximum(count, frames * (unit > end))
    strengths = strength()[:, None] * (frame < count[:, None])

    tokens = []
    extra_strength = strength()[:, None]
    inside, start = data["frames"][row].unbind(1)
    last = torch.full_like(inside, (LATENT_SIZE[0] - 1) * 4)
    extra = torch.empty(batch, 0, device=device)
    pictures = data["pictures"][row].unflatten(1, (2, area))
    if step_type.extra == 1:
        final = chance(LAST_FRACTION)
        extra = torch.where(final, last, inside)[:, None]
        tokens = [torch.where(final[:, None, None], pictures[:, 1], pictures[:, 0])]
    if step_type.extra == 2:
        clip = chance(0.5)
        until_end = chance(WHOLE_CLIP_FRACTION)
        second = start + 4 - 3 * causal.long()
        extra = torch.where(
            clip[:, None], torch.stack([start, second], dim=1), torch.stack([inside, last], dim=1)
        )
        tokens = [torch.where(clip[:, None, None], data["pair"][row], pictures.flatten(1, 2))]
        rest = (clip & until_end)[:, None] & (frame >= (start // 4 + 2)[:, None])
        strengths = torch.where(rest, extra_strength, strengths)

    strengths = repeat_for_tokens(strengths, area)
    soft = chance(SOFT_FRACTION)[:, None] & (strengths > 0)
    end = step_type.frames * area
    video = torch.where(soft[..., None], data["soft"][row, :end], data["latents"][row, :end])
    strengths = torch.cat([extra_strength.expand(-1, step_type.extra * area), strengths], dim=1)
    return Batch(torch.cat([*tokens, video], dim=1).float(), strengths, extra.float())


def draw_level(batch: int, device: torch.device) -> torch.Tensor:
    """Draw noise levels (B,) as in the training without conditions."""
    level = torch.sigmoid(TIME_MEAN + TIME_DEVIATION * torch.randn(batch, device=device))
    even = torch.rand(batch, device=device)
    return torch.where(torch.rand(batch, device=device) < UNIFORM_FRACTION, even, level)


def refine(
    data: Tensors, row: torch.Tensor, conditioned: Batch, level: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Choose samples of a second pass, and draw their noise levels.

    A second pass starts at a level s from upsampled latents x' instead of the true ones x. On a
    straight line from there to x, the error at level t is t (1 - s) / s (x' - x).

    Returns:
        Noise levels (B,), and the error of the tokens divided by the level, (B, N, C), which is 0
        for other samples.
    """
    least, most = REFINED_FROM
    start = least + (most - least) * torch.rand_like(level)
    refined = torch.rand_like(level) < REFINED_FRACTION
    level = torch.where(refined, start * torch.rand_like(level), level)
    raised = nn.functional.pad(
        data["raised"][row].float(),
        (0, 0, conditioned.values.shape[1] - data["raised"].shape[1], 0),
    )
    fraction = (refined * (1 - start) / start)[:, None] * (conditioned.strength == 0)
    return level, fraction[..., None] * (raised - conditioned.values)


def draw_texts(
    captions: torch.Tensor, row: torch.Tensor, encoder: T5EncoderModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode captions of clips, some of them empty.

    Returns:
        The embeddings (B, L, C), and the bias (B, 1, L) that masks padding.
    """
    batch, device = len(row), row.device
    ids = captions[row, torch.randint(captions.shape[1], (batch,), device=device)].long()
    ids = nn.functional.pad(ids, (0, TEXT_TOKENS - CAPTION_TOKENS))
    nothing = torch.zeros(TEXT_TOKENS, dtype=torch.long, device=device)
    nothing[0].fill_(1)  # "</s>"
    ids = torch.where(torch.rand(batch, 1, device=device) < EMPTY_FRACTION, nothing, ids)
    with torch.no_grad():
        text = encode_captions(encoder, ids, torch.rand(batch, device=device) < MASKED_FRACTION)
    return text[:, :CAPTION_TOKENS], ((ids[:, :CAPTION_TOKENS] == 0) * MASKED)[:, None].to(
        text.dtype
    )


def conditioned_loss(
    settings: Settings,
    transformer: LTXVideoTransformer3DModel,
    encoder: T5EncoderModel,
    step_type: StepType,
    data: Tensors,
    rates: torch.Tensor,
) -> torch.Tensor:
    """The loss of a new batch: the squared error of the velocity of all tokens with strength < 1.

    Nothing is copied from the CPU, so that steps can be captured in a CUDA graph.

    Args:
        rates: the frame rates to choose from.
    """
    device = data["latents"].device
    batch = settings.tuned_batch if step_type.scale == "small" else settings.large_batch
    row = torch.randint(len(data["latents"]), (batch,), device=device)
    causal = torch.rand(batch, device=device) < CAUSAL_FRACTION
    rate = rates[torch.randint(len(rates), (batch,), device=device)]
    conditioned = draw_conditions(step_type, data, row, causal)
    text, bias = draw_texts(data["captions"], row, encoder)

    level = draw_level(batch, device)
    error_per_level = torch.zeros((), device=device)
    if step_type.scale == "large":
        level, error_per_level = refine(data, row, conditioned, level)
    levels = torch.minimum(level[:, None], 1 - conditioned.strength)
    noise = torch.randn_like(conditioned.values)
    noisy = (
        torch.lerp(conditioned.values, noise, levels[..., None])
        + levels[..., None] * error_per_level
    )
    scale = IMAGE_NOISE * (torch.rand(batch, device=device) < NOISY_FRACTION) * level.square()
    fixed = conditioned.strength == 1
    noisy = noisy + (fixed * scale[:, None])[..., None] * noise

    config, times = settings.vae_config(), SCALES[step_type.scale]
    ratios = (config["temporal_compression_ratio"], config["spatial_compression_ratio"])
    size = LatentShape(step_type.frames, LATENT_SIZE[1] * times, LATENT_SIZE[2] * times)
    prepared = transformer.prepare(text, bias, 1, 1, 1)
    rotation = rotations(transformer, size, ratios, conditioned.extra, causal, rate)
    prepared = LTXPrepared(rotation, prepared.keys_values, prepared.bias)
    prediction = transformer(noisy, timestep=levels * 1000, prepared=prepared, return_dict=False)[0]
    error = (prediction.float() - (noise + error_per_level - conditioned.values)).square().mean(-1)
    return (error * ~fixed).sum() / (~fixed).sum()


def conditions_trainer(
    settings: Settings,
    transformer: LTXVideoTransformer3DModel,
    encoder: T5EncoderModel,
    data: dict[str, Tensors],
    device: torch.device,
) -> Trainer:
    """The trainer for `STEP_TYPES`, of a transformer that was trained without conditions.

    Args:
        data: from `encode_conditioned_clips`.
    """
    on_gpu = device.type == "cuda"
    rates = torch.tensor(RATES, dtype=torch.float32, device=device)
    encoder.requires_grad_(False)
    if on_gpu:  # all blocks share the compiled code
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)

    def loss(name: str, progress: torch.Tensor) -> Losses:
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False):
            step_type = STEP_TYPES[name]
            return {
                f"{name}_loss": conditioned_loss(
                    settings, transformer, encoder, step_type, data[step_type.scale], rates
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
    losses = {name: partial(loss, name) for name in STEP_TYPES}
    return Trainer("conditions", parameters, losses, plan, device, for_muon=blocks)
