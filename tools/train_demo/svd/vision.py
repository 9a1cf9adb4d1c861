"""Training the demo's image encoder: from its embedding of a picture all attributes must be
readable by a linear map.

The UNet gets this one token; the encoder is not trained further with it, as in SVD.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tools.demo_clips import POINTER_ATTRIBUTES, draw_pointers, sample_pointers
from tools.demo_clips.pointers import FPS, HIGHEST_BUCKET
from tools.train_demo.common.store import Store
from tools.train_demo.common.trainer import Losses, Plan, Trainer
from tools.train_demo.svd.settings import CLIP_MEAN, CLIP_STD, PICTURE_SIDE, Settings

CHUNK = 256


def build_image_encoder(settings: Settings) -> CLIPVisionModelWithProjection:
    """A fresh image encoder."""
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**settings.vision_config()))


def draw_motions(
    count: int, seed: int, device: torch.device, held_out: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures as indices (N, 5), with motion buckets and rates (N,), slow rates more often as they
    are harder.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures = sample_pointers(count, generator, held_out)
    bucket = torch.randint(HIGHEST_BUCKET + 1, (count,), generator=generator)
    low, high = FPS
    fps = (
        (low * ((high + 1) / low) ** torch.rand(count, generator=generator))
        .floor()
        .clamp(max=high)
        .long()
    )
    return pictures.to(device), bucket.to(device), fps.to(device)


def clip_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1], not larger than `PICTURE_SIDE`, as the pipeline gives them
    to CLIP.
    """
    size = (PICTURE_SIDE, PICTURE_SIDE)
    large = F.interpolate(pictures.float(), size=size, mode="bicubic", align_corners=True)
    channels = zip(large.unbind(1), CLIP_MEAN, CLIP_STD, strict=True)
    return torch.stack(
        [(channel - mean) / deviation for channel, mean, deviation in channels], dim=1
    )


class Reader(nn.Module):
    """Reads every attribute from an embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Linear(width, len(names)) for names in POINTER_ATTRIBUTES.values()
        )

    def forward(self, embedding: torch.Tensor) -> list[torch.Tensor]:
        """Logits (B, K) of each attribute."""
        return [head(embedding) for head in self.heads]


def train_vision(settings: Settings, store: Store, device: torch.device, deadline: float) -> bool:
    """Train the image encoder, or resume; True when it is finished."""
    if store.load("vision") is not None:
        return True
    torch.manual_seed(0)
    models = nn.ModuleDict(
        {"encoder": build_image_encoder(settings), "reader": Reader(settings.embedding)}
    ).to(device)
    pictures = _draw_pool(settings, device)

    def loss(progress: torch.Tensor) -> Losses:
        row = torch.randint(len(pictures[0]), (settings.vision_batch,), device=device)
        return {"reading": _reading_loss(models, pictures[0][row].float() / 255, pictures[1][row])}

    plan = Plan(
        settings.budget_vision,
        settings.vision_rate,
        settings.warm_up,
        ema=0.99,
        save_every=settings.save_every,
        captured=bool(settings.capture),
    )
    parameters = dict(models.named_parameters())
    layers = [name for name, p in parameters.items() if ".layers." in name and p.ndim == 2]
    trainer = Trainer("vision_training", parameters, {"": loss}, plan, device, for_muon=layers)
    if not trainer.train(store, deadline, step_type_of=lambda step: ""):
        return False
    trainer.settle()
    score = _reading(settings, models, device)
    store.log(
        "vision",
        done=True,
        parameters=sum(p.numel() for p in models["encoder"].parameters()),
        **score,
    )
    store.save("vision", models["encoder"].state_dict(), **score)
    return True


def load_image_encoder(
    settings: Settings, store: Store, device: torch.device
) -> CLIPVisionModelWithProjection:
    """The image encoder that `train_vision` left."""
    encoder = build_image_encoder(settings)
    tensors, _ = store.load("vision") or ({}, {})
    encoder.load_state_dict(tensors, strict=False)
    return encoder.to(device).eval().requires_grad_(False)


@torch.no_grad()
def embed(encoder: CLIPVisionModelWithProjection, pictures: torch.Tensor) -> torch.Tensor:
    """Embeddings (N, C) of pictures (N, 3, H, W) in [0, 1]."""
    return torch.cat([encoder(clip_pixels(part)).image_embeds for part in pictures.split(CHUNK)])


def _draw_pool(settings: Settings, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, 3, H, W) uint8 and what they show (N, 5)."""
    motions = draw_motions(settings.clips, 1, device)
    generator = torch.Generator(device).manual_seed(1)
    parts = zip(*(column.split(CHUNK) for column in motions), strict=True)
    pictures = [_first_frames(settings, *part, generator) for part in parts]
    return torch.cat(pictures), motions[0]


def _first_frames(
    settings: Settings,
    pictures: torch.Tensor,
    bucket: torch.Tensor,
    fps: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw pictures of objects before they move, (B, 3, H, W) uint8."""
    return draw_pointers(
        pictures, bucket, fps, generator, shown=1, side=settings.side, dtype=torch.uint8
    )[:, :, 0]


def _reading_loss(
    models: nn.ModuleDict, pictures: torch.Tensor, expected: torch.Tensor
) -> torch.Tensor:
    outputs = models["reader"](models["encoder"](clip_pixels(pictures)).image_embeds)
    return torch.stack(
        [F.cross_entropy(out, expected[:, i]) for i, out in enumerate(outputs)]
    ).mean()


@torch.no_grad()
def _reading(settings: Settings, models: nn.ModuleDict, device: torch.device) -> dict[str, float]:
    """For each attribute, the fraction of held-out pictures of which it is classified correctly,
    and the deviation of the
    embeddings.
    """
    motions = draw_motions(4 * settings.judge_pictures, 2, device, held_out=True)
    drawn = _first_frames(settings, *motions, torch.Generator(device).manual_seed(2)).float() / 255
    embedding = embed(models["encoder"], drawn)
    right = [
        (out.argmax(1) == motions[0][:, i]).float().mean()
        for i, out in enumerate(models["reader"](embedding))
    ]
    scores = {
        f"{name}_read": share.item() for name, share in zip(POINTER_ATTRIBUTES, right, strict=True)
    }
    return scores | {"deviation": embedding.std().item()}
