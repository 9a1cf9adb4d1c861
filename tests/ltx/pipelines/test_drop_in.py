"""LTXPipeline: arguments that it refuses, warnings, components, kept latents and progress."""

from contextlib import contextmanager
from typing import Any

import pytest
import torch

from filmstrip import LTXPipeline
from filmstrip.errors import InputError
from filmstrip.ltx.latents import LatentShape, denormalize, normalize, pack, unpack
from tests.parity.pipelines import VAE_095, arguments, pipelines, run


@pytest.fixture(scope="module")
def pipe() -> LTXPipeline:
    return pipelines(VAE_095)[0]


EMBEDS = torch.randn(1, 16, 12)
MASK = torch.ones(1, 16)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "height": (
        {"height": 70},
        "divisible by 32 but are 70 and 96; the nearest that are: 64 and 96",
    ),
    "width": ({"width": 0}, "width is 0; give a whole number above 0"),
    "size as text": ({"height": "64"}, "height is '64'"),
    "frames": ({"num_frames": -3}, "num_frames is -3"),
    "steps": ({"num_inference_steps": 0}, "num_inference_steps is 0"),
    "no timesteps": ({"timesteps": []}, "timesteps is empty"),
    "guidance": ({"guidance_scale": "3"}, "guidance_scale is '3'"),
    "output": ({"output_type": "gif"}, "output_type is 'gif'; choose one of pil, np, pt, latent"),
    "prompt type": ({"prompt": 5}, "prompt is of type int"),
    "prompt list": ({"prompt": ["a", None]}, "prompt holds None"),
    "no prompts": ({"prompt": []}, "prompt is an empty list"),
    "no prompt": ({"prompt": None}, "Neither prompt nor prompt_embeds"),
    "negative list": ({"negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
    "both": (
        {"prompt_embeds": EMBEDS, "prompt_attention_mask": MASK},
        "Both prompt and prompt_embeds",
    ),
    "no mask": ({"prompt": None, "prompt_embeds": EMBEDS}, "without prompt_attention_mask"),
    "no negative mask": (
        {"negative_prompt_embeds": EMBEDS},
        "without negative_prompt_attention_mask",
    ),
    "shapes": (
        {
            "prompt": None,
            "prompt_embeds": EMBEDS,
            "prompt_attention_mask": MASK,
            "negative_prompt_embeds": EMBEDS[:, :4],
            "negative_prompt_attention_mask": MASK[:, :4],
        },
        r"prompt_embeds is \(1, 16, 12\) and negative_prompt_embeds is \(1, 4, 12\)",
    ),
    "generators": ({"seed": [1, 2, 3]}, "3 generators were given for 1 videos"),
    "latents": (
        {"latents": torch.randn(1, 7, 6)},
        r"latents have the shape \(1, 7, 6\); 1 videos of 18 tokens",
    ),
    "decode list": ({"decode_timestep": [0.1, 0.2]}, "decode_timestep has 2 values for 1 videos"),
    "decode noise list": (
        {"decode_noise_scale": [0.1, 0.2]},
        "decode_noise_scale has 2 values for 1 videos",
    ),
    "callback names": (
        {"callback_on_step_end_tensor_inputs": ["noise"]},
        "names 'noise'; a callback can be handed",
    ),
    "videos": ({"num_videos_per_prompt": 0}, "num_videos_per_prompt is 0"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_refused_before_encoding(
    pipe: LTXPipeline, changes: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "encode_prompt", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(InputError, match=sentence):
        run(pipe, **changes)


def test_a_number_of_frames_that_is_not_8k_plus_1_is_warned_of(
    pipe: LTXPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(pipe, num_frames=12).shape[1] == 9
    assert "num_frames is 12, which is not 8 k + 1; the video will have 9 frames" in caplog.text


def test_the_cut_part_of_a_prompt_is_warned_of(
    pipe: LTXPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run(pipe, prompt="red circle over a very long cat", max_sequence_length=5, num_frames=1)
    assert "this part was cut: 'very long cat'" in caplog.text


@pytest.mark.parametrize(
    "missing", ["transformer", "vae", "text_encoder", "tokenizer", "scheduler"]
)
def test_a_missing_component_is_refused_by_name(missing: str) -> None:
    pipe, _ = pipelines()
    incomplete = LTXPipeline(**pipe.components | {missing: None})
    with pytest.raises(InputError, match=f"has no {missing}"):
        run(incomplete)


def test_encode_prompt_needs_only_the_text_encoder() -> None:
    full, _ = pipelines()
    pipe = LTXPipeline(None, None, full.text_encoder, full.tokenizer, None)
    embeds, mask, negative, negative_mask = pipe.encode_prompt(
        ["a cat", "a dog"], num_videos_per_prompt=2
    )
    assert embeds.shape == negative.shape == (4, 128, 12)
    assert mask.shape == negative_mask.shape == (4, 128)
    assert torch.equal(embeds[0], embeds[1])
    assert not torch.equal(embeds[1], embeds[2])


def test_latents_are_kept_if_decoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, _ = pipelines(VAE_095)
    expected = run(pipe)

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no memory left")

    with monkeypatch.context() as patched:
        patched.setattr(pipe.vae, "decode", fail)
        torch.manual_seed(11)
        with pytest.raises(MemoryError) as caught:
            pipe(**arguments())
    assert "pipe.decode(pipe.latents" in caught.value.__notes__[0]
    again = pipe.decode(pipe.latents, 64, 96, 17, output_type="pt")
    assert again.shape == expected.shape
    assert torch.equal(again, expected)  # decode_timestep 0 mixes no noise in


def test_progress_reports_stages_and_steps() -> None:
    pipe, _ = pipelines()
    log: list[str] = []

    class Recorder:
        def stage(self, name: str, total: int | None = None) -> Any:
            @contextmanager
            def stage() -> Any:
                log.append(f"{name} {total}")
                yield lambda: log.append("step")

            return stage()

    pipe.progress = Recorder()
    run(pipe, num_inference_steps=2)
    assert log == ["encode prompt None", "denoise 2", "step", "step", "decode None"]


def test_components_make_another_pipeline_that_shares_them(pipe: LTXPipeline) -> None:
    other = LTXPipeline(**pipe.components)
    assert all(other.components[name] is component for name, component in pipe.components.items())
    assert LTXPipeline.from_pipe(pipe, vae=None).vae is None
    assert LTXPipeline.from_pipe(pipe).transformer is pipe.transformer
    with pytest.raises(InputError, match="does not take upsampler"):
        LTXPipeline.from_pipe(pipe, upsampler=None)


def test_unpack_inverts_pack() -> None:
    latents = torch.randn(2, 5, 3, 2, 4)
    tokens = pack(latents)
    assert tokens.shape == (2, 3 * 2 * 4, 5)
    assert torch.equal(unpack(tokens, LatentShape(3, 2, 4)), latents)


def test_denormalize_inverts_normalize() -> None:
    latents = torch.randn(1, 4, 2, 3, 3)
    mean = torch.randn(4)
    std = torch.rand(4) + 0.5
    torch.testing.assert_close(
        denormalize(normalize(latents, mean, std, 0.7), mean, std, 0.7), latents
    )


def test_text_encoder_may_have_another_dtype_than_the_transformer() -> None:
    pipe, _ = pipelines(VAE_095)
    expected = run(pipe)
    pipe.text_encoder.to(torch.bfloat16)
    assert run(pipe).dtype == torch.float32
    assert (run(pipe) - expected).abs().mean() < 0.01
