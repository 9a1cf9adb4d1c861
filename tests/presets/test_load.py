"""`filmstrip.load`: presets from a cache and from a Hub, folders, and unknown names."""

from dataclasses import replace

import pytest
import torch

import filmstrip
from filmstrip import LTXLatentUpsamplerModel, LTXPipeline, LTXRecipePipeline, demo
from filmstrip.errors import CheckpointError, InputError
from filmstrip.ltx.video_shape import VideoShape
from filmstrip.presets import PRESETS, locate
from filmstrip.presets.ltx import REPO, TEXT_ENCODER
from filmstrip.weights.hub import CheckpointLocation
from tests.ltx.published import repositories
from tests.weights import hub
from tests.weights.samples import components, same_weights

DISTILLED = "ltx-2b-0.9.8-distilled"
SMALL = {"height": 64, "width": 64, "num_frames": 9}


@pytest.fixture(scope="module")
def published():
    """The repositories of three presets on the Hub."""
    return {
        name: repositories(PRESETS[name])
        for name in (DISTILLED, f"{DISTILLED}-fp8", "ltx-2b-0.9.1")
    }


@pytest.fixture
def cached(published, tmp_path):
    """A function that fills a cache with the files of a preset."""

    def fill(name):
        for repository, files in published[name].items():
            hub.store_repository(tmp_path / name, repository, files)
        return tmp_path / name

    return fill


@pytest.fixture
def online(published, monkeypatch):
    """A Hub with the files of a preset; the list of the files that were downloaded."""
    with hub.online(monkeypatch, published[DISTILLED]) as downloads:
        yield downloads


def generate(pipe, **options):
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(5)
    return pipe(
        "a red circle", generator=torch.Generator().manual_seed(5), output_type="pt", **options
    ).frames


def test_a_preset_gives_a_recipe_pipeline_with_its_recipe_and_sizes(cached):
    pipe = filmstrip.load(DISTILLED, cache_dir=cached(DISTILLED), dtype=torch.float32)
    assert type(pipe) is LTXRecipePipeline
    assert pipe.recipe == PRESETS[DISTILLED].recipe
    assert (pipe.info.sampling.sampler, pipe.info.causal_positions) == ("LinearQuadratic", True)
    assert pipe.default_shape == VideoShape(704, 1216, 121, 30)
    assert pipe.default_negative_prompt.startswith("worst quality")
    assert generate(pipe, **SMALL).shape == (1, 9, 3, 64, 64)


def test_the_defaults_of_a_call_are_those_of_the_preset(cached):
    pipe = filmstrip.load("ltx-2b-0.9.1", cache_dir=cached("ltx-2b-0.9.1"), dtype=torch.float32)
    pipe.recipe = pipe.recipe.adjusted(num_inference_steps=2)
    pipe.default_shape = VideoShape(32, 64, 9, 25)
    arguments = {
        "height": 32,
        "width": 64,
        "num_frames": 9,
        "frame_rate": 25,
        "negative_prompt": pipe.default_negative_prompt,
    }
    assert torch.equal(generate(pipe), generate(pipe, **arguments))
    assert not torch.equal(generate(pipe), generate(pipe, negative_prompt="blue"))
    assert generate(pipe, num_frames=17, width=40).shape == (1, 17, 3, 32, 40)


def test_the_weights_are_bfloat16_unless_a_dtype_is_passed(cached):
    folder = cached(DISTILLED)
    pipe = filmstrip.load(DISTILLED, cache_dir=folder)
    models = (pipe.transformer, pipe.vae, pipe.text_encoder, pipe.latent_upsampler)
    assert {model.dtype for model in models} == {torch.bfloat16}
    assert (
        filmstrip.load(DISTILLED, cache_dir=folder, dtype="float32").text_encoder.dtype
        == torch.float32
    )


def test_fp8_matrices_are_converted_to_the_requested_dtype(cached):
    pipe = filmstrip.load(
        f"{DISTILLED}-fp8", cache_dir=cached(f"{DISTILLED}-fp8"), dtype=torch.float32
    )
    weight = pipe.transformer.transformer_blocks[1].attn1.to_q.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, weight.to(torch.float8_e4m3fn).float(), rtol=0, atol=0)
    unquantized = filmstrip.load(DISTILLED, cache_dir=cached(DISTILLED), dtype=torch.float32)
    assert same_weights(pipe.vae, unquantized.vae)
    torch.testing.assert_close(
        weight,
        unquantized.transformer.transformer_blocks[1].attn1.to_q.weight,
        rtol=2**-4,
        atol=2**-10,
    )


def test_only_the_files_of_a_preset_are_downloaded_after_a_warning_with_its_licence(
    online, tmp_path, caplog
):
    pipe = filmstrip.load(DISTILLED, cache_dir=tmp_path)
    assert generate(pipe, **SMALL).shape == (1, 9, 3, 64, 64)
    files = {"ltxv-2b-0.9.8-distilled.safetensors", "ltxv-spatial-upscaler-0.9.8.safetensors"}
    assert {name for name in online if "/" not in name} == files
    assert {name.split("/")[0] for name in online if "/" in name} == {"text_encoder", "tokenizer"}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(
        f"The weights of {DISTILLED} are licensed under: LTXV Open Weights 0.X (https://"
    )
    caplog.clear()
    filmstrip.load(DISTILLED, cache_dir=tmp_path, local_files_only=True)
    assert not caplog.records


def test_locating_a_preset_downloads_nothing(online, tmp_path):
    assert locate(PRESETS[DISTILLED], {"cache_dir": tmp_path}).name == hub.COMMIT
    assert online == []


def test_offline_the_error_has_a_command_for_each_incomplete_repository(published, tmp_path):
    preset_command = (
        f"hf download {REPO} ltxv-13b-0.9.7-dev-fp8.safetensors "
        "ltxv-spatial-upscaler-0.9.7.safetensors"
    )
    text_encoder_command = (
        f'hf download {TEXT_ENCODER} --include "text_encoder/*" --include "tokenizer/*"'
    )
    with pytest.raises(CheckpointError) as error:
        filmstrip.load("ltx-13b-0.9.7-dev-fp8", cache_dir=tmp_path)
    option = f"--cache-dir {tmp_path}"
    assert str(error.value).endswith(
        f"Download it with: {preset_command} {option} && {text_encoder_command} {option}"
    )
    hub.store_repository(tmp_path, TEXT_ENCODER, published[DISTILLED][TEXT_ENCODER])
    hub.store_repository(tmp_path, REPO, {"ltxv-13b-0.9.7-dev-fp8.safetensors": b"x"})
    with pytest.raises(
        CheckpointError, match=r"lacks ltxv-spatial-upscaler-0\.9\.7\.safetensors, and"
    ) as error:
        filmstrip.load("ltx-13b-0.9.7-dev-fp8", cache_dir=tmp_path)
    assert str(error.value).endswith(f"Download it with: {preset_command} {option}")


def test_an_incomplete_text_encoder_is_refused(cached, published):
    folder = cached(DISTILLED)
    shard = next(name for name in published[DISTILLED][TEXT_ENCODER] if "of-" in name)
    (CheckpointLocation(TEXT_ENCODER, cache_dir=folder).fetch(lambda names: []) / shard).unlink()
    with pytest.raises(CheckpointError, match=r"shards .* are missing.*hf download PixArt"):
        filmstrip.load(DISTILLED, cache_dir=folder)


def test_a_revision_is_that_of_the_presets_repository(published, tmp_path):
    for number, (repository, files) in enumerate(published[DISTILLED].items()):
        hub.store_repository(tmp_path, repository, files, commit=str(number) * 40)
    filmstrip.load(DISTILLED, cache_dir=tmp_path, revision="0" * 40)
    with pytest.raises(CheckpointError, match=f"--revision {'1' * 40}"):
        filmstrip.load(DISTILLED, cache_dir=tmp_path, revision="1" * 40)


def test_the_demo_is_a_preset_with_a_recipe():
    pipe = filmstrip.load("demo")
    assert type(pipe) is LTXRecipePipeline
    assert (pipe.default_shape, pipe.default_negative_prompt, pipe.dtype) == (
        VideoShape(128, 128, 25, 25),
        "",
        torch.float32,
    )
    assert (pipe.recipe.first.steps, pipe.recipe.first.guidance.scale) == (25, 4.0)
    expected = LTXPipeline.from_pretrained(demo.path()).set_timesteps(25, 64, None) / 1000
    timesteps = pipe.recipe.first.schedule(pipe.info.sampling, 64)
    torch.testing.assert_close(torch.tensor(timesteps), expected, rtol=0, atol=1e-6)


def test_a_folder_is_loaded_as_the_pipeline_that_it_names(tmp_path):
    LTXPipeline(**components()).save_pretrained(tmp_path)
    assert type(filmstrip.load(tmp_path, dtype="float32")) is LTXPipeline


def test_a_folder_is_loaded_as_a_recipe_pipeline_with_or_without_an_upsampler(tmp_path):
    models = components()
    LTXPipeline(**models).save_pretrained(tmp_path / "without")
    pipe = LTXRecipePipeline.from_pretrained(tmp_path / "without")
    assert pipe.latent_upsampler is None
    # The shift of its scheduler is 2.
    assert pipe.info.sampling.timesteps(2, 8) == pytest.approx([1.0, 2 / 3])
    pipe.latent_upsampler = LTXLatentUpsamplerModel(
        in_channels=8, mid_channels=32, num_blocks_per_stage=1
    )
    pipe.save_pretrained(tmp_path / "with")
    loaded = LTXRecipePipeline.from_pretrained(tmp_path / "with")
    assert same_weights(loaded.latent_upsampler, pipe.latent_upsampler)
    assert (loaded.info, loaded.device.type) == (pipe.info, "cpu")


def test_svd_presets_are_loaded_from_their_repository(tmp_path):
    with pytest.raises(
        CheckpointError, match="hf download stabilityai/stable-video-diffusion-img2vid-xt --include"
    ):
        filmstrip.load("svd-xt", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ltx-13b-0.9.9-dev", "did you mean .*ltx-13b-0.9.8-dev"),
        ("nothing", "`filmstrip models` lists the known ones"),
        (
            "ltxv-spatial-upscaler-0.9.8",
            r"its file is Lightricks/LTX-Video/ltxv-spatial-upscaler-0.9.8.safetensors",
        ),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        filmstrip.load(name)


def test_a_distilled_checkpoint_refuses_timesteps_that_it_does_not_know(cached):
    pipe = filmstrip.load(DISTILLED, cache_dir=cached(DISTILLED), dtype=torch.float32)
    timesteps = tuple({*pipe.recipe.first.timesteps, *pipe.recipe.second.timesteps})
    pipe.info = replace(pipe.info, allowed_timesteps=timesteps)
    generate(pipe, **SMALL)
    pipe.recipe = replace(pipe.recipe, first=replace(pipe.recipe.first, timesteps=(1.0, 0.5)))
    with pytest.raises(InputError, match=r"distilled to the timesteps .*asks for \[0.5\]"):
        generate(pipe, **SMALL)


def test_the_demo_has_one_dtype_and_it_is_float32():
    pipe = filmstrip.load("demo")
    models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    assert {model.dtype for model in models} == {torch.float32}
