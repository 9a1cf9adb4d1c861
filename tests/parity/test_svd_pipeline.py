"""StableVideoDiffusionPipeline gives diffusers' frames for the same call, and correct frames where
diffusers does not.
"""

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers.pipelines.stable_video_diffusion import (
    pipeline_stable_video_diffusion as diffusers_module,
)

from filmstrip.svd.pipelines.images import resize_antialiased
from tests.parity.common import assert_same
from tests.parity.svd_pipelines import FRAMES, arguments, picture, pipelines, run


def blur(pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
    tensors["latents"] = tensors["latents"] * 0.9 + 0.01 * index
    return tensors


def weaken(
    pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
) -> dict[str, Any]:
    pipe._guidance_scale = pipe.guidance_scale * 0.8 + 0.5
    return tensors


CALLS: dict[str, dict[str, Any]] = {
    "one picture": {},
    "no guidance": {"max_guidance_scale": 1.0},
    "guidance below 1": {"min_guidance_scale": 0.0, "max_guidance_scale": 0.5},
    "guidance that falls": {"min_guidance_scale": 3.0, "max_guidance_scale": 1.5},
    "integer guidance": {"min_guidance_scale": 2, "max_guidance_scale": 6},
    "odd size": {"height": 40, "width": 24},
    "the trained size": {"height": None, "width": 0},
    "a large picture": {"image": picture(1, 500, 300)},
    "a tall picture": {"image": picture(1, 60, 400)},
    "five frames": {"num_frames": 5},
    "micro-conditions": {"fps": 20, "motion_bucket_id": 250, "noise_aug_strength": 0.5},
    "no noise on the picture": {"noise_aug_strength": 0},
    "one step": {"num_inference_steps": 1},
    "given sigmas": {"sigmas": [500.0, 20.0, 1.0, 0.1]},
    "given latents": {
        "latents": torch.randn((1, FRAMES, 4, 8, 12), generator=torch.Generator().manual_seed(5))
    },
    "chunks of two frames": {"decode_chunk_size": 2},
    "single frames": {"decode_chunk_size": 1},
    "a large chunk": {"decode_chunk_size": 50},
    "three videos": {"num_videos_per_prompt": 3},
    "two pictures": {"image": [picture(1), picture(2)]},
    "two pictures, a generator each": {"image": [picture(1), picture(2)], "seed": [4, 5]},
    "a list of one picture and one generator": {"image": [picture(1)], "seed": [9]},
    "global generator": {"seed": None},
    "a tensor of CLIP's size": {
        "image": torch.rand((1, 3, 224, 224), generator=torch.Generator().manual_seed(6))
    },
    "two signed tensors": {
        "image": torch.rand((2, 3, 224, 224), generator=torch.Generator().manual_seed(6)) * 2 - 1
    },
    "callback changes latents": {"callback_on_step_end": blur},
    "callback changes guidance": {"callback_on_step_end": weaken},
    "arrays": {"output_type": "np"},
    "latents": {"output_type": "latent"},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call(call: dict[str, Any]) -> None:
    ours, theirs = pipelines()
    a, b = run(ours, **call), run(theirs, **call)
    assert type(a) is type(b)
    assert_same(torch.as_tensor(a), torch.as_tensor(b))


@pytest.mark.parametrize(
    "scheduler",
    [{"use_karras_sigmas": False}, {"prediction_type": "epsilon", "sigma_max": 9.0}],
    ids=str,
)
def test_other_schedules(scheduler: dict[str, Any]) -> None:
    ours, theirs = pipelines(**scheduler)
    assert_same(run(ours), run(theirs))


def test_pil_frames_differ_by_at_most_one_level() -> None:
    ours, theirs = pipelines()
    a, b = (run(pipe, output_type="pil") for pipe in (ours, theirs))
    assert (len(a), len(a[0]), a[0][0].size) == (1, FRAMES, (48, 32))
    for frame, expected in zip(a[0], b[0], strict=True):
        assert np.abs(np.asarray(frame, int) - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize("output_type", ["pt", "np", "pil"])
def test_without_return_dict_a_call_returns_the_frames(output_type: str) -> None:
    a, b = (pipe(**arguments(output_type=output_type), return_dict=False) for pipe in pipelines())
    assert type(a) is type(b)
    assert len(a) == len(b) == 1


@pytest.mark.parametrize("size", [(300, 417), (224, 224), (90, 640), (576, 1024), (30, 20)])
def test_the_antialiased_resize_gives_the_same_pixels(size: tuple[int, int]) -> None:
    pixels = torch.randn((3, *size))
    assert_same(
        resize_antialiased(pixels, 224),
        diffusers_module._resize_with_antialiasing(pixels[None], (224, 224))[0],
    )


@pytest.mark.parametrize("videos", [1, 2])
@pytest.mark.parametrize("chunk", [None, 2])
def test_a_batch_with_a_generator_for_each_video_equals_single_runs(
    videos: int, chunk: int | None
) -> None:
    pipe, theirs = pipelines()
    pictures = [picture(1), picture(2, 40, 70)]
    seeds = list(range(20, 20 + 2 * videos))
    batch = run(
        pipe, image=pictures, num_videos_per_prompt=videos, seed=seeds, decode_chunk_size=chunk
    )
    for row, seed in enumerate(seeds):
        call = {"image": pictures[row // videos], "seed": seed, "decode_chunk_size": chunk}
        single = run(pipe, **call)
        assert_same(batch[row : row + 1], single)
        assert_same(single, run(theirs, **call))


def test_one_generator_draws_the_pictures_noise_once_for_all_videos_of_a_picture() -> None:
    pipe, _ = pipelines()
    latents = torch.randn((4, FRAMES, 4, 8, 12))
    pictures = [picture(1), picture(2)]
    batch = run(
        pipe, image=pictures, num_videos_per_prompt=2, noise_aug_strength=0, latents=latents
    )
    for row in range(4):
        single = run(
            pipe, image=pictures[row // 2], noise_aug_strength=0, latents=latents[row : row + 1]
        )
        assert_same(batch[row : row + 1], single)
    same = run(
        pipe,
        num_videos_per_prompt=2,
        noise_aug_strength=1.0,
        latents=latents[:1].expand(2, -1, -1, -1, -1),
    )
    assert_same(same[0], same[1])


def test_guidance_switched_off_by_a_callback_keeps_each_picture() -> None:
    def off(
        pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        pipe._guidance_scale = 0.0 if index == 1 else pipe._guidance_scale
        return tensors

    ours, theirs = pipelines()
    with pytest.raises(RuntimeError):
        run(theirs, callback_on_step_end=off)
    batch_sizes: list[int] = []
    ours.unet.register_forward_pre_hook(lambda module, args: batch_sizes.append(len(args[0])))
    batch = run(ours, image=[picture(1), picture(2)], seed=[1, 2], callback_on_step_end=off)
    assert batch_sizes == [4, 4, 2]
    for row in range(2):
        single = run(ours, image=picture(row + 1), seed=row + 1, callback_on_step_end=off)
        assert_same(batch[row : row + 1], single)


def test_guidance_of_only_the_first_frame_is_used() -> None:
    pipe, _ = pipelines()
    assert not torch.equal(
        run(pipe, min_guidance_scale=3.0, max_guidance_scale=1.0),
        run(pipe, min_guidance_scale=1.0, max_guidance_scale=1.0),
    )


GREY = picture(3).convert("L")
SAME: dict[str, tuple[Any, Any]] = {
    "an array": (np.asarray(picture()), picture()),
    "floats": (np.asarray(picture(), np.float32) / 255, picture()),
    "signed floats": (np.asarray(picture(), np.float64) / 127.5 - 1, picture()),
    "a batch of arrays": (
        np.stack([np.asarray(picture(i)) for i in range(2)]),
        [picture(0), picture(1)],
    ),
    "a list of arrays": ([np.asarray(picture(i)) for i in range(2)], [picture(0), picture(1)]),
    "grey": (GREY, GREY.convert("RGB")),
    "a grey array": (np.asarray(GREY), GREY.convert("RGB")),
    "sixteen bits": (
        PIL.Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257),
        GREY.convert("RGB"),
    ),
    "a palette": (picture().convert("P"), picture().convert("P").convert("RGB")),
    "opaque": (picture().convert("RGBA"), picture()),
    "transparent": (
        PIL.Image.new("RGBA", (90, 60), (255, 0, 0, 0)),
        PIL.Image.new("RGB", (90, 60), "white"),
    ),
    "half transparent": (
        PIL.Image.new("RGBA", (9, 6), (0, 0, 0, 51)),
        PIL.Image.new("RGB", (9, 6), (204,) * 3),
    ),
}


@pytest.mark.parametrize(("image", "same_as"), SAME.values(), ids=SAME)
def test_pictures_of_any_type_and_mode(image: Any, same_as: Any) -> None:
    pipe, _ = pipelines()
    assert_same(run(pipe, image=image), run(pipe, image=same_as))


UNIT = torch.rand((2, 3, 50, 70), generator=torch.Generator().manual_seed(1))
ALPHA = torch.full((2, 1, 50, 70), 0.25)


@pytest.mark.parametrize(
    ("image", "same_as"),
    [
        (UNIT * 2 - 1, UNIT),
        ((UNIT * 255).round().to(torch.uint8), (UNIT * 255).round() / 255),
        ((UNIT * 255).round(), (UNIT * 255).round() / 255),
        (list(UNIT), UNIT),
        (UNIT[:, :1], UNIT[:, :1].repeat(1, 3, 1, 1)),
        (UNIT[0, 0], UNIT[:1, :1].repeat(1, 3, 1, 1)),
        (torch.cat([UNIT, ALPHA], dim=1), UNIT * 0.25 + 0.75),
    ],
    ids=["signed", "bytes", "up to 255", "a list", "grey", "a grey sheet", "transparent"],
)
def test_tensors_of_any_size_and_range(image: Any, same_as: torch.Tensor) -> None:
    pipe, _ = pipelines()
    assert_same(run(pipe, image=image), run(pipe, image=same_as))


def test_a_tensor_and_a_pil_image_have_the_same_clip_embedding() -> None:
    pipe, _ = pipelines()
    tensor = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    assert_same(pipe.encode_image(tensor), pipe.encode_image(picture()))


def test_a_scheduler_that_does_not_suit_the_model_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipe, _ = pipelines(prediction_type="epsilon", timestep_type="discrete", sigma_max=9.0)
    assert (
        "its prediction_type is 'epsilon', not 'v_prediction' and its timestep_type is 'discrete'"
        in caplog.text
    )
    run(pipe)
    assert caplog.text.count("does not suit") == 1
    pipe.scheduler = pipe.scheduler.from_config(
        pipe.scheduler.config, prediction_type="v_prediction"
    )
    run(pipe)
    assert caplog.text.count("does not suit") == 2
    caplog.clear()
    pipe.scheduler = pipe.scheduler.from_config(pipe.scheduler.config, timestep_type="continuous")
    run(pipe, num_frames=FRAMES + 1)
    assert "does not suit" not in caplog.text
    assert "trained for 3" in caplog.text
