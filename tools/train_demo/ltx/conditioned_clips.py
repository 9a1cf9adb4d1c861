"""Drawn clips with the conditions of a pipeline: first frames, later pictures and clips."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from filmstrip.ltx.latents import pack
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from tools.demo_clips import ATTRIBUTES, Change, draw_clips, sample_scenes
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.ltx.settings import CAPTION_TOKENS, FRAMES, LATENT_SIZE, SIDE, Settings
from tools.train_demo.ltx.text import encode_texts, scene_captions
from tools.train_demo.ltx.vae import encode_mean

CHANGED_FRACTION = 0.25  # of clips whose first frames have another motion than the caption
CHANGED_AFTER = (2, 3, 4)  # latent frames with that motion; all of them are conditioned
PAIR_STARTS = (4, 8, 12, 16)  # frames at which a later clip may begin
SCALES = {"small": 1, "large": 2}  # height and width of the videos, in `SIDE`


def soften(clips: torch.Tensor) -> torch.Tensor:
    """Approximate `filmstrip.ltx.pipelines.preprocess`: blur, and chroma at half the resolution.

    Args:
        clips: (B, 3, T, H, W) in [0, 1].
    """
    frames = clips.transpose(1, 2).flatten(0, 1)
    kernel = torch.exp(-torch.tensor([1.0, 0.0, 1.0], device=clips.device) / 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    padded = F.pad(frames, (1, 1, 1, 1), mode="reflect")
    frames = F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)
    weights = torch.tensor([0.299, 0.587, 0.114], device=clips.device).view(1, 3, 1, 1)
    light = (frames * weights).sum(1, keepdim=True)
    colour = F.avg_pool2d(frames - light, 2).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return (light + colour).clamp(0, 1).unflatten(0, (len(clips), -1)).transpose(1, 2)


def sample_changes(scenes: torch.Tensor, generator: torch.Generator) -> Change:
    """Sample the motion of the first frames of scenes (B, 6), mostly unchanged. On the CPU.

    Sizes change in at most one of the two parts of a clip, so that objects stay in view.
    """
    before = scenes.clone()
    column = list(ATTRIBUTES).index
    for name in ("direction", "change"):
        drawn = torch.randint(len(ATTRIBUTES[name]), (len(scenes),), generator=generator)
        before[:, column(name)] = drawn
    resized = [ATTRIBUTES["change"].index(name) for name in ("grows", "shrinks")]
    both = torch.isin(before[:, column("change")], torch.tensor(resized))
    both &= torch.isin(scenes[:, column("change")], torch.tensor(resized))
    before[both, column("change")] = scenes[both, column("change")]
    after = torch.tensor(CHANGED_AFTER)[
        torch.randint(len(CHANGED_AFTER), (len(scenes),), generator=generator)
    ]
    changed = torch.rand(len(scenes), generator=generator) < CHANGED_FRACTION
    return Change(before, torch.where(changed, (after - 1) * 4, 0))


def encode_conditioned_clips(
    settings: Settings,
    store: Store,
    vae: AutoencoderKLLTXVideo,
    tokenizer: Tokenizer,
    device: torch.device,
) -> dict[str, Tensors]:
    """Draw and encode `settings.held_clips` small and `settings.large_clips` large clips.

    Returns:
        For each of `SCALES`, on the device and normalised, with n tokens for each latent frame:

        latents, soft (N, 7 n, C): the clip, and the clip after `soften`.
        pictures (N, 2 n, C): a frame after the first, and the last frame.
        pair (N, 2 n, C): the first two latents of a later clip.
        frames (N, 2): the frames at which the picture and the later clip begin.
        least (N,): first latent frames that must be conditions, since their motion is not in the
            caption.
        captions (N, K, CAPTION_TOKENS) int16.
        small (M, 7 n / 4, C): only for large clips, the same clips at `SIDE`.

        In half of the rows, pictures and later clips are softened.
    """
    counts = {"small": settings.held_clips, "large": settings.large_clips}
    result = {}
    for seed, (name, scale) in enumerate(SCALES.items()):
        scene_generator = torch.Generator().manual_seed(70 + seed)
        generator = torch.Generator(device).manual_seed(70 + seed)
        scenes = sample_scenes(counts[name], scene_generator)
        changes = sample_changes(scenes, scene_generator)
        rng = random.Random(70 + seed)
        captions = [
            encode_texts(tokenizer, scene_captions(scenes, rng), CAPTION_TOKENS) for _ in range(2)
        ]
        parts = []
        step = max(settings.encode_batch // scale**2, 1)
        for rows in torch.arange(len(scenes)).split(step):
            part = scenes[rows].to(device)
            before = Change(changes.indices[rows].to(device), changes.frames[rows].to(device))
            state = generator.get_state()
            clips = draw_clips(part, generator, side=SIDE * scale, before=before)
            encoded = _encode_parts(vae, clips, generator)
            if scale > 1:
                again = torch.Generator(device)
                again.set_state(state)
                encoded["small"] = _tokens(vae, draw_clips(part, again, before=before))
            parts.append(encoded)
        data = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        data["least"] = torch.where(changes.frames > 0, changes.frames // 4 + 1, 0).to(device)
        data["captions"] = torch.stack(captions, dim=1).to(device, torch.int16)
        store.log("held", kind=name, clips=len(scenes), mean=data["latents"].float().mean().item())
        result[name] = data
    return result


def _encode_parts(
    vae: AutoencoderKLLTXVideo, clips: torch.Tensor, generator: torch.Generator
) -> Tensors:
    count, device = len(clips), clips.device

    def draw(high: int) -> torch.Tensor:
        return torch.randint(high, (count,), generator=generator, device=device)

    inside = 1 + draw(FRAMES - 2)
    start = torch.tensor(PAIR_STARTS, device=device)[draw(len(PAIR_STARTS))]
    soft = soften(clips)
    condition_clips = torch.where((draw(2) == 0).view(-1, 1, 1, 1, 1), clips, soft)
    row = torch.arange(count, device=device)[:, None]
    frames = condition_clips.transpose(1, 2)
    pictures = [
        frames[row, index].transpose(1, 2)
        for index in (inside[:, None], torch.full_like(row, FRAMES - 1))
    ]
    pair = frames[row, start[:, None] + torch.arange(5, device=device)].transpose(1, 2)
    return {
        "latents": _tokens(vae, clips),
        "soft": _tokens(vae, soft),
        "pictures": torch.cat([_tokens(vae, picture) for picture in pictures], dim=1),
        "pair": _tokens(vae, pair),
        "frames": torch.stack([inside, start], dim=1),
    }


def _tokens(vae: AutoencoderKLLTXVideo, clips: torch.Tensor) -> torch.Tensor:
    """Normalised tokens (B, N, C) of clips in [0, 1], in bfloat16."""
    mean, deviation = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
    return pack((encode_mean(vae, clips) - mean) / deviation).bfloat16()


def random_data(settings: Settings, device: torch.device, rows: int = 4) -> dict[str, Tensors]:
    """Random data in the shapes of `encode_conditioned_clips` and `raise_latents`."""
    result = {}
    for name, scale in SCALES.items():
        area = LATENT_SIZE[1] * LATENT_SIZE[2] * scale**2

        def tokens(frames: int, area: int = area) -> torch.Tensor:
            return torch.randn(
                rows, frames * area, settings.latent_channels, device=device
            ).bfloat16()

        result[name] = {
            "latents": tokens(LATENT_SIZE[0]),
            "soft": tokens(LATENT_SIZE[0]),
            "pictures": tokens(2),
            "pair": tokens(2),
            "frames": torch.full((rows, 2), 4, device=device),
            "least": torch.zeros(rows, dtype=torch.long, device=device),
            "captions": torch.ones(rows, 2, CAPTION_TOKENS, dtype=torch.int16, device=device),
            "raised": tokens(LATENT_SIZE[0]),
        }
    return result
