"""Training the demo's latent upsampler: from latents of a clip to those of the same clip drawn at
twice the size.
"""

from __future__ import annotations

import torch

from filmstrip.ltx.latents import LatentShape, adain, denormalize, normalize, pack, unpack
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.ltx.settings import LATENT_SIZE, Settings

GIVEN_NOISE = 0.1  # most noise in the small latents, whose like a first pass leaves in its own
HELD_BACK = 32  # clips that show how good it is


def latents_of(vae: AutoencoderKLLTXVideo, tokens: torch.Tensor, scale: int) -> torch.Tensor:
    """The autoencoder's own latents (B, C, t, h, w) of normalised tokens."""
    size = LatentShape(LATENT_SIZE[0], LATENT_SIZE[1] * scale, LATENT_SIZE[2] * scale)
    return denormalize(unpack(tokens.float(), size), vae.latents_mean, vae.latents_std, 1.0)


def upsampler_trainer(
    settings: Settings, vae: AutoencoderKLLTXVideo, data: Tensors, device: torch.device
) -> tuple[Trainer, LTXLatentUpsamplerModel]:
    """The trainer, and the upsampler that it trains, with `data` of the large clips of
    `encode_conditioned_clips`.
    """
    torch.manual_seed(0)
    model = LTXLatentUpsamplerModel(**settings.upsampler_config()).to(device)
    deviation = vae.latents_std.view(1, -1, 1, 1, 1)
    rows = max(len(data["latents"]) - HELD_BACK, 1)

    def loss(progress: torch.Tensor) -> Losses:
        row = torch.randint(rows, (settings.upsampler_batch,), device=device)
        small, large = (
            latents_of(vae, data["small"][row], 1),
            latents_of(vae, data["latents"][row], 2),
        )
        amount = GIVEN_NOISE * torch.rand(len(row), device=device).view(-1, 1, 1, 1, 1)
        small = small + amount * torch.randn_like(small) * deviation
        with torch.autocast(
            device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False
        ):
            upsampled = model(small)
        error = (upsampled.float() - large) / deviation
        return {"upsampler_loss": error.abs().mean() + error.square().mean()}

    plan = Plan(
        settings.budget_upsampler,
        settings.upsampler_rate,
        100,
        0.998,
        settings.save_every,
        captured=True,
    )
    return Trainer("upsampler", dict(model.named_parameters()), {"": loss}, plan, device), model


def train_upsampler(
    settings: Settings,
    store: Store,
    vae: AutoencoderKLLTXVideo,
    data: Tensors,
    device: torch.device,
    deadline: float,
) -> LTXLatentUpsamplerModel | None:
    """Train the upsampler, or resume; None if the deadline came first."""
    trainer, model = upsampler_trainer(settings, vae, data, device)
    if not trainer.train(store, deadline, step_type_of=lambda step: ""):
        return None
    trainer.settle()
    store.log(
        "upsampler", done=True, parameters=model.num_parameters(), **quality(vae, model, data)
    )
    return model.eval()


@torch.no_grad()
def raise_latents(
    vae: AutoencoderKLLTXVideo, model: LTXLatentUpsamplerModel, small: torch.Tensor
) -> torch.Tensor:
    """The start of a second pass, from normalised tokens of the first: tokens (N, 4 n, C) in
    bfloat16.
    """
    raised = []
    for part in small.split(64):
        small_latents = latents_of(vae, part, 1)
        larger = normalize(model(small_latents), vae.latents_mean, vae.latents_std, 1.0)
        raised.append(
            pack(
                adain(larger, normalize(small_latents, vae.latents_mean, vae.latents_std, 1.0))
            ).bfloat16()
        )
    return torch.cat(raised)


@torch.no_grad()
def quality(
    vae: AutoencoderKLLTXVideo, model: LTXLatentUpsamplerModel, data: Tensors
) -> dict[str, float]:
    """PSNR of decoded clips against the decoded large ones: upsampled, and stretched."""
    small, large = (data[name][-HELD_BACK:] for name in ("small", "latents"))
    small_latents = latents_of(vae, small, 1)
    stretched = torch.nn.functional.interpolate(
        small_latents, scale_factor=(1, 2, 2), mode="trilinear"
    )

    def decode(latents: torch.Tensor) -> torch.Tensor:
        parts = [
            vae.decoder(part, torch.zeros(len(part), device=part.device))
            for part in latents.split(8)
        ]
        return (torch.cat(parts).float() / 2 + 0.5).clamp(0, 1)

    expected = decode(latents_of(vae, large, 2))
    results = {"upsampled": model(small_latents), "stretched": stretched}
    errors = {
        name: (decode(latents) - expected).square().mean((1, 2, 3, 4))
        for name, latents in results.items()
    }
    return {f"{name}_psnr": (-10 * error.log10()).mean().item() for name, error in errors.items()}
