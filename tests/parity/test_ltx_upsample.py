"""The latent upsampler and its pipeline give diffusers' numbers, and correct numbers where
diffusers crashes.
"""

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx.modeling_latent_upsampler import (
    LTXLatentUpsamplerModel as DiffusersUpsampler,
)

import filmstrip
from filmstrip import AutoencoderKLLTXVideo, LTXLatentUpsamplerModel
from tests.parity.common import assert_same, pair
from tests.parity.pipelines import VAE_090, VAE_091, VAE_095, run as run_call
from tests.parity.test_ltx_condition import clip
from tests.parity.test_ltx_pipeline import VAES

CLASS_NAME = "LTXLatentUpsamplePipeline"
UPSAMPLER = {"in_channels": 6, "mid_channels": 64, "num_blocks_per_stage": 2}
MODELS: dict[str, dict[str, Any]] = {
    "spatial": {},
    "temporal": {"spatial_upsample": False, "temporal_upsample": True},
    "both": {"temporal_upsample": True},
    "spatial, frame by frame": {"dims": 2},
}


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
def test_model(config: dict[str, Any], frames: int) -> None:
    ours, theirs = pair(LTXLatentUpsamplerModel, DiffusersUpsampler, UPSAMPLER | config)
    latents = torch.randn(2, 6, frames, 5, 3)
    with torch.no_grad():
        assert_same(ours(latents), theirs(latents))


def pipes(vae: dict[str, Any] = VAE_090, **upsampler: Any) -> list[Any]:
    models = pair(LTXLatentUpsamplerModel, DiffusersUpsampler, UPSAMPLER | upsampler, seed=1)
    vaes = pair(AutoencoderKLLTXVideo, diffusers.AutoencoderKLLTXVideo, vae, seed=2)
    return [
        getattr((filmstrip, diffusers)[i], CLASS_NAME)(vae=vaes[i], latent_upsampler=models[i])
        for i in range(2)
    ]


def run(pipe: Any, **changes: Any) -> torch.Tensor:
    """The frames of a call; arguments that only the other pipelines take are left out."""
    names = {"height", "width", "output_type", "generator", *changes} - {"seed"}

    def call_pipe(**call: Any) -> Any:
        return pipe(**{name: value for name, value in call.items() if name in names})

    return run_call(call_pipe, **changes)


def latents(videos: int = 1) -> torch.Tensor:
    return torch.randn(videos, 6, 2, 3, 2, generator=torch.Generator().manual_seed(5))


CALLS: dict[str, dict[str, Any]] = {
    "video": {"video": clip(9)},
    "frames not 8k+1": {"video": clip(12)},
    "a multiple of 8 frames": {"video": clip(16)},
    "one frame": {"video": clip(1)},
    "array": {"video": np.random.default_rng(1).random((9, 70, 50, 3), np.float32)},
    "tensor": {"video": torch.rand(9, 3, 70, 50, generator=torch.Generator().manual_seed(1))},
    "a list of one generator": {"video": clip(9), "seed": [4]},
    "global generator": {"video": clip(9), "seed": None},
    "latents": {"latents": latents()},
    "latents of two videos": {"latents": latents(2)},
    "AdaIN": {"latents": latents(2), "adain_factor": 1.0},
    "half AdaIN": {"video": clip(9), "adain_factor": 0.5},
    "tone mapping": {"latents": latents(), "tone_map_compression_ratio": 0.6},
    "both": {"latents": latents(), "adain_factor": 0.8, "tone_map_compression_ratio": 1.0},
    "to latents": {"video": clip(9), "output_type": "latent", "adain_factor": 1.0},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call(call: dict[str, Any]) -> None:
    ours, theirs = pipes()
    assert_same(run(ours, **call), run(theirs, **call))


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("vae", VAES.values(), ids=VAES)
def test_vaes_and_models(vae: dict[str, Any], config: dict[str, Any]) -> None:
    ours, theirs = pipes(vae, **config)
    call = {
        "latents": latents(2),
        "decode_timestep": [0.05, 0.2],
        "decode_noise_scale": [0.1, 0.3],
        "seed": [1, 2],
    }
    assert_same(run(ours, **call), run(theirs, **call))


@pytest.mark.parametrize("origin", [0, 1], ids=["saved by filmstrip", "saved by diffusers"])
def test_folder_opens_in_both_libraries_with_the_same_frames(tmp_path: Path, origin: int) -> None:
    both = pipes(VAE_095)
    frames = run(both[0], latents=latents(), decode_timestep=0.1)
    both[origin].save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["latent_upsampler"] == ["ltx", "LTXLatentUpsamplerModel"]
    for loader in (
        getattr(filmstrip, CLASS_NAME),
        filmstrip.DiffusionPipeline,
        getattr(diffusers, CLASS_NAME),
    ):
        assert_same(
            run(loader.from_pretrained(tmp_path), latents=latents(), decode_timestep=0.1), frames
        )


# Calls in which diffusers crashes or drops videos are compared with its single runs.


@pytest.mark.parametrize("temporal", [False, True])
def test_frame_by_frame_model_also_upsamples_time(temporal: bool) -> None:
    model = LTXLatentUpsamplerModel(
        **UPSAMPLER, dims=2, spatial_upsample=not temporal, temporal_upsample=True
    )
    shape = model(torch.randn(1, 6, 3, 4, 5)).shape
    assert shape == ((1, 6, 5, 4, 5) if temporal else (1, 6, 5, 8, 10))


def test_videos_of_a_batch_equal_single_runs() -> None:
    ours, theirs = pipes(VAE_091 | {"decoder_inject_noise": (False,) * 4})
    videos = torch.rand(2, 9, 3, 64, 96)
    call = {"decode_timestep": 0.1, "adain_factor": 1.0}
    batch = run(ours, video=videos, seed=[1, 2], **call)
    assert_same(
        batch, torch.cat([run(theirs, video=videos[i], seed=i + 1, **call) for i in range(2)])
    )
