"""Clips with the conditions of a pipeline: first frames, and pictures of later frames."""

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

CHANGED_SHARE = 0.25  # of clips whose first frames move otherwise than the caption says
CHANGED_AFTER = (2, 3, 4)  # latent frames; so many are always held of them
PAIR_STARTS = (4, 8, 12, 16)  # frames at which a clip inside the video may begin
SCALES = {"small": 1, "large": 2}  # sides of the videos, in `SIDE`


def soften(clips: torch.Tensor) -> torch.Tensor:
    """About what `filmstrip.ltx.pipelines.preprocess` leaves of (B, 3, T, H, W) in [0, 1]: blurred,
    its colours at half the size.

    The colours are those of 4:2:0 video, averages of 2 x 2 pixels.
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
    """Sample what the objects of scenes (B, 6) do first: mostly nothing else. On the CPU.

    Sizes change in one of the parts at most, so that objects stay in view.
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
    changed = torch.rand(len(scenes), generator=generator) < CHANGED_SHARE
    return Change(before, torch.where(changed, (after - 1) * 4, 0))


def encode_held(
    settings: Settings,
    store: Store,
    vae: AutoencoderKLLTXVideo,
    tokenizer: Tokenizer,
    device: torch.device,
) -> dict[str, Tensors]:
    """Draw and encode the clips of each of `SCALES`, `settings.held_clips` and
    `settings.large_clips` of them.

    Each has, on the device and normalised, with n tokens a latent frame:
        latents, soft (N, 7 n, C): of the clip, and of the clip softened.
        pictures (N, 2 n, C): of a frame inside the clip, and of its last one.
        pair (N, 2 n, C): the first two latents of a clip that begins inside.
        frames (N, 2): where the picture inside and the pair begin.
        least (N,): latent frames that must be given, since the caption does not describe them.
        captions (N, K, CAPTION_TOKENS) int16.
        small (M, 7 n / 4, C): only of large clips, the same drawn at `SIDE`.
    Pictures and pairs are of softened clips in half of the rows.
    """
    counts = {"small": settings.held_clips, "large": settings.large_clips}
    result = {}
    for seed, (name, scale) in enumerate(SCALES.items()):
        choice, generator = (
            torch.Generator().manual_seed(70 + seed),
            torch.Generator(device).manual_seed(70 + seed),
        )
        scenes = sample_scenes(counts[name], choice)
        changes = sample_changes(scenes, choice)
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
    given = torch.where((draw(2) == 0).view(-1, 1, 1, 1, 1), clips, soft)
    row = torch.arange(count, device=device)[:, None]
    frames = given.transpose(1, 2)
    pictures = [
        frames[row, at].transpose(1, 2)
        for at in (inside[:, None], torch.full_like(row, FRAMES - 1))
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


def made_up(settings: Settings, device: torch.device, rows: int = 4) -> dict[str, Tensors]:
    """Data in the shapes of `encode_held` and `raise_latents`, of a few clips."""
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
