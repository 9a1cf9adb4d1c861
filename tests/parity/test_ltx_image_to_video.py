"""LTXImageToVideoPipeline gives diffusers' frames for the same call, and correct frames where
diffusers crashes.
"""

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from tests.parity.common import assert_same
from tests.parity.pipelines import VAE_090, VAE_091, VAE_095, pipelines, run
from tests.parity.test_ltx_pipeline import PUBLISHED, SCHEDULERS, VAES, blur, swap_prompt, weaken

CLASS_NAME = "LTXImageToVideoPipeline"


def picture(seed: int, width: int = 50, height: int = 40) -> PIL.Image.Image:
    return PIL.Image.fromarray(
        np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    )


TWO_PROMPTS = {"prompt": ["a cat", "the very long green star turns right"]}
CALLS: dict[str, dict[str, Any]] = {
    "one picture": {},
    "no guidance": {"guidance_scale": 1.0},
    "rescale": {"guidance_rescale": 0.7, "guidance_scale": 6},
    "odd size": {"height": 96, "width": 32, "num_frames": 9},
    "one frame": {"num_frames": 1},
    "frames not 8k+1": {"num_frames": 14},
    "frame rate": {"frame_rate": 8},
    "array": {"image": np.random.default_rng(1).random((70, 90, 3), np.float32)},
    "tensor": {"image": torch.rand(3, 40, 70, generator=torch.Generator().manual_seed(1))},
    "one picture for two prompts": TWO_PROMPTS,
    "a picture for each of two prompts": TWO_PROMPTS | {"image": [picture(1), picture(2)]},
    "a picture and a generator for each": TWO_PROMPTS
    | {"image": [picture(1), picture(2)], "seed": [4, 5]},
    "three videos": {"num_videos_per_prompt": 3},
    "a list of one generator": {"seed": [9]},
    "global generator": {"seed": None},
    "given latents": {
        "latents": torch.randn(1, 18, 6, generator=torch.Generator().manual_seed(2)),
        "image": None,
    },
    "callback changes latents": {"callback_on_step_end": blur},
    "callback changes prompts": {
        "callback_on_step_end": swap_prompt,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    },
    "callback changes guidance": {"callback_on_step_end": weaken},
    "latents": {"output_type": "latent"},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call(call: dict[str, Any]) -> None:
    ours, theirs = pipelines(class_name=CLASS_NAME)
    call = {"image": picture(0)} | call
    assert_same(run(ours, **call), run(theirs, **call))


@pytest.mark.parametrize("config", SCHEDULERS.values(), ids=SCHEDULERS)
def test_scheduler(config: dict[str, Any]) -> None:
    ours, theirs = pipelines(scheduler=config, class_name=CLASS_NAME)
    call = {"image": picture(0), "num_inference_steps": 5}
    assert_same(run(ours, **call), run(theirs, **call))


@pytest.mark.parametrize("vae", VAES.values(), ids=VAES)
def test_decode(vae: dict[str, Any]) -> None:
    ours, theirs = pipelines(vae, PUBLISHED, class_name=CLASS_NAME)
    call = TWO_PROMPTS | {
        "image": picture(0),
        "decode_timestep": [0.05, 0.2],
        "decode_noise_scale": 0.1,
    }
    assert_same(run(ours, **call), run(theirs, **call))


# Calls in which diffusers crashes or mixes videos up are compared with its single runs.


@pytest.mark.parametrize("pictures", [1, 2, 4])
@pytest.mark.parametrize("vae", [VAE_090, VAE_095], ids=["0.9.0", "0.9.5"])
def test_videos_of_a_batch_equal_single_runs(vae: dict[str, Any], pictures: int) -> None:
    ours, theirs = pipelines(vae, PUBLISHED, class_name=CLASS_NAME)
    images = [picture(seed) for seed in range(pictures)]
    call = {"num_inference_steps": 2, "decode_timestep": 0.1, "negative_prompt": "a blue dog"}
    batch = run(
        ours, **TWO_PROMPTS, image=images, num_videos_per_prompt=2, seed=[1, 2, 3, 4], **call
    )
    singles = [
        run(
            theirs,
            prompt=TWO_PROMPTS["prompt"][i // 2],
            image=images[i * pictures // 4],
            seed=i + 1,
            **call,
        )
        for i in range(4)
    ]
    assert_same(batch, torch.cat(singles))


def test_one_generator_encodes_each_picture_once_for_all_its_videos() -> None:
    ours, _ = pipelines(VAE_091, class_name=CLASS_NAME)
    images = [picture(1), picture(2)]
    frames = run(ours, **TWO_PROMPTS, image=images, num_videos_per_prompt=2, output_type="latent")
    assert frames.shape == (4, 18, 6)
    first = frames[:, :6]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[2], first[3])
    assert not torch.equal(first[1], first[2])
