"""Training the demo's autoencoder, and encoding the clips that the transformer trains on."""

from __future__ import annotations

import math
import random
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from tokenizers import Tokenizer
from torch import nn

from filmstrip.demo import draw_clips, judge_clips, measure_clips, sample_scenes
from filmstrip.demo.measure import JUDGED
from filmstrip.ltx.vae import AutoencoderKLLTXVideo
from tools.train_demo.optim import Average, adam_state, load_adam
from tools.train_demo.settings import CAPTION_TOKENS, Settings
from tools.train_demo.store import Clock, Store
from tools.train_demo.text import encode_texts, scene_captions

OBJECT_WEIGHT = 6.0  # of pixels on the object in the reconstruction loss
KL_WEIGHT = 5e-4
STATISTICS_WEIGHT = 1e-2  # keeps the channels of the latents near mean 0 and deviation 1
QUIET_LOG_VARIANCE = -6.0  # at the start; at 0 the noise would swamp the latents
LATENT_NOISE = 0.1  # most noise that the decoder is trained to remove
NOISY_SHARE = 0.7
RAMP = 0.3  # share of the budget after which KL is at full weight and the decoder gets noise


def build_vae(settings: Settings, device: torch.device) -> AutoencoderKLLTXVideo:
    """A fresh autoencoder, channels-last, with a quiet posterior."""
    vae = AutoencoderKLLTXVideo(**settings.vae_config())
    with torch.no_grad():
        vae.encoder.conv_out.conv.bias[-1] = QUIET_LOG_VARIANCE
    vae.decoder.timestep_scale_multiplier.requires_grad_(False)
    return vae.to(device).to(memory_format=torch.channels_last_3d)


def vae_loss(
    vae: AutoencoderKLLTXVideo, clips: torch.Tensor, noise_level: torch.Tensor, kl_weight: torch.Tensor
) -> torch.Tensor:
    """Reconstruction, KL and statistics of the latents.

    Args:
        clips: (B, 3, T, H, W) in [0, 1]. The corner pixel is background.
        noise_level: (B,), how much noise is mixed into the latents before decoding.
        kl_weight: scalar.
    """
    weight = 1 + (OBJECT_WEIGHT - 1) * (clips != clips[..., :1, :1]).any(1, keepdim=True).float()
    video = clips * 2 - 1
    mean, log_variance = (part.float() for part in vae.encoder(video).chunk(2, dim=1))
    log_variance = log_variance.clamp(-30, 20)
    latents = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    latents = torch.lerp(latents, torch.randn_like(latents), noise_level[:, None, None, None, None])
    error = vae.decoder(latents, noise_level).float() - video
    reconstruction = (weight * (error.abs() + error.square())).mean() / weight.mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    deviation, centre = torch.std_mean(mean, dim=(0, 2, 3, 4))
    statistics = (centre.square() + (deviation - 1).square()).mean()
    return reconstruction + kl_weight * kl + STATISTICS_WEIGHT * statistics


class VaeTraining:
    """The autoencoder, its optimiser and moving average, and a pool of clips drawn once."""

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.on_gpu = device.type == "cuda"
        self.vae = build_vae(settings, device)
        self.parameters = [p for p in self.vae.parameters() if p.requires_grad]
        self.average = Average(self.parameters)
        self.average_weight = torch.tensor(0.0, device=device)
        self.optimizer = torch.optim.AdamW(self.parameters, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.pool = _draw_pool(settings, device)
        self.loss_of = torch.compile(vae_loss, dynamic=False) if self.on_gpu else vae_loss

    def loss(self, progress: float) -> torch.Tensor:
        """Of a fresh batch, when a share `progress` of the budget is spent."""
        row = torch.randint(len(self.pool), (self.settings.vae_batch,), device=self.device)
        clips = self.pool[row].float() / 255
        noise = torch.rand(len(clips), device=self.device) * LATENT_NOISE
        noise *= (torch.rand(len(clips), device=self.device) < NOISY_SHARE) * float(progress > RAMP)
        kl_weight = torch.full((), KL_WEIGHT * min(progress / RAMP, 1.0), device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.on_gpu):
            return self.loss_of(self.vae, clips, noise, kl_weight)

    def step(self, step: int, progress: float) -> torch.Tensor:
        """One optimiser step; returns the loss."""
        settings = self.settings
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.vae_rate * min((step + 1) / settings.vae_warm_up, 1.0) * max(cosine, 0.01)
        self.optimizer.zero_grad()
        loss = self.loss(progress)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.average.update(self.average_weight.fill_(1 - min(settings.vae_ema, (1 + step) / (10 + step))))
        return loss.detach()

    def save(self, store: Store, step: int, spent: float) -> None:
        tensors = {f"raw.{i}": p for i, p in enumerate(self.parameters)}
        tensors |= {f"ema.{i}": p for i, p in enumerate(self.average.values)}
        store.save("vae_progress", tensors | adam_state(self.optimizer), step=step, spent=spent)

    def load(self, store: Store) -> tuple[int, float]:
        """Go on from the last save, if there is one: (step, seconds spent)."""
        if (saved := store.load("vae_progress")) is None:
            return 0, 0.0
        tensors, facts = saved
        with torch.no_grad():
            for i, (parameter, mean) in enumerate(zip(self.parameters, self.average.values, strict=True)):
                parameter.copy_(tensors[f"raw.{i}"])
                mean.copy_(tensors[f"ema.{i}"])
        load_adam(self.optimizer, tensors)
        return facts["step"], facts["spent"]

    def finish(self) -> AutoencoderKLLTXVideo:
        """The autoencoder with averaged weights."""
        with torch.no_grad():
            for parameter, mean in zip(self.parameters, self.average.values, strict=True):
                parameter.copy_(mean)
        return self.vae.eval()


def train_vae(settings: Settings, store: Store, device: torch.device, deadline: float) -> bool:
    """Train the autoencoder, or go on; True when it is finished."""
    if store.load("vae") is not None:
        return True
    torch.manual_seed(0)
    training = VaeTraining(settings, device)
    step, spent = training.load(store)
    begin = time.monotonic()
    training.loss(0.0).backward()  # compiles
    store.log("vae", compiled=time.monotonic() - begin, parameters=training.vae.num_parameters())
    clock = Clock(settings.budget_vae, spent, deadline)
    saved_at = time.monotonic()
    while not clock.done and not clock.out_of_time:
        loss = training.step(step, clock.progress)
        step += 1
        if step % 500 == 0:
            store.log("vae", step=step, spent=clock.spent, loss=loss.item())
        if time.monotonic() - saved_at > settings.save_every:
            training.save(store, step, clock.spent)
            saved_at = time.monotonic()
    if not clock.done:
        training.save(store, step, clock.spent)
        return False
    vae = training.finish()
    del training
    store.log("vae", step=step, done=True, **reconstruction_quality(vae, min(64, settings.judge_prompts), device))
    _add_statistics(settings, vae, device)
    store.save("vae", vae.state_dict(), steps=step)
    return True


def _draw_pool(settings: Settings, device: torch.device) -> torch.Tensor:
    """Clips for training the autoencoder, (N, 3, T, H, W) uint8, channels last."""
    scenes = sample_scenes(settings.vae_pool, torch.Generator().manual_seed(3)).to(device)
    generator = torch.Generator(device).manual_seed(3)
    parts = [draw_clips(part, generator, dtype=torch.uint8) for part in scenes.split(settings.encode_batch)]
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
    parts = [encode_mean(vae, draw_clips(part, generator)) for part in scenes.split(settings.encode_batch)]
    deviation, mean = torch.std_mean(torch.cat(parts), dim=(0, 2, 3, 4))
    vae.latents_mean.copy_(mean)
    vae.latents_std.copy_(deviation)


@torch.no_grad()
def reconstruction_quality(vae: AutoencoderKLLTXVideo, count: int, device: torch.device) -> dict[str, float]:
    """PSNR of held-out clips, and the judge's accuracy on drawn clips and on their reconstructions."""
    generator = torch.Generator(device).manual_seed(5)
    scenes = sample_scenes(count, torch.Generator().manual_seed(5), held_out=True).to(device)
    drawn, decoded = [], []
    for part in scenes.split(16):
        clips = draw_clips(part, generator)
        latents = encode_mean(vae, clips)
        drawn.append(clips)
        decoded.append((vae.decoder(latents, torch.zeros(len(part), device=device)) / 2 + 0.5).clamp(0, 1))
    clips, videos = torch.cat(drawn), torch.cat(decoded)
    error = (clips - videos).square().mean((1, 2, 3, 4))
    result = {"psnr": (-10 * error.log10()).mean().item()}
    for name, judged in (("drawn", clips), ("reconstructed", videos)):
        right = judge_clips(measure_clips(judged), scenes).float().mean(0).tolist()
        result |= {f"{name}_{attribute}": value for attribute, value in zip(JUDGED, right, strict=True)}
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

    latents (N, tokens, C) bfloat16 normalised, captions (N, K, CAPTION_TOKENS) int16, scenes (N, 6) int64.
    """
    if (saved := store.load("latents")) is not None and len(saved[0]["scenes"]) == settings.clips:
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
    rows = [encode_texts(tokenizer, scene_captions(scenes, rng), CAPTION_TOKENS) for _ in range(each)]
    return torch.stack(rows, dim=1).to(torch.int16)
