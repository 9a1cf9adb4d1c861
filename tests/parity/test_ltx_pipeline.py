"""LTXPipeline gives diffusers' frames for the same call, and correct frames where diffusers crashes
or mixes videos up.
"""

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip import SDCFGCutoffCallback
from tests.parity.common import assert_same
from tests.parity.pipelines import VAE_090, VAE_091, VAE_095, arguments, pipelines, run

DYNAMIC = {
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "shift_terminal": 0.1,
}
PUBLISHED = DYNAMIC | {"base_image_seq_len": 1024, "max_image_seq_len": 4096}


def blur(pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
    tensors["latents"] = tensors["latents"] * 0.9 + 0.01 * index
    return tensors


def swap_prompt(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
) -> dict[str, Any]:
    tensors["prompt_embeds"] = tensors["prompt_embeds"] * (1 + 0.5 * index)
    return tensors


def weaken(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
) -> dict[str, Any]:
    pipe._guidance_scale = 1.5
    pipe._guidance_rescale = 0.4
    return tensors


def stop(pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
    pipe._interrupt = index == 1
    return tensors


CALLS: dict[str, dict[str, Any]] = {
    "one prompt": {},
    "negative prompt": {"negative_prompt": "a blue dog"},
    "no guidance": {"guidance_scale": 1.0},
    "guidance below 1": {"guidance_scale": 0.0},
    "rescale": {"guidance_rescale": 0.7, "guidance_scale": 6},
    "integer guidance": {"guidance_scale": 4},
    "odd size": {"height": 96, "width": 32, "num_frames": 9},
    "one frame": {"num_frames": 1},
    "frames not 8k+1": {"num_frames": 14},
    "frame rate": {"frame_rate": 8},
    "one step": {"num_inference_steps": 1},
    "a list of one prompt": {"prompt": ["the cat runs"]},
    "empty prompt": {"prompt": ""},
    "two prompts": {"prompt": ["a cat", "the very long green star turns right"]},
    "two prompts, two negatives": {
        "prompt": ["a cat", "a dog"],
        "negative_prompt": ["red", "blue star"],
    },
    "two prompts, a generator each": {"prompt": ["a cat", "a dog runs"], "seed": [4, 5]},
    "three videos": {"num_videos_per_prompt": 3},
    "three videos, a generator each": {"num_videos_per_prompt": 3, "seed": [1, 2, 3]},
    "a list of one generator": {"seed": [9]},
    "global generator": {"seed": None},
    "prompt that is cut": {"prompt": "a red circle moves left over the blue square " * 3},
    "short sequence": {"max_sequence_length": 4},
    "callback changes latents": {"callback_on_step_end": blur},
    "callback changes prompts": {
        "callback_on_step_end": swap_prompt,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    },
    "callback changes guidance": {"callback_on_step_end": weaken},
    "callback interrupts": {"callback_on_step_end": stop, "num_inference_steps": 4},
    "arrays": {"output_type": "np"},
    "latents": {"output_type": "latent"},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call(call: dict[str, Any]) -> None:
    ours, theirs = pipelines()
    a, b = run(ours, **call), run(theirs, **call)
    assert type(a) is type(b)
    assert_same(torch.as_tensor(a), torch.as_tensor(b))


SCHEDULERS: dict[str, dict[str, Any]] = {
    "published": PUBLISHED,
    "linear": PUBLISHED | {"time_shift_type": "linear"},
    "static shift": {"shift": 3.0},
    "karras": {"use_karras_sigmas": True},
    "stochastic": {"stochastic_sampling": True},
}


@pytest.mark.parametrize("config", SCHEDULERS.values(), ids=SCHEDULERS)
def test_scheduler(config: dict[str, Any]) -> None:
    ours, theirs = pipelines(scheduler=config)
    assert_same(run(ours, num_inference_steps=5), run(theirs, num_inference_steps=5))


VAES: dict[str, dict[str, Any]] = {"0.9.0": VAE_090, "0.9.1": VAE_091, "0.9.5": VAE_095}
DECODES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "timestep": {"decode_timestep": 0.05},
    "timestep and noise": {"decode_timestep": 0.05, "decode_noise_scale": 0.025},
    "two prompts": {"prompt": ["a cat", "a dog"], "decode_timestep": 0.1},
    "lists": {
        "prompt": ["a cat", "a dog"],
        "decode_timestep": [0.05, 0.2],
        "decode_noise_scale": [0.3, 0.1],
    },
    "a generator each": {"prompt": ["a cat", "a dog"], "seed": [4, 5], "decode_timestep": 0.1},
}


@pytest.mark.parametrize("decode", DECODES.values(), ids=DECODES)
@pytest.mark.parametrize("vae", VAES.values(), ids=VAES)
def test_decode(vae: dict[str, Any], decode: dict[str, Any]) -> None:
    ours, theirs = pipelines(vae)
    assert_same(run(ours, **decode), run(theirs, **decode))


@pytest.mark.parametrize("framewise", [False, True])
def test_tiled(framewise: bool) -> None:
    ours, theirs = pipelines(VAE_095)
    for pipe in (ours, theirs):
        pipe.vae.enable_tiling(64, 64, 16, 32, 32, 8)
        pipe.vae.use_framewise_decoding = framewise
    call = {
        "height": 96,
        "width": 128,
        "num_frames": 25,
        "num_inference_steps": 1,
        "decode_timestep": 0.05,
    }
    assert_same(run(ours, **call), run(theirs, **call))


def test_latents_as_argument() -> None:
    ours, theirs = pipelines()
    latents = torch.randn(1, 3 * 2 * 3, 6)
    assert_same(run(ours, latents=latents), run(theirs, latents=latents))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_prompt_embeddings_as_argument(guidance: float) -> None:
    ours, theirs = pipelines()
    names = (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    )
    encoded = [
        pipe.encode_prompt(
            ["a cat", "a dog runs"],
            ["red", "blue"],
            num_videos_per_prompt=1,
            max_sequence_length=16,
        )
        for pipe in (ours, theirs)
    ]
    for a, b in zip(*encoded, strict=True):
        assert_same(a.float(), b.detach().float())
    call = dict(zip(names, encoded[0], strict=True)) | {"prompt": None, "guidance_scale": guidance}
    assert_same(run(ours, **call), run(theirs, **call))


def test_pil_images() -> None:
    ours, theirs = pipelines()
    a, b = run(ours, output_type="pil"), run(theirs, output_type="pil")
    assert len(a) == len(b) == 1
    assert len(a[0]) == len(b[0]) == 17
    assert all(isinstance(frame, PIL.Image.Image) for frame in a[0])
    assert np.abs(np.stack(a[0]).astype(int) - np.stack(b[0]).astype(int)).max() <= 1


def test_tuple_output() -> None:
    ours, _ = pipelines()
    result = ours(**arguments(return_dict=False))
    assert isinstance(result, tuple)
    assert torch.equal(result[0], ours(**arguments()).frames)


def test_a_callback_gets_the_values_that_it_gets_in_diffusers() -> None:
    records: list[list[Any]] = []
    for pipe in pipelines():
        calls: list[Any] = []

        def record(
            p: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any], calls: Any = calls
        ) -> Any:
            copies = {name: tensor.clone() for name, tensor in tensors.items()}
            calls.append((index, float(timestep), p.num_timesteps, copies))
            return tensors

        names = ["latents", "prompt_embeds", "negative_prompt_embeds"]
        run(pipe, callback_on_step_end=record, callback_on_step_end_tensor_inputs=names)
        records.append(calls)
    assert len(records[0]) == len(records[1]) == 3
    for a, b in zip(*records, strict=True):
        assert a[:3] == b[:3]
        assert list(a[3]) == list(b[3])
        for name in a[3]:
            assert_same(a[3][name], b[3][name])


# Calls in which diffusers crashes or mixes videos up are compared with single runs.


def test_videos_of_a_batch_equal_single_runs() -> None:
    ours, theirs = pipelines(VAE_095)
    prompts = ["a cat", "the very long green star turns right"]
    call = {"num_inference_steps": 2, "decode_timestep": 0.1, "negative_prompt": "a blue dog"}
    batch = run(ours, prompt=prompts, num_videos_per_prompt=2, seed=[1, 2, 3, 4], **call)
    singles = [run(theirs, prompt=prompts[i // 2], seed=i + 1, **call) for i in range(4)]
    assert_same(batch, torch.cat(singles))


def test_decode_lists_may_have_a_value_for_each_prompt_or_video() -> None:
    ours, _ = pipelines(VAE_095)
    call = {"prompt": ["a cat", "a dog"], "num_videos_per_prompt": 2, "num_inference_steps": 1}
    by_prompt = run(ours, decode_timestep=[0.1, 0.4], **call)
    by_video = run(ours, decode_timestep=[0.1, 0.1, 0.4, 0.4], **call)
    assert torch.equal(by_prompt, by_video)
    assert not torch.equal(by_prompt, run(ours, decode_timestep=0.1, **call))


def test_prompt_embeddings_are_used_for_several_videos() -> None:
    ours, _ = pipelines()
    names = (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    )
    encoded = ours.encode_prompt(["a cat", "a dog"], max_sequence_length=16)
    embeddings = dict(zip(names, encoded, strict=True))
    call = {"num_videos_per_prompt": 2, "seed": [1, 2, 3, 4], "num_inference_steps": 2}
    assert_same(
        run(ours, prompt=None, **embeddings, **call), run(ours, prompt=["a cat", "a dog"], **call)
    )


def test_the_model_gets_custom_timesteps() -> None:
    ours, _ = pipelines()
    model_timesteps: list[float] = []
    ours.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: model_timesteps.append(float(kwargs["timestep"][0])),
        with_kwargs=True,
    )
    frames = run(ours, timesteps=[1000.0, 700.0, 250.0])
    assert model_timesteps == [1000.0, 700.0, 250.0]
    assert frames.isfinite().all()
    assert_same(frames, run(ours, num_inference_steps=3, timesteps=[1000, 700, 250]))


def test_guidance_switched_off_by_a_callback_keeps_each_prompt() -> None:
    ours, theirs = pipelines()

    def off(
        pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        if index == 0:
            pipe._guidance_scale = 0.0
        return tensors

    call = {"prompt": ["a cat", "a dog runs"], "seed": [1, 2]}
    plain = run(ours, callback_on_step_end=off, **call)
    by_class = run(
        ours, callback_on_step_end=SDCFGCutoffCallback(None, cutoff_step_index=0), **call
    )
    assert torch.equal(plain, by_class)

    # Step by step with diffusers: the first step with guidance, the others without.
    latents = run(
        theirs,
        output_type="latent",
        callback_on_step_end=lambda p, *_: setattr(p, "_interrupt", True) or {},
        **call,
    )
    scheduler = theirs.scheduler
    embeds, mask, _, _ = theirs.encode_prompt(call["prompt"], None, False, max_sequence_length=16)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 3, 3))
    with torch.no_grad():
        for index in (1, 2):
            scheduler._step_index = index
            t = scheduler.timesteps[index]
            prediction = theirs.transformer(
                latents, embeds, t.expand(2), mask, 3, 2, 3, (8 / 25, 32, 32), return_dict=False
            )[0]
            latents = scheduler.step(prediction, t, latents, return_dict=False)[0]
    assert_same(run(ours, output_type="latent", callback_on_step_end=off, **call), latents)
