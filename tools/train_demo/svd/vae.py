"""Training the SVD demo's autoencoder, and encoding what the UNet trains on."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import nn

from filmstrip.svd.models.autoencoder import AutoencoderKLTemporalDecoder
from tools.demo_clips import draw_pointers, measure_travel, velocity
from tools.train_demo.common.autoencoder import QUIET_LOG_VARIANCE, autoencoder_loss
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.svd.settings import FRAMES, Settings
from tools.train_demo.svd.vision import draw_motions, embed, load_image_encoder

NOISE_MEAN, NOISE_DEVIATION = (
    -3.0,
    0.5,
)  # log of the noise on pictures: a normal (Stability-AI/generative-models)
FAINT_FRACTION, FAINT_NOISE = 0.3, 0.02  # of pictures, and the most noise that these have


def build_vae(settings: Settings, scaling_factor: float = 1.0) -> AutoencoderKLTemporalDecoder:
    """A new autoencoder with a quiet posterior."""
    vae = AutoencoderKLTemporalDecoder(**settings.vae_config(), scaling_factor=scaling_factor)
    with torch.no_grad():
        vae.quant_conv.bias[settings.latent_channels :] = QUIET_LOG_VARIANCE
    return vae


def used_parameters(vae: AutoencoderKLTemporalDecoder) -> dict[str, nn.Parameter]:
    """The parameters, except those of the decoder's attention, which one layer a block omits."""
    return {
        name: p
        for name, p in vae.named_parameters()
        if not name.startswith("decoder.mid_block.attentions")
    }


def vae_loss(
    vae: AutoencoderKLTemporalDecoder,
    clips: torch.Tensor,
    noise: torch.Tensor,
    progress: torch.Tensor,
) -> torch.Tensor:
    """The loss of a batch.

    Args:
        clips: (B, 3, T, H, W) in [0, 1]. The corner pixel is background.
        noise: standard normal, of the latents' shape (B * T, C, h, w).
        progress: fraction of the budget that is spent, a scalar.
    """
    frames = clips.transpose(1, 2).flatten(0, 1) * 2 - 1
    moments = vae.encode(frames.to(vae.dtype), return_dict=False)[0].parameters.float()
    mean, log_variance = moments.chunk(2, dim=1)
    log_variance = log_variance.clamp(-30, 20)
    latents = mean + (log_variance / 2).exp() * noise
    decoded = vae.decode(latents.to(vae.dtype), num_frames=clips.shape[2], return_dict=False)[0]
    return autoencoder_loss(frames, decoded, mean, log_variance, progress)


def vae_trainer(
    settings: Settings, pool: torch.Tensor, device: torch.device
) -> tuple[Trainer, nn.Module]:
    """The trainer, and the autoencoder that it trains."""
    torch.manual_seed(0)
    vae = build_vae(settings).to(device)
    on_gpu = device.type == "cuda"
    working = deepcopy(vae).bfloat16() if on_gpu else vae
    compute = torch.compile(vae_loss, dynamic=False) if on_gpu else vae_loss
    shape = (
        settings.vae_batch * FRAMES,
        settings.latent_channels,
        settings.latent_side,
        settings.latent_side,
    )

    def loss(progress: torch.Tensor) -> Losses:
        clips = pool[torch.randint(len(pool), (settings.vae_batch,), device=device)].float() / 255
        return {"loss": compute(working, clips, torch.randn(shape, device=device), progress)}

    plan = Plan(
        settings.budget_vae,
        settings.vae_rate,
        settings.warm_up,
        settings.vae_ema,
        settings.save_every,
        (0.9, 0.99),
    )
    copies = list(used_parameters(working).values()) if on_gpu else None
    return Trainer(
        "vae_training", used_parameters(vae), {"": loss}, plan, device, working=copies
    ), vae


def train_vae(settings: Settings, store: Store, device: torch.device, deadline: float) -> bool:
    """Train the autoencoder, or resume; True when it is finished."""
    if store.load("vae") is not None:
        return True
    pool = _draw(settings, settings.vae_pool, 3, device)
    trainer, vae = vae_trainer(settings, pool, device)
    if not trainer.train(store, deadline, step_type_of=lambda step: ""):
        return False
    trainer.settle()
    fold_time(vae)
    sample = _draw(settings, min(512, settings.clips), 4, device)
    latents = torch.cat(
        [encode(vae, part.float() / 255) for part in sample.split(settings.encode_batch)]
    )
    store.save("vae", vae.state_dict(), scaling_factor=1 / latents.std().item())
    deviations = latents.std(dim=(0, 1, 3, 4))
    quality = reconstruction_quality(vae, min(128, settings.judge_pictures), device)
    store.log("vae", done=True, parameters=vae.num_parameters(), deviations=deviations, **quality)
    return True


@torch.no_grad()
def fold_time(vae: AutoencoderKLTemporalDecoder) -> None:
    """Make the decoder treat each frame as if the previous and the next were equal to it.

    Before the first frame and after the last its convolutions see zeros, which training is too
    short to get used to: these frames come out pale, as do those at the borders of the chunks that
    are decoded at a time. Here a latent frame says all about its picture, so the sum of the three
    taps in the middle one serves every frame alike.
    """
    for conv in (module for module in vae.decoder.modules() if isinstance(module, nn.Conv3d)):
        middle = conv.weight.sum(dim=2)
        conv.weight.zero_()[:, :, 1] = middle


def load_vae(
    settings: Settings, store: Store, device: torch.device
) -> AutoencoderKLTemporalDecoder:
    """The autoencoder that `train_vae` left."""
    tensors, facts = store.load("vae") or ({}, {"scaling_factor": 1.0})
    vae = build_vae(settings, facts["scaling_factor"])
    vae.load_state_dict(tensors)
    return vae.to(device).eval().requires_grad_(False)


@torch.no_grad()
def encode(vae: AutoencoderKLTemporalDecoder, clips: torch.Tensor) -> torch.Tensor:
    """Means (B, T, C, h, w) of the latents of clips (B, 3, T, H, W) in [0, 1], not scaled."""
    frames = clips.transpose(1, 2).flatten(0, 1) * 2 - 1
    mean = vae.encode(frames.to(vae.dtype), return_dict=False)[0].mode()
    return mean.unflatten(0, (len(clips), -1)).float()


@torch.no_grad()
def reconstruction_quality(
    vae: AutoencoderKLTemporalDecoder, count: int, device: torch.device
) -> dict[str, float]:
    """PSNR of held-out clips, and the error of the measure on drawn clips and on their
    reconstructions.
    """
    pictures, bucket, fps = draw_motions(count, 5, device, held_out=True)
    bucket = bucket.clamp(min=32)
    fps, side = fps.clamp(max=12), vae.config.sample_size
    clips = draw_pointers(pictures, bucket, fps, torch.Generator(device).manual_seed(5), side=side)
    expected = velocity(pictures, bucket, fps) * side
    decoded = []
    for part in clips.split(8):
        frames = vae.decode(
            encode(vae, part).flatten(0, 1).to(vae.dtype), num_frames=FRAMES, return_dict=False
        )[0]
        decoded.append(
            (frames.float() / 2 + 0.5).clamp(0, 1).unflatten(0, (len(part), -1)).transpose(1, 2)
        )
    videos = torch.cat(decoded)
    error = (clips - videos).square().mean((1, 2, 3, 4))
    result = {"psnr": (-10 * error.log10()).mean().item()}
    for name, judged in (("drawn", clips), ("reconstructed", videos)):
        measured = measure_travel(judged, clips[:, :, 0])
        off = (measured.velocity - expected).norm(dim=1)
        result |= {
            f"{name}_direction": (measured.direction == pictures[:, 3]).float().mean().item(),
            f"{name}_pixels_off_mean": off.mean().item(),
            f"{name}_pixels_off_most": off.max().item(),
            f"{name}_shape_kept": measured.shape_kept.float().mean().item(),
            f"{name}_colour_kept": measured.colour_kept.float().mean().item(),
            f"{name}_least_overlap": measured.overlap.min().item(),
        }
    return result


def encode_clips(settings: Settings, store: Store, device: torch.device) -> Tensors:
    """Draw and encode the UNet's data: on the device,

    latents (N, T, C, h, w) bfloat16, scaled; pictures (N, K, C, h, w) bfloat16, not scaled, with
    noise of strengths (N, K); tokens (N, 1, E); motions (N, 2): fps - 1 and the motion bucket.
    """
    begin = time.monotonic()
    vae, encoder = load_vae(settings, store, device), load_image_encoder(settings, store, device)
    encode_frames = fast_encoder(vae, device)
    generator = torch.Generator(device).manual_seed(6)
    columns = draw_motions(settings.clips, 6, device)
    strength = draw_strengths((settings.clips, settings.noisings), generator, device)
    parts: dict[str, list[torch.Tensor]] = {"latents": [], "pictures": [], "tokens": []}
    for *motion, levels in zip(
        *(c.split(settings.encode_batch) for c in (*columns, strength)), strict=True
    ):
        clips = (
            draw_pointers(*motion, generator, side=settings.side, dtype=torch.uint8).float() / 255
        )
        first = clips[:, :, :1].expand(-1, -1, settings.noisings, -1, -1)
        # The noise belongs to pixels in [-1, 1].
        static = (
            torch.randn(first.shape, generator=generator, device=device)
            * levels[:, None, :, None, None]
            / 2
        )
        latents = encode_frames(torch.cat([first + static, clips], dim=2))
        pictures, latents = latents.split([settings.noisings, FRAMES], dim=1)
        parts["pictures"].append(pictures.bfloat16())
        parts["latents"].append((latents * vae.config.scaling_factor).bfloat16())
        parts["tokens"].append(embed(encoder, clips[:, :, 0])[:, None])
    data = {name: torch.cat(tensors) for name, tensors in parts.items()}
    data |= {
        "strengths": strength,
        "motions": torch.stack([columns[2] - 1, columns[1]], dim=1).float(),
    }
    deviation = {
        name: data[name][:4096].float().std() for name in ("latents", "pictures", "tokens")
    }
    store.log("latents", clips=settings.clips, seconds=time.monotonic() - begin, **deviation)
    return data


def fast_encoder(
    vae: AutoencoderKLTemporalDecoder, device: torch.device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """`encode` with this autoencoder, on a GPU compiled and in bfloat16."""
    if device.type != "cuda":
        return partial(encode, vae)
    return partial(torch.compile(encode, dynamic=False), deepcopy(vae).bfloat16())


def draw_strengths(
    shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """Strengths of the noise on pictures: log-normal, or nearly none."""
    strength = (
        NOISE_MEAN + NOISE_DEVIATION * torch.randn(shape, generator=generator, device=device)
    ).exp()
    faint = torch.rand(shape, generator=generator, device=device) * FAINT_NOISE
    return torch.where(
        torch.rand(shape, generator=generator, device=device) < FAINT_FRACTION, faint, strength
    )


def _draw(settings: Settings, count: int, seed: int, device: torch.device) -> torch.Tensor:
    """Clips for training the autoencoder, (N, 3, T, H, W) uint8."""
    generator = torch.Generator(device).manual_seed(seed)
    parts = zip(
        *(c.split(settings.encode_batch) for c in draw_motions(count, seed, device)), strict=True
    )
    return torch.cat(
        [draw_pointers(*part, generator, side=settings.side, dtype=torch.uint8) for part in parts]
    )
