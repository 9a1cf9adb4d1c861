"""LTXConditionPipeline gives diffusers' frames for the same call, and correct frames where
diffusers crashes.
"""

from typing import Any

import diffusers
import PIL.Image
import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition as DiffusersCondition

from filmstrip import LTXVideoCondition
from tests.parity.common import assert_same
from tests.parity.pipelines import VAE_095, pipelines, run as run_call
from tests.parity.test_ltx_image_to_video import TWO_PROMPTS, picture
from tests.parity.test_ltx_pipeline import PUBLISHED, VAES, blur, stop, swap_prompt, weaken

CLASS_NAME = "LTXConditionPipeline"


def clip(frames: int, seed: int = 0) -> list[PIL.Image.Image]:
    return [picture(100 * seed + i) for i in range(frames)]


def at(
    frame_index: int, strength: float = 1.0, frames: int = 0, seed: int = 0, **changes: Any
) -> LTXVideoCondition:
    """A condition: a picture, or a clip of `frames` frames."""
    content: dict[str, Any] = {"video": clip(frames, seed)} if frames else {"image": picture(seed)}
    values = {"frame_index": frame_index, "strength": strength}
    return LTXVideoCondition(**content | values | changes)


def latents(videos: int = 1) -> torch.Tensor:
    return torch.randn(videos, 6, 3, 2, 3, generator=torch.Generator().manual_seed(5))


def run(pipe: Any, **call: Any) -> torch.Tensor:
    """`run` of the other pipelines, with conditions of diffusers' class for its pipeline."""
    if call.get("conditions") is not None and isinstance(pipe, diffusers.DiffusionPipeline):
        conditions = call["conditions"]
        items = conditions if isinstance(conditions, list) else [conditions]
        call = call | {"conditions": [DiffusersCondition(**vars(item)) for item in items]}
    return run_call(pipe, **call)


CALLS: dict[str, dict[str, Any]] = {
    "text alone": {},
    "text alone, two prompts": TWO_PROMPTS | {"seed": [1, 2]},
    "text alone, no guidance": {"guidance_scale": 1.0},
    "text alone, seven steps": {"num_inference_steps": 7},
    "text alone, one step": {"num_inference_steps": 1},
    "picture": {"image": picture(1)},
    "condition": {"conditions": at(0)},
    "weak picture": {"conditions": [at(0, 0.6)]},
    "picture without effect": {"conditions": [at(0, 0.0)]},
    "too strong": {"conditions": [at(0, 1.5)]},
    "picture for two prompts": TWO_PROMPTS | {"conditions": [at(0)]},
    "a picture for each of two prompts": TWO_PROMPTS
    | {"conditions": [at(0, image=[picture(1), picture(2)])]},
    "pictures as a tensor": TWO_PROMPTS
    | {"image": torch.rand(2, 3, 50, 40, generator=torch.Generator().manual_seed(1))},
    "a picture at the end": {"conditions": [at(16)]},
    "a weak picture in between": {"conditions": [at(5, 0.4)]},
    "a picture behind the end": {"conditions": [at(33)]},
    "first and last": {"conditions": [at(0), at(16, 0.8, seed=3)]},
    "a list of one generator": {"conditions": [at(0), at(16, 0.8, seed=3)], "seed": [4]},
    "global generator": {"conditions": [at(0), at(16, 0.8, seed=3)], "seed": None},
    "a clip at the start": {"conditions": [at(0, frames=9)]},
    "a weak clip at the start": {"conditions": [at(0, 0.7, frames=17)]},
    "a clip at the end": {"conditions": [at(8, frames=9)]},
    "a long clip in between": {"conditions": [at(8, 0.9, frames=17)], "num_frames": 33},
    "a long clip off the grid": {"conditions": [at(11, frames=17)], "num_frames": 33},
    "a clip of a few frames in between": {"conditions": [at(8, frames=5)]},
    "a clip that is cut": {"conditions": [at(0, frames=13)]},
    "a clip longer than the video": {"conditions": [at(8, frames=25)]},
    "a clip before the start": {"conditions": [at(-8, frames=17)]},
    "everything": {
        "conditions": [at(0, frames=9), at(24, 0.5, frames=9, seed=1), at(16, seed=2)],
        "num_frames": 33,
    },
    "overlapping": {"conditions": [at(0, 0.5, frames=9), at(0, seed=4)]},
    "loose lists": {"image": [picture(1)], "frame_index": [8], "strength": [0.7]},
    "loose pictures, of which the first counts": {
        "image": [picture(1), picture(2)],
        "frame_index": [0, 8],
    },
    "loose clip": {"video": [clip(9)], "frame_index": 8},
    "loose frames, of which the first counts": {"video": clip(9)},
    "loose tensor clip": {
        "video": torch.rand(9, 3, 40, 60, generator=torch.Generator().manual_seed(1))
    },
    "no noise on pictures": {"conditions": [at(0), at(16)], "image_cond_noise_scale": 0.0},
    "much noise on pictures": {"conditions": [at(0), at(16)], "image_cond_noise_scale": 0.6},
    "timesteps": {"conditions": [at(0), at(16, 0.5)], "timesteps": [1000, 800, 300, 40.5]},
    "video to video": {"latents": latents(), "denoise_strength": 0.6, "num_inference_steps": 5},
    "video to video with pictures": {
        "latents": latents(),
        "denoise_strength": 0.7,
        "num_inference_steps": 6,
        "conditions": [at(0), at(16, 0.3)],
    },
    "no denoising": {"latents": latents(), "denoise_strength": 0.0},
    "given latents at full strength": {"latents": latents()},
    "no latents at half strength": {"denoise_strength": 0.5, "num_inference_steps": 4},
    "odd size": {"conditions": [at(0), at(8)], "height": 96, "width": 32, "num_frames": 9},
    "frames not 8k+1": {"conditions": [at(0)], "num_frames": 14},
    "one frame": {"num_frames": 1},
    "frame rate": {"conditions": [at(0), at(8)], "frame_rate": 8},
    "rescale": {"conditions": [at(0)], "guidance_rescale": 0.7, "guidance_scale": 6},
    "no guidance": {"conditions": [at(0), at(16)], "guidance_scale": 1.0},
    "three videos": {"conditions": [at(0)], "num_videos_per_prompt": 3},
    "callback changes latents": {"conditions": [at(0), at(16)], "callback_on_step_end": blur},
    "callback changes prompts": {
        "conditions": [at(0)],
        "callback_on_step_end": swap_prompt,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    },
    "callback changes guidance": {"conditions": [at(0)], "callback_on_step_end": weaken},
    "callback interrupts": {
        "conditions": [at(8)],
        "callback_on_step_end": stop,
        "num_inference_steps": 4,
    },
    "latents": {"conditions": [at(0), at(16)], "output_type": "latent"},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call(call: dict[str, Any]) -> None:
    ours, theirs = pipelines(class_name=CLASS_NAME)
    assert_same(run(ours, **call), run(theirs, **call))


SCHEDULERS: dict[str, dict[str, Any]] = {
    "static shift": {"shift": 3.0},
    "karras": {"use_karras_sigmas": True},
    "terminal": {"shift_terminal": 0.1},
    "stochastic": {"stochastic_sampling": True},
}


@pytest.mark.parametrize(
    "call", [{}, {"conditions": [at(0), at(16, 0.6)]}], ids=["text", "pictures"]
)
@pytest.mark.parametrize("config", SCHEDULERS.values(), ids=SCHEDULERS)
def test_scheduler(config: dict[str, Any], call: dict[str, Any]) -> None:
    ours, theirs = pipelines(scheduler=config, class_name=CLASS_NAME)
    assert_same(
        run(ours, num_inference_steps=5, **call), run(theirs, num_inference_steps=5, **call)
    )


@pytest.mark.parametrize("vae", VAES.values(), ids=VAES)
def test_decode(vae: dict[str, Any]) -> None:
    ours, theirs = pipelines(vae, class_name=CLASS_NAME)
    call = {
        "conditions": [at(0, frames=9), at(16, 0.8)],
        "decode_timestep": 0.05,
        "decode_noise_scale": 0.1,
    }
    assert_same(run(ours, **call), run(theirs, **call))


# Calls in which diffusers crashes or mixes videos up are compared with its single runs.

BATCHES: dict[str, dict[str, Any]] = {
    "first frame": {"conditions": [at(0, 0.8)]},
    "keyframe after the first": {"conditions": [at(0), at(16, 0.7, seed=3)]},
    "clip": {"conditions": [at(8, 0.9, frames=17)], "num_frames": 33},
}


@pytest.mark.parametrize("call", BATCHES.values(), ids=BATCHES)
def test_videos_of_a_batch_equal_single_runs(call: dict[str, Any]) -> None:
    ours, theirs = pipelines(VAE_095, class_name=CLASS_NAME)
    call = call | {
        "num_inference_steps": 2,
        "decode_timestep": 0.1,
        "negative_prompt": "a blue dog",
    }
    batch = run(ours, **TWO_PROMPTS, num_videos_per_prompt=2, seed=[1, 2, 3, 4], **call)
    assert_same(
        batch,
        torch.cat(
            [
                run(theirs, prompt=TWO_PROMPTS["prompt"][i // 2], seed=i + 1, **call)
                for i in range(4)
            ]
        ),
    )


def test_each_video_of_a_batch_may_have_its_own_keyframe() -> None:
    ours, theirs = pipelines(class_name=CLASS_NAME)
    batch = run(
        ours, **TWO_PROMPTS, conditions=[at(16, 0.7, image=[picture(1), picture(2)])], seed=[4, 5]
    )
    singles = [
        run(
            theirs,
            prompt=TWO_PROMPTS["prompt"][i],
            conditions=[at(16, 0.7, seed=i + 1)],
            seed=4 + i,
        )
        for i in (0, 1)
    ]
    assert_same(batch, torch.cat(singles))


def test_video_to_video_in_a_batch_equals_single_runs() -> None:
    ours, theirs = pipelines(class_name=CLASS_NAME)
    initial = latents(2)
    call = {"denoise_strength": 0.6, "num_inference_steps": 5, "conditions": [at(8)]}
    batch = run(ours, **TWO_PROMPTS, latents=initial, seed=[1, 2], **call)
    singles = [
        run(theirs, prompt=TWO_PROMPTS["prompt"][i], latents=initial[i : i + 1], seed=i + 1, **call)
        for i in range(2)
    ]
    assert_same(batch, torch.cat(singles))


@pytest.mark.parametrize("timesteps", [None, [1000.0, 800.0, 300.0]])
def test_a_scheduler_with_a_dynamic_shift_has_sigmas_that_agree_with_its_timesteps(
    timesteps: Any,
) -> None:
    ours, theirs = pipelines(scheduler=PUBLISHED, class_name=CLASS_NAME)
    frames = run(ours, conditions=[at(0), at(16, 0.5)], timesteps=timesteps)
    torch.testing.assert_close(ours.scheduler.sigmas[:-1] * 1000, ours.scheduler.timesteps)
    # The same timesteps in diffusers, with a scheduler that shifts nothing.
    theirs.scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    same_timesteps = ours.scheduler.timesteps.tolist()
    expected = run(theirs, conditions=[at(0), at(16, 0.5)], timesteps=same_timesteps)
    assert_same(frames, expected)
