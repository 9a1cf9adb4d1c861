"""The settings of the LTX demo model and its training: for the real run, and for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

FRAMES = 25
SIDE = 128
LATENT_SIZE = (7, 8, 8)
TEXT_TOKENS = 128  # what LTXPipeline pads prompts to
CAPTION_TOKENS = 48  # the length of captions in training, which are all shorter
FRAME_RATE = 25


@dataclass(frozen=True)
class Settings:
    """Sizes, batch sizes, learning rates, and budgets in seconds."""

    text_width: int = 96
    text_heads: int = 4
    text_layers: int = 2
    text_feed_forward: int = 192
    text_batch: int = 96
    text_rate: float = 1e-3
    budget_text: float = 240.0

    vae_encoder: tuple[int, ...] = (32, 64, 64)
    vae_encoder_layers: tuple[int, ...] = (1, 1, 1)
    vae_decoder: tuple[int, ...] = (48, 96)
    vae_decoder_layers: tuple[int, ...] = (3, 2, 1)
    latent_channels: int = 16
    vae_pool: int = 12288  # clips drawn once, in the memory of the GPU
    vae_batch: int = 32
    vae_rate: float = 1e-3
    vae_warm_up: int = 150
    vae_ema: float = 0.998
    budget_vae: float = 150.0

    clips: int = 131072
    captions_per_clip: int = 2
    encode_batch: int = 128

    heads: int = 6
    head_size: int = 24
    layers: int = 7
    batch: int = 192
    rate: float = 1.5e-3
    text_rate_joint: float = 0.3  # of `rate`
    warm_up: int = 300
    ema: float = 0.9995
    image_every: int = 6  # every so many steps the first latent frame is given clean
    budget_transformer: float = 400.0
    probe_steps: tuple[int, ...] = (1000, 2000, 5000, 10000, 20000, 30000)
    probe_prompts: int = 128
    swap_limit: float = 0.35  # at `swap_step`; 0.5 is a coin toss
    swap_step: int = 2000
    save_every: float = 60.0

    held_clips: int = 40960
    large_clips: int = 8192
    tuned_batch: int = 128
    large_batch: int = 32
    tuned_rate: float = 7e-4
    tuned_warm_up: int = 200
    tuned_ema: float = 0.999
    budget_conditions: float = 330.0
    tuned_probes: tuple[int, ...] = (1, 1500, 4000)
    tuned_probe_clips: int = 32

    upsampler_width: int = 64
    upsampler_blocks: int = 2
    upsampler_batch: int = 64
    upsampler_rate: float = 2e-3
    budget_upsampler: float = 45.0

    sampling_steps: int = 25
    guidances: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0)
    shifts: tuple[float, ...] = (1.0, 2.0, 3.0)
    judge_prompts: int = 200
    judge_seconds: float = 55.0  # kept free before the deadline when the last training is done

    @property
    def width(self) -> int:
        """Width of the transformer."""
        return self.heads * self.head_size

    def vae_config(self) -> dict[str, Any]:
        """Arguments of the autoencoder: compression 16 in space and 4 in time, and the blocks of
        LTX 0.9.5.
        """
        blocks = len(self.vae_decoder)
        return {
            "latent_channels": self.latent_channels,
            "block_out_channels": self.vae_encoder,
            "down_block_types": ("LTXVideo095DownBlock3D",) * blocks,
            "layers_per_block": self.vae_encoder_layers,
            "spatio_temporal_scaling": (True,) * blocks,
            "downsample_type": ("spatiotemporal",) * blocks,
            "decoder_block_out_channels": self.vae_decoder,
            "decoder_layers_per_block": self.vae_decoder_layers,
            "decoder_spatio_temporal_scaling": (True,) * blocks,
            "decoder_inject_noise": (False,) * (blocks + 1),
            "upsample_residual": (True,) * blocks,
            "upsample_factor": (2,) * blocks,
            "timestep_conditioning": True,
            "patch_size": 4,
            "patch_size_t": 1,
            "encoder_causal": True,
            "decoder_causal": False,
            "spatial_compression_ratio": 4 * 2**blocks,
            "temporal_compression_ratio": 2**blocks,
        }

    def transformer_config(self) -> dict[str, Any]:
        """Arguments of the transformer."""
        return {
            "in_channels": self.latent_channels,
            "out_channels": self.latent_channels,
            "num_attention_heads": self.heads,
            "attention_head_dim": self.head_size,
            "cross_attention_dim": self.width,
            "num_layers": self.layers,
            "caption_channels": self.text_width,
        }

    def upsampler_config(self) -> dict[str, Any]:
        """Arguments of the latent upsampler: frame by frame, to twice the height and width."""
        return {
            "in_channels": self.latent_channels,
            "mid_channels": self.upsampler_width,
            "num_blocks_per_stage": self.upsampler_blocks,
            "dims": 2,
        }


REAL = Settings()
TOY = replace(
    REAL,
    text_batch=16,
    budget_text=8.0,
    vae_encoder=(8, 16, 16),
    vae_encoder_layers=(1, 1, 1),
    vae_decoder=(8, 16),
    vae_decoder_layers=(1, 1, 1),
    vae_pool=24,
    vae_batch=2,
    vae_warm_up=2,
    budget_vae=8.0,
    clips=48,
    captions_per_clip=2,
    encode_batch=8,
    heads=2,
    layers=2,
    batch=4,
    warm_up=5,
    image_every=3,
    budget_transformer=20.0,
    probe_steps=(10,),
    probe_prompts=4,
    swap_limit=2.0,
    save_every=5.0,
    held_clips=24,
    large_clips=8,
    tuned_batch=2,
    large_batch=1,
    tuned_warm_up=5,
    budget_conditions=15.0,
    tuned_probes=(3,),
    tuned_probe_clips=2,
    upsampler_width=32,
    upsampler_blocks=1,
    upsampler_batch=2,
    budget_upsampler=5.0,
    sampling_steps=3,
    guidances=(2.0, 3.0),
    shifts=(1.0, 3.0),
    judge_prompts=6,
)
# The real sizes for a few seconds each: shows that a machine can do it all, and fills the
# compiler's cache.
SMOKE = replace(
    REAL,
    budget_text=5.0,
    budget_vae=4.0,
    clips=2048,
    vae_pool=256,
    budget_transformer=8.0,
    probe_steps=(20,),
    probe_prompts=16,
    swap_limit=2.0,
    held_clips=1024,
    large_clips=128,
    budget_conditions=8.0,
    tuned_probes=(20,),
    tuned_probe_clips=4,
    budget_upsampler=4.0,
    guidances=(3.0,),
    shifts=(1.0,),
    judge_prompts=16,
)
PRESETS = {"real": REAL, "toy": TOY, "smoke": SMOKE}
