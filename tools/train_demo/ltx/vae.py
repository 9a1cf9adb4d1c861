"""Training the demo's autoencoder, and encoding the clips that the transformer trains on."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import torch
from tokenizers import Tokenizer

from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from tools.demo_clips import draw_clips, judge_clips, measure_clips, sample_scenes
from tools.demo_clips.measure import JUDGED
from tools.train_demo.common.autoencoder import QUIET_LOG_VARIANCE, RAMP, autoencoder_loss
from tools.train_demo.common.store import Store
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.ltx.settings import CAPTION_TOKENS, Settings
from tools.train_demo.ltx.text import encode_texts, scene_captions

LATENT_NOISE = 0.1  # most noise that the decoder is trained to remove
NOISY_FRACTION = 0.7


def build_vae(settings: Settings, device: torch.device) -> AutoencoderKLLTXVideo:
    """A new autoencoder, channels-last, with a quiet posterior."""
    vae = AutoencoderKLLTXVideo(**settings.vae_config())
    with torch.no_grad():
        vae.encoder.conv_out.conv.bias[-1] = QUIET_LOG_VARIANCE
    vae.decoder.timestep_scale_multiplier.requires_grad_(False)
    return vae.to(device).to(memory_format=torch.channels_last_3d)


def vae_loss(
    vae: AutoencoderKLLTXVideo,
    clips: torch.Tensor,
    noise_level: torch.Tensor,
    progress: torch.Tensor,
) -> torch.Tensor:
    """The loss of a batch.

    Args:
        clips: (B, 3, T, H, W) in [0, 1]. The corner pixel is background.
        noise_level: (B,), how much noise is mixed into the latents before decoding.
        progress: fraction of the budget that is spent, a scalar.
    """
    video = clips * 2 - 1
    mean, log_variance = (part.float() for part in vae.encoder(video).chunk(2, dim=1))
    log_variance = log_variance.clamp(-30, 20)
    latents = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    latents = torch.lerp(latents, torch.randn_like(latents), noise_level[:, None, None, None, None])
    return autoencoder_loss(video, vae.decoder(latents, noise_level), mean, log_variance, progress)


def vae_trainer(settings: Settings, device: torch.device) -> tuple[Trainer, AutoencoderKLLTXVideo]:
    """The trainer, and the autoencoder that it trains."""
    torch.manual_seed(0)
    vae = build_vae(settings, device)
    pool = _draw_pool(settings, device)
    on_gpu = device.type == "cuda"
    compute = torch.compile(vae_loss, dynamic=False) if on_gpu else vae_loss

    def loss(progress: torch.Tensor) -> Losses:
        clips = pool[torch.randint(len(pool), (settings.vae_batch,), device=device)].float() / 255
        noise = torch.rand(len(clips), device=device) * LATENT_NOISE
        noise *= (torch.rand(len(clips), device=device) < NOISY_FRACTION) * (progress > RAMP)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            return {"loss": compute(vae, clips, noise, progress)}

    plan = Plan(
        settings.budget_vae,
        settings.vae_rate,
        settings.vae_warm_up,
        settings.vae_ema,
        settings.save_every,
        (0.9, 0.99),
    )
    parameters = {name: p for name, p in vae.named_parameters() if p.requires_grad}
    return Trainer("vae_training", parameters, {"": loss}, plan, device), vae


def train_vae(settings: Settings, store: Store, device: torch.device, deadline: float) -> bool:
    """Train the autoencoder, or resume; True when it is finished."""
    if store.load("vae") is not None:
        return True
    trainer, vae = vae_trainer(settings, device)
    if not trainer.train(store, deadline, step_type_of=lambda step: ""):
        return False
    trainer.settle()
    vae.eval()
    quality = reconstruction_quality(vae, min(64, settings.judge_prompts), device)
    store.log("vae", done=True, parameters=vae.num_parameters(), **quality)
    _add_statistics(settings, vae, device)
    store.save("vae", vae.state_dict())
    return True


def _draw_pool(settings: Settings, device: torch.device) -> torch.Tensor:
    """Clips for training the autoencoder, (N, 3, T, H, W) uint8, channels last."""
    scenes = sample_scenes(settings.vae_pool, torch.Generator().manual_seed(3)).to(device)
    generator = torch.Generator(device).manual_seed(3)
    parts = [
        draw_clips(part, generator, dtype=torch.uint8)
        for part in scenes.split(settings.encode_batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def encode_mean(vae: AutoencoderKLLTXVideo, clips: torch.Tensor) -> torch.Tensor:
    """Means (B, C, T, H, W) of the latents of clips in [0, 1], not normalised."""
    with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.device.type == "cuda"):
        return vae.encoder(clips * 2 - 1).chunk(2, dim=1)[0].float()


def _add_statistics(settings: Settings, vae: AutoencoderKLLTXVideo, device: torch.device) -> None:
    """Set the autoencoder's mean and deviation of latents from fresh clips."""
    generator = torch.Generator(device).manual_seed(4)
    scenes = sample_scenes(min(4096, settings.clips), torch.Generator().manual_seed(4)).to(device)
    parts = [
        encode_mean(vae, draw_clips(part, generator))
        for part in scenes.split(settings.encode_batch)
    ]
    deviation, mean = torch.std_mean(torch.cat(parts), dim=(0, 2, 3, 4))
    vae.latents_mean.copy_(mean)
    vae.latents_std.copy_(deviation)


@torch.no_grad()
def reconstruction_quality(
    vae: AutoencoderKLLTXVideo, count: int, device: torch.device
) -> dict[str, float]:
    """PSNR of held-out clips, and the judge's accuracy on drawn clips and on their
    reconstructions.
    """
    generator = torch.Generator(device).manual_seed(5)
    scenes = sample_scenes(count, torch.Generator().manual_seed(5), held_out=True).to(device)
    drawn, decoded = [], []
    for part in scenes.split(16):
        clips = draw_clips(part, generator)
        latents = encode_mean(vae, clips)
        drawn.append(clips)
        decoded.append(
            (vae.decoder(latents, torch.zeros(len(part), device=device)) / 2 + 0.5).clamp(0, 1)
        )
    clips, videos = torch.cat(drawn), torch.cat(decoded)
    error = (clips - videos).square().mean((1, 2, 3, 4))
    result = {"psnr": (-10 * error.log10()).mean().item()}
    for name, judged in (("drawn", clips), ("reconstructed", videos)):
        right = judge_clips(measure_clips(judged), scenes).float().mean(0).tolist()
        result |= {
            f"{name}_{attribute}": value for attribute, value in zip(JUDGED, right, strict=True)
        }
    return result


def load_vae(settings: Settings, store: Store, device: torch.device) -> AutoencoderKLLTXVideo:
    """The autoencoder that `train_vae` left."""
    vae = build_vae(settings, device)
    tensors, _ = store.load("vae") or ({}, {})
    vae.load_state_dict(tensors)
    return vae.eval().requires_grad_(False)


def encode_clips(
    settings: Settings, store: Store, tokenizer: Tokenizer, device: torch.device
) -> dict[str, torch.Tensor]:
    """Draw and encode the transformer's data, or read it back: on the device,

    latents (N, tokens, C) bfloat16 normalised, captions (N, K, CAPTION_TOKENS) int16, scenes (N, 6)
    int64.
    """
    saved = store.load("latents")
    if saved is not None and len(saved[0]["scenes"]) == settings.clips:
        return {name: tensor.to(device) for name, tensor in saved[0].items()}
    vae = load_vae(settings, store, device)
    scenes = sample_scenes(settings.clips, torch.Generator().manual_seed(6))
    with ThreadPoolExecutor(1) as pool:
        captions = pool.submit(_write_captions, tokenizer, scenes, settings.captions_per_clip)
        generator = torch.Generator(device).manual_seed(6)
        mean, deviation = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
        parts = []
        for part in scenes.to(device).split(settings.encode_batch):
            latents = (encode_mean(vae, draw_clips(part, generator)) - mean) / deviation
            parts.append(latents.flatten(2).transpose(1, 2).bfloat16())
        data = {"latents": torch.cat(parts), "captions": captions.result(), "scenes": scenes}
    store.save("latents", data)
    store.log("latents", clips=len(scenes), mean=data["latents"].float().mean().item())
    return {name: tensor.to(device) for name, tensor in data.items()}


def _write_captions(tokenizer: Tokenizer, scenes: torch.Tensor, each: int) -> torch.Tensor:
    rng = random.Random(6)
    rows = [
        encode_texts(tokenizer, scene_captions(scenes, rng), CAPTION_TOKENS) for _ in range(each)
    ]
    return torch.stack(rows, dim=1).to(torch.int16)
