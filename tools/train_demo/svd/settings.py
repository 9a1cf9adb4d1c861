"""The settings of the SVD demo model and its training: one table for the real run, two
for tries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

FRAMES = 14
PICTURE_SIDE = 224  # what CLIP sees; stock diffusers knows no other size
USUAL_FPS = 7  # of the pipeline
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Settings:
    """Sizes, batch sizes, learning rates, and budgets in seconds."""

    side: int = 128  # height and width of videos in pixels

    embedding: int = 32  # of a picture, by CLIP
    vision_width: int = 48
    vision_layers: int = 2
    patch: int = 16
    vision_batch: int = 256
    vision_rate: float = 1.5e-3
    budget_vision: float = 30.0

    vae_channels: tuple[int, ...] = (
        64,
        64,
        64,
        64,
    )  # 32 would make its norms of 32 groups lose the colours
    latent_channels: int = 4
    vae_pool: int = 8192  # clips drawn once, in the memory of the GPU
    vae_batch: int = 8
    vae_rate: float = 1e-3
    vae_ema: float = 0.998
    budget_vae: float = 90.0

    clips: int = 65536
    noisings: int = 2  # of each picture
    encode_batch: int = 64

    unet_channels: tuple[int, ...] = (64, 64)
    heads: int = 2
    time_id_width: int = 32
    batch: int = 64
    rate: float = 1.5e-3
    ema: float = 0.999
    budget_unet: float = 290.0
    probes: tuple[int, ...] = (1000, 3000, 6000)
    probe_pictures: int = 32

    warm_up: int = 150
    capture: int = 1  # 0: no CUDA graphs
    save_every: float = 60.0
    sampling_steps: int = 25
    guidances: tuple[tuple[float, float], ...] = ((1.0, 1.0), (1.0, 1.5), (1.0, 2.0), (1.0, 3.0))
    choice_pictures: int = 64
    judge_pictures: int = 200
    buckets: tuple[int, ...] = (32, 64, 127, 191, 255)
    rates: tuple[int, ...] = (6, 12, 24)
    judge_seconds: float = 45.0  # kept free before the deadline when the UNet is done

    def vision_config(self) -> dict[str, Any]:
        """Arguments of the image encoder."""
        return {
            "hidden_size": self.vision_width,
            "intermediate_size": 2 * self.vision_width,
            "num_hidden_layers": self.vision_layers,
            "num_attention_heads": self.vision_width // 16,
            "image_size": PICTURE_SIDE,
            "patch_size": self.patch,
            "projection_dim": self.embedding,
        }

    def vae_config(self) -> dict[str, Any]:
        """Arguments of the autoencoder: as in SVD 8 times smaller in space, frame by frame."""
        return {
            "down_block_types": ("DownEncoderBlock2D",) * len(self.vae_channels),
            "block_out_channels": self.vae_channels,
            "layers_per_block": 1,
            "latent_channels": self.latent_channels,
            "sample_size": self.side,
            "force_upcast": False,
        }

    @property
    def latent_side(self) -> int:
        """Height and width of the latents."""
        return self.side // 2 ** (len(self.vae_channels) - 1)

    def unet_config(self) -> dict[str, Any]:
        """Arguments of the UNet."""
        blocks = len(self.unet_channels)
        return {
            "sample_size": self.latent_side,
            "in_channels": 2 * self.latent_channels,
            "out_channels": self.latent_channels,
            "down_block_types": ("CrossAttnDownBlockSpatioTemporal",) * blocks,
            "up_block_types": ("CrossAttnUpBlockSpatioTemporal",) * blocks,
            "block_out_channels": self.unet_channels,
            "addition_time_embed_dim": self.time_id_width,
            "projection_class_embeddings_input_dim": 3 * self.time_id_width,
            "layers_per_block": 1,
            "cross_attention_dim": self.embedding,
            "num_attention_heads": self.heads,
            "num_frames": FRAMES,
        }


# As SVD's own, from the model card's `scheduler_config.json`.
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
}

REAL = Settings()
TOY = replace(
    REAL,
    side=64,
    embedding=32,
    vision_width=32,
    vision_layers=1,
    patch=56,
    vision_batch=8,
    budget_vision=5.0,
    vae_channels=(32, 32, 32, 32),
    vae_pool=8,
    vae_batch=1,
    budget_vae=12.0,
    clips=16,
    encode_batch=4,
    unet_channels=(32, 32),
    heads=1,
    time_id_width=32,
    batch=2,
    budget_unet=15.0,
    probes=(5,),
    probe_pictures=2,
    warm_up=5,
    save_every=5.0,
    sampling_steps=2,
    guidances=((1.0, 1.0), (1.0, 2.0)),
    choice_pictures=2,
    judge_pictures=3,
    buckets=(64, 255),
    rates=(12,),
)
# The real sizes for a few seconds each: shows that a machine can do it all, and fills the
# compiler's cache.
SMOKE = replace(
    REAL,
    budget_vision=3.0,
    vae_pool=256,
    budget_vae=5.0,
    clips=1024,
    budget_unet=10.0,
    probes=(20,),
    probe_pictures=8,
    guidances=((1.0, 3.0),),
    choice_pictures=8,
    judge_pictures=16,
    buckets=(64, 127, 255),
    rates=(12,),
)
PRESETS = {"real": REAL, "toy": TOY, "smoke": SMOKE}
