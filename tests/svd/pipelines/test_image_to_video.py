"""StableVideoDiffusionPipeline: refused arguments, warnings, kept latents, and saved folders."""

import json
import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip import (
    AutoencoderKLTemporalDecoder,
    DiffusionPipeline,
    LTXPipeline,
    MultiPipelineCallbacks,
    PipelineCallback,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from filmstrip.errors import CheckpointError, InputError
from tests.parity.common import assert_same
from tests.parity.svd_pipelines import FRAMES, UNET, VAE, arguments, picture, pipelines, run


@pytest.fixture
def pipe() -> StableVideoDiffusionPipeline:
    return pipelines()[0]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": None}, "image is of type NoneType; give a PIL image"),
    ({"image": "cat.png"}, "image is of type str"),
    ({"image": []}, "image is an empty list"),
    ({"image": [picture(), 3]}, "image is of type int"),
    (
        {"image": np.zeros((3, 20, 30))},
        r"an array of shape \(3, 20, 30\); give \(height, width, channels\)",
    ),
    ({"image": np.array([["a", "b"]])}, "give whole numbers or floats"),
    (
        {"image": torch.zeros(20, 30, 3)},
        r"a tensor of shape \(20, 30, 3\); give \(channels, height, width\)",
    ),
    ({"image": torch.zeros(0, 3, 8, 8)}, r"a tensor of shape \(0, 3, 8, 8\)"),
    ({"image": torch.full((3, 8, 8), torch.nan)}, "values from nan to nan; give finite ones"),
    ({"image": PIL.Image.new("RGB", (0, 5))}, "image is a picture of 0x5 pixels"),
    ({"height": 36}, r"divisible by 8 but are 36 and 48; the nearest that are: (32|40) and 48"),
    ({"width": -8}, "width is -8"),
    ({"num_frames": 0}, "num_frames is 0"),
    ({"num_inference_steps": 0}, "num_inference_steps is 0"),
    ({"sigmas": []}, "sigmas is empty"),
    ({"sigmas": [3.0, 0.0, 1.0]}, "all must be above 0, but the last may be 0"),
    ({"fps": "7"}, "fps is '7'; give a number"),
    ({"fps": math.nan}, "fps is nan; give a number"),
    ({"motion_bucket_id": None}, "motion_bucket_id is None"),
    ({"max_guidance_scale": math.inf}, "max_guidance_scale is inf"),
    ({"max_guidance_scale": "high"}, "max_guidance_scale is 'high'"),
    ({"decode_chunk_size": -1}, "decode_chunk_size is -1"),
    ({"num_videos_per_prompt": 0}, "num_videos_per_prompt is 0"),
    ({"output_type": "mp4"}, "output_type is 'mp4'"),
    ({"seed": [1, 2, 3]}, "3 generators were given for 1 videos"),
    (
        {"latents": torch.zeros(1, 2, 4, 8, 12)},
        r"latents have the shape \(1, 2, 4, 8, 12\); \(1, 3, 4, 8, 12\) is needed",
    ),
    (
        {"callback_on_step_end_tensor_inputs": ["image"]},
        "names 'image'; a callback can be handed 'latents'",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_argument_is_refused_before_encoding(
    pipe: StableVideoDiffusionPipeline,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.setattr(pipe, "encode_image", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(InputError, match=sentence):
        run(pipe, **changes)


def test_components_of_other_models_are_refused() -> None:
    pipe, theirs = pipelines()
    good = pipe.components
    autoencoder = diffusers.AutoencoderKL(block_out_channels=(32,), latent_channels=4)
    wrong: dict[str, dict[str, Any]] = {
        "The vae is AutoencoderKL of diffusers, but .* needs AutoencoderKLTemporalDecoder": {
            "vae": autoencoder
        },
        "The unet is UNetSpatioTemporalConditionModel of diffusers, but .* of filmstrip": {
            "unet": theirs.unet
        },
        "The unet is AutoencoderKLTemporalDecoder of filmstrip": {"unet": good["vae"]},
        "The image_encoder is Identity of torch": {"image_encoder": torch.nn.Identity()},
        "three times the second": {
            "unet": UNetSpatioTemporalConditionModel(**UNET | {"addition_time_embed_dim": 32})
        },
        "the first must be twice the second": {
            "vae": AutoencoderKLTemporalDecoder(**VAE | {"latent_channels": 8})
        },
        "gives 16 numbers and the unet takes 24": {
            "unet": UNetSpatioTemporalConditionModel(**UNET | {"cross_attention_dim": 24})
        },
        "has no image_encoder and no feature_extractor": {
            "image_encoder": None,
            "feature_extractor": None,
        },
    }
    for sentence, components in wrong.items():
        with pytest.raises(InputError, match=sentence):
            run(StableVideoDiffusionPipeline(**good | components))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_frames": 2}, "2 frames: the model was trained for 3"),
        ({"fps": 5}, "fps is 5; the model was trained for 6 to 31."),
        ({"fps": 32}, "fps is 32; the"),
        (
            {"motion_bucket_id": 256},
            "The motion bucket is 256; the model was trained for 0 to 255.",
        ),
        ({"motion_bucket_id": -1}, "The motion bucket is -1;"),
        (
            {"min_guidance_scale": 4},
            "min_guidance_scale is 4 and max_guidance_scale 3, so that guidance falls",
        ),
        (
            {"image": "moving.gif"},
            "image is animated (2 frames); the video starts from its current frame.",
        ),
        ({"fps": 6}, ""),
        ({"fps": 31, "motion_bucket_id": 255, "max_guidance_scale": 0.5}, ""),  # guidance is off
    ],
)
def test_an_argument_outside_the_trained_range_is_warned_of(
    pipe: StableVideoDiffusionPipeline,
    tmp_path: Path,
    caplog: Any,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    if "image" in changes:
        picture(0).save(tmp_path / "moving.gif", save_all=True, append_images=[picture(1)])
        changes = {"image": PIL.Image.open(tmp_path / changes["image"])}
    run(pipe, num_inference_steps=1, output_type="latent", **changes)
    assert [sentence in message for message in caplog.messages] == [True] * bool(sentence)


@pytest.mark.parametrize("broken", ["cut off", "closed"])
def test_a_file_that_cannot_be_read_is_refused(
    pipe: StableVideoDiffusionPipeline, tmp_path: Path, broken: str
) -> None:
    file = tmp_path / "picture.png"
    picture().save(file)
    file.write_bytes(file.read_bytes()[: -2000 if broken == "cut off" else None])
    image = PIL.Image.open(file)
    if broken == "closed":
        image.close()
    with pytest.raises(
        InputError, match=r"image cannot be read: .* Its file may be damaged or closed\."
    ):
        run(pipe, image=image)


def test_latents_are_kept_if_decoding_fails(
    pipe: StableVideoDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = run(pipe)
    with monkeypatch.context() as patched:
        patched.setattr(pipe.vae, "decode", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError) as failure:
            run(pipe)
    assert "pipe.decode(pipe.latents, decode_chunk_size=1)" in failure.value.__notes__[0]
    assert pipe.latents is not None
    assert_same(pipe.decode(pipe.latents, output_type="pt"), frames)


def test_an_interrupt_ends_sampling_after_the_running_step(
    pipe: StableVideoDiffusionPipeline,
) -> None:
    indices: list[int] = []

    def stop(pipe: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> None:
        indices.append(index)
        pipe._interrupt = index == 1

    run(pipe, num_inference_steps=4, callback_on_step_end=stop)
    assert indices == [0, 1]
    assert pipe.num_timesteps == 4


def test_each_callback_class_gets_the_latents_of_the_previous_one(
    pipe: StableVideoDiffusionPipeline,
) -> None:
    class Double(PipelineCallback):
        tensor_inputs = ("latents",)

        def callback_fn(
            self, pipeline: Any, step_index: int, timestep: torch.Tensor, tensors: Any
        ) -> Any:
            return {"latents": tensors["latents"] * 2}

    once = run(pipe, num_inference_steps=1, output_type="latent")
    both = MultiPipelineCallbacks([Double(), Double()])
    assert_same(
        run(pipe, num_inference_steps=1, output_type="latent", callback_on_step_end=both), 4 * once
    )


def test_step_invariant_inputs_are_prepared_once(
    pipe: StableVideoDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = pipe.unet.prepare
    batch_sizes = []

    def record(embeds: torch.Tensor, *args: Any, **options: Any) -> Any:
        batch_sizes.append(len(embeds))
        return prepare(embeds, *args, **options)

    monkeypatch.setattr(pipe.unet, "prepare", record)
    run(pipe, num_inference_steps=4)
    assert batch_sizes == [2]


def test_a_float16_vae_with_force_upcast_encodes_in_float32(
    pipe: StableVideoDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = pipe.encode_picture(picture(), 32, 48, 0.0)
    encode = pipe.vae.encode
    dtypes = []

    def record(x: torch.Tensor, compute_dtype: torch.dtype) -> Any:
        dtypes.append((x.dtype, compute_dtype))
        return encode(x, True, compute_dtype)

    monkeypatch.setattr(pipe.vae, "encode", record)
    pipe.vae.to(torch.float16)
    latents = pipe.encode_picture(picture(), 32, 48, 0.0)
    assert dtypes == [(torch.float32, torch.float32)]
    assert pipe.vae.dtype == torch.float16
    assert_same(latents, exact, 0.05 * exact.abs().max().item())


def test_bfloat16_runs_from_end_to_end(pipe: StableVideoDiffusionPipeline) -> None:
    frames = run(pipe.to(torch.bfloat16), num_videos_per_prompt=2)
    assert (frames.shape, frames.dtype) == ((2, FRAMES, 3, 32, 48), torch.float32)
    assert frames.isfinite().all()


def test_a_folder_saved_by_filmstrip_loads_in_diffusers(
    pipe: StableVideoDiffusionPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert {name: value for name, value in index.items() if not name.startswith("_")} == {
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
        "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    }
    theirs = diffusers.StableVideoDiffusionPipeline.from_pretrained(tmp_path)
    theirs.set_progress_bar_config(disable=True)
    assert_same(run(pipe), run(theirs))


def test_a_folder_saved_by_diffusers_loads_in_filmstrip(tmp_path: Path) -> None:
    ours, theirs = pipelines()
    theirs.save_pretrained(tmp_path)
    for loader in (StableVideoDiffusionPipeline, DiffusionPipeline):
        loaded: Any = loader.from_pretrained(tmp_path)
        assert type(loaded) is StableVideoDiffusionPipeline
        loaded.set_progress_bar_config(disable=True)
        assert_same(run(loaded), run(ours))


def test_the_newer_name_of_the_feature_extractor_is_read(
    pipe: StableVideoDiffusionPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(index.read_text().replace('"CLIPImageProcessor"', '"CLIPImageProcessorPil"'))
    loaded = StableVideoDiffusionPipeline.from_pretrained(tmp_path, unet=None)
    assert loaded.unet is None
    assert_same(loaded.encode_image(picture()), pipe.encode_image(picture()))


def test_loading_logs_each_component_at_level_info(
    pipe: StableVideoDiffusionPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """diffusers' `test_save_load_local` looks for these messages."""
    pipe.save_pretrained(tmp_path)
    with caplog.at_level("INFO", logger="filmstrip"):
        StableVideoDiffusionPipeline.from_pretrained(tmp_path)
    assert {
        message.split()[1] for message in caplog.messages if message.startswith("Loaded ")
    } == set(pipe.components)


def test_a_folder_of_another_family_is_refused(
    pipe: StableVideoDiffusionPipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"which LTXPipeline needs; it holds a StableVideoDiffusionPipeline"
    ):
        LTXPipeline.from_pretrained(tmp_path)


def test_components_are_shared(pipe: StableVideoDiffusionPipeline) -> None:
    other = StableVideoDiffusionPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    assert other.unet is pipe.unet
    assert isinstance(run(other, output_type="pil")[0][0], PIL.Image.Image)
    assert len(pipe(**arguments(), return_dict=False)) == 1
