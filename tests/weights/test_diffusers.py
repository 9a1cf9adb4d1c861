"""Configs, weights and folders are exchanged with diffusers."""

import json
import shutil

import diffusers
import pytest
import torch

from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from filmstrip.weights.folder import load_components, save_components
from filmstrip.weights.pipeline_index import read_index

from . import samples

MODELS = ("vae", "text_encoder", "transformer")


def public(config):
    """A config in JSON's types, without the private entries of either library."""
    return json.loads(
        json.dumps({name: value for name, value in config.items() if not name.startswith("_")})
    )


def test_a_scheduler_config_survives_a_round_trip_through_diffusers(tmp_path):
    options = {
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "shift_terminal": 0.1,
        "time_shift_type": "linear",
    }
    reference = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    reference.save_pretrained(tmp_path / "reference")
    model = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "reference")
    assert public(model.config) == public(reference.config)
    model.save_pretrained(tmp_path / "model")
    loaded = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "model")
    assert public(loaded.config) == public(reference.config)


def test_from_config_takes_configs_of_diffusers_classes_and_the_reverse():
    model = FlowMatchEulerDiscreteScheduler(shift=3.0)
    reference = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    for other in (diffusers.FlowMatchEulerDiscreteScheduler, diffusers.UniPCMultistepScheduler):
        assert public(other.from_config(model.config).config) == public(
            other.from_config(reference.config).config
        )
    converted = FlowMatchEulerDiscreteScheduler.from_config(
        diffusers.UniPCMultistepScheduler.from_config(reference.config).config
    )
    reference = diffusers.FlowMatchEulerDiscreteScheduler.from_config(
        diffusers.UniPCMultistepScheduler.from_config(reference.config).config
    )
    assert converted.config.shift == reference.config.shift == 3.0
    assert sorted(model.config._use_default_values) == sorted(reference.config._use_default_values)


def test_a_model_config_survives_a_round_trip_through_diffusers(tmp_path):
    model = samples.vae()
    model.save_config(tmp_path / "model")
    reference = diffusers.AutoencoderKLLTXVideo.from_config(
        diffusers.AutoencoderKLLTXVideo.load_config(tmp_path / "model")
    )
    assert public(reference.config) == public(model.config)
    reference.save_config(tmp_path / "reference")
    loaded = AutoencoderKLLTXVideo.from_config(
        AutoencoderKLLTXVideo.load_config(tmp_path / "reference")
    )
    assert public(loaded.config) == public(model.config)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["10GB", "20KB"])
def test_weights_survive_a_round_trip_through_diffusers(variant, size, tmp_path):
    model = samples.vae()
    model.save_pretrained(tmp_path / "model", variant=variant, max_shard_size=size)
    reference = diffusers.AutoencoderKLLTXVideo.from_pretrained(tmp_path / "model", variant=variant)
    assert samples.same_weights(reference, model)
    reference.save_pretrained(tmp_path / "reference", variant=variant, max_shard_size=size)
    names = [
        {path.name for path in (tmp_path / library).iterdir()} for library in ("model", "reference")
    ]
    assert names[0] == names[1]
    loaded = AutoencoderKLLTXVideo.from_pretrained(tmp_path / "reference", variant=variant)
    assert samples.same_weights(loaded, model)


@pytest.fixture(scope="module")
def components():
    return samples.components()


@pytest.mark.parametrize("options", [{}, {"variant": "fp16"}, {"max_shard_size": "20KB"}])
def test_a_saved_pipeline_opens_in_diffusers(options, components, tmp_path):
    save_components(tmp_path, "LTXPipeline", components, **options)
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path, variant=options.get("variant"))
    assert type(pipe) is diffusers.LTXPipeline
    assert all(samples.same_weights(getattr(pipe, name), components[name]) for name in MODELS)
    assert pipe.scheduler.config.shift == components["scheduler"].config.shift
    assert pipe.tokenizer("a a").input_ids == components["tokenizer"]("a a").input_ids


def test_a_pipeline_with_missing_components_opens_in_diffusers(components, tmp_path):
    save_components(tmp_path, "LTXPipeline", components | {"vae": None})
    pipe = diffusers.LTXPipeline.from_pretrained(tmp_path, vae=None)
    assert pipe.vae is None
    assert samples.same_weights(pipe.transformer, components["transformer"])


@pytest.mark.parametrize("options", [{}, {"variant": "fp16"}, {"max_shard_size": "20KB"}])
def test_a_pipeline_that_diffusers_saved_is_loaded(options, components, tmp_path):
    save_components(tmp_path / "model", "LTXPipeline", components)
    diffusers.LTXPipeline.from_pretrained(tmp_path / "model").save_pretrained(
        tmp_path / "reference", **options
    )
    index = read_index(tmp_path / "reference")
    assert index.class_name == "LTXPipeline"
    loaded = load_components(
        tmp_path / "reference", index, tuple(components), {}, variant=options.get("variant")
    )
    assert all(samples.same_weights(loaded[name], components[name]) for name in MODELS)
    assert public(loaded["scheduler"].config) == public(components["scheduler"].config)
    assert loaded["tokenizer"]("a a").input_ids == components["tokenizer"]("a a").input_ids


@pytest.mark.parametrize(
    "dtype", [None, torch.float16, {"vae": torch.bfloat16}, {"default": torch.bfloat16}]
)
def test_every_component_has_the_dtype_that_diffusers_gives_it(dtype, components, tmp_path):
    half = {name: value for name, value in samples.components().items() if name != "scheduler"}
    for name in MODELS:
        half[name].to(torch.bfloat16)
    save_components(tmp_path, "LTXPipeline", half | {"scheduler": components["scheduler"]})
    pipe = diffusers.LTXPipeline.from_pretrained(tmp_path, dtype=dtype)
    loaded = load_components(tmp_path, read_index(tmp_path), tuple(components), {}, dtype=dtype)
    assert {name: loaded[name].dtype for name in MODELS} == {
        name: getattr(pipe, name).dtype for name in MODELS
    }


def test_both_libraries_refuse_a_variant_that_does_not_exist(components, tmp_path):
    save_components(tmp_path, "LTXPipeline", components)
    for load in (
        lambda: diffusers.LTXPipeline.from_pretrained(tmp_path, variant="fp16"),
        lambda: load_components(
            tmp_path, read_index(tmp_path), tuple(components), {}, variant="fp16"
        ),
    ):
        with pytest.raises(
            ValueError, match="You are trying to load the model files of the `variant=fp16`"
        ):
            load()
    shutil.rmtree(tmp_path / "vae")
    samples.vae().save_pretrained(tmp_path / "vae", variant="fp16")
    pipe = diffusers.LTXPipeline.from_pretrained(tmp_path, variant="fp16")
    loaded = load_components(tmp_path, read_index(tmp_path), tuple(components), {}, variant="fp16")
    assert all(samples.same_weights(loaded[name], getattr(pipe, name)) for name in MODELS)
