"""The image and condition pipelines: arguments that they refuse or warn of, and their results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from filmstrip import (
    DiffusionPipeline,
    LTXConditionPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoCondition,
)
from filmstrip.errors import InputError
from filmstrip.ltx.latents import LatentShape, token_positions
from filmstrip.ltx.pipelines.steppers import MaskedStepper
from filmstrip.pipeline.denoise import Step
from tests.parity.pipelines import VAE_095, arguments, pipelines, run
from tests.parity.test_ltx_condition import at, clip, latents
from tests.parity.test_ltx_image_to_video import picture


@pytest.fixture(scope="module")
def pipe() -> LTXConditionPipeline:
    return pipelines(VAE_095, class_name="LTXConditionPipeline")[0]


@pytest.fixture(scope="module")
def animate(pipe: LTXConditionPipeline) -> LTXImageToVideoPipeline:
    return LTXImageToVideoPipeline.from_pipe(pipe)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both ways": ({"conditions": at(0), "image": picture(0)}, "Both conditions and image or video"),
    "lengths": (
        {"image": [picture(0)], "frame_index": [0, 8]},
        "image has 1 entries and frame_index has 2",
    ),
    "strengths": (
        {"video": [clip(9)], "strength": [1, 1]},
        "video has 1 entries and strength has 2",
    ),
    "nothing": (
        {"conditions": LTXVideoCondition(frame_index=8)},
        "condition at frame 8 has neither image nor video",
    ),
    "index": (
        {"conditions": LTXVideoCondition(picture(0), frame_index="8")},
        "frame_index is '8'; give a number",
    ),
    "late clip": ({"conditions": at(17, frames=9)}, "begins after the end of the video"),
    "pictures": (
        {"conditions": at(0, image=[picture(0), picture(1)])},
        "There are 2 pictures for 1 videos",
    ),
    "denoise strength": (
        {"denoise_strength": 1.2},
        "denoise_strength is 1.2; it must be from 0 to 1",
    ),
    "noise scale": ({"image_cond_noise_scale": None}, "image_cond_noise_scale is None"),
    "latents": (
        {"latents": torch.zeros(1, 18, 6), "denoise_strength": 0.5},
        r"\(1, 6, 3, 2, 3\) is needed",
    ),
    "generators": ({"conditions": at(0), "seed": [1, 2]}, "2 generators were given for 1 videos"),
    "height": ({"height": 70}, "divisible by 32"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_refused_before_encoding(
    pipe: LTXConditionPipeline,
    changes: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipe, "encode_prompt", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(InputError, match=sentence):
        run(pipe, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Neither image nor latents was given"),
        ({"image": [picture(0), picture(1)]}, "There are 2 pictures for 1 videos"),
        ({"image": "cat.png"}, "Pictures are PIL images, arrays or tensors"),
        ({"latents": torch.zeros(1, 7, 6)}, "1 videos of 18 tokens are needed"),
    ],
)
def test_a_wrong_picture_is_refused_before_encoding(
    animate: LTXImageToVideoPipeline,
    changes: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(animate, "encode_prompt", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(InputError, match=sentence):
        run(animate, **changes)


WARNINGS: dict[str, tuple[dict[str, Any], str]] = {
    "strength": (
        {"conditions": at(0, 1.5)},
        "condition at frame 0 has the strength 1.5, outside 0 to 1",
    ),
    "outside": (
        {"conditions": at(40)},
        "condition at frame 40 is outside the video, which has the frames 0 to 16",
    ),
    "both": (
        {"conditions": at(0, video=clip(9))},
        "has both image and video, of which only the image can be shown",
    ),
    "cut": (
        {"conditions": at(0, frames=13)},
        "has 13 frames; the first 9 are used (8 k + 1), the others cut",
    ),
    "off the grid": (
        {"conditions": at(3, frames=17), "num_frames": 33},
        "fits best at a multiple of 8",
    ),
    "overlap": ({"conditions": [at(0, frames=9), at(4)]}, "Two conditions overlap at frame 4"),
    "shape": (
        {"image": picture(0, 100, 40)},
        "is 100x40 pixels and is stretched to the video's 96x64",
    ),
    "shape of a clip": (
        {"conditions": LTXVideoCondition(video=[picture(0, 100, 40)] * 9)},
        "condition at frame 0 is 100x40 pixels and is stretched to the video's 96x64",
    ),
    "loose list": ({"image": [picture(0), picture(1)]}, "Only 1 of 2 conditions are used"),
    "no latents": ({"denoise_strength": 0.5}, "denoise_strength is 0.5 and there are no latents"),
    "unused latents": ({"latents": latents()}, "latents are not used where denoise_strength is 1"),
}


@pytest.mark.parametrize(("changes", "sentence"), WARNINGS.values(), ids=WARNINGS)
def test_an_unusual_argument_is_warned_of(
    pipe: LTXConditionPipeline,
    changes: dict[str, Any],
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(pipe, num_inference_steps=1, output_type="latent", **changes)
    assert sentence in caplog.text


def test_a_usual_call_warns_of_nothing(
    pipe: LTXConditionPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run(
        pipe,
        conditions=[at(0, image=picture(0, 96, 64)), at(16, image=picture(1, 96, 64))],
        num_inference_steps=1,
    )
    assert not caplog.text


def test_pipelines_share_components_and_a_folder_names_its_pipeline_class(
    pipe: LTXConditionPipeline, tmp_path: Path
) -> None:
    for pipeline_class in (LTXPipeline, LTXImageToVideoPipeline, LTXConditionPipeline):
        folder = tmp_path / pipeline_class.__name__
        other = pipeline_class.from_pipe(pipe)
        assert other.transformer is pipe.transformer
        other.save_pretrained(folder)
        assert type(DiffusionPipeline.from_pretrained(folder)) is pipeline_class
    assert (
        type(LTXImageToVideoPipeline.from_pretrained(tmp_path / "LTXPipeline"))
        is LTXImageToVideoPipeline
    )


def test_prompts_are_padded_to_the_length_of_the_pipeline_class(
    pipe: LTXConditionPipeline, animate: LTXImageToVideoPipeline
) -> None:
    assert pipe.encode_prompt("a cat")[0].shape[1] == 256
    assert animate.encode_prompt("a cat")[0].shape[1] == 128


def test_with_denoise_strength_0_latents_are_unchanged(pipe: LTXConditionPipeline) -> None:
    initial = latents()
    assert torch.equal(
        run(pipe, latents=initial, denoise_strength=0.0, output_type="latent"), initial
    )


def test_a_fully_conditioned_video_does_not_depend_on_the_prompt(
    pipe: LTXConditionPipeline,
) -> None:
    call = {
        "conditions": at(0, frames=17),
        "image_cond_noise_scale": 0.0,
        "output_type": "latent",
    }
    assert torch.equal(run(pipe, **call), run(pipe, **call, prompt="a dog"))


def test_latents_are_kept_if_decoding_fails(
    pipe: LTXConditionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(pipe, conditions=at(0))
    with monkeypatch.context() as patched:
        patched.setattr(pipe.vae, "decode", lambda *_, **__: 1 / 0)
        torch.manual_seed(11)
        with pytest.raises(ZeroDivisionError):
            pipe(**arguments(conditions=at(0)))
    assert pipe.latents is not None
    assert torch.equal(pipe.decode(pipe.latents, 64, 96, 17, output_type="pt"), expected)


def test_positions_are_causal_or_even() -> None:
    size = LatentShape(3, 1, 2)
    even = token_positions(size, (8, 32), frame_rate=4, causal=False)
    causal = token_positions(size, (8, 32), frame_rate=4, causal=True, first_frame=8)
    assert even.shape == causal.shape == (1, 3, 6)
    assert even[0, 0].tolist() == [0, 0, 2, 2, 4, 4]
    assert causal[0, 0].tolist() == [2, 2, 2.25, 2.25, 4.25, 4.25]
    assert even[0, 2].tolist() == [0, 32] * 3


def test_conditioned_tokens_get_new_noise_each_step_and_are_denoised_below_their_strength() -> None:
    initial = torch.ones(1, 3, 4)
    strength = torch.tensor([[1.0, 0.5, 0.0]])
    stepper = MaskedStepper(
        lambda tokens, *_: torch.zeros_like(tokens),
        initial,
        strength,
        0.5,
        torch.Generator().manual_seed(0),
    )
    step = Step(0, torch.tensor(800.0))
    noised = stepper.renoise(initial, step)
    assert stepper.timesteps(noised, step).tolist() == [[0, 500, 800]]
    assert torch.equal(noised[:, 1:], initial[:, 1:])
    assert not torch.equal(noised[:, 0], initial[:, 0])
    stepped = stepper.step(noised, initial, step)
    assert torch.equal(stepped[:, :2], noised[:, :2])
    assert torch.equal(stepped[:, 2], torch.zeros(1, 4))
    later_step = Step(1, torch.tensor(400.0))
    stepped_later = stepper.step(stepper.renoise(initial, later_step), initial, later_step)
    assert torch.equal(stepped_later[:, 1], torch.zeros(1, 4))
    assert not np.allclose(stepped_later[:, 0], noised[:, 0])
