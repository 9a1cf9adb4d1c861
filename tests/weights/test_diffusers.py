"""Configs, weights and folders, to and from stock diffusers."""

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
    """A config without what only one library writes, in JSON's types."""
    return json.loads(json.dumps({k: v for k, v in config.items() if not k.startswith("_")}))


def test_a_scheduler_config_survives_a_round_trip_through_diffusers(tmp_path):
    options = {
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "shift_terminal": 0.1,
        "time_shift_type": "linear",
    }
    stock = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    stock.save_pretrained(tmp_path / "stock")
    ours = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "stock")
    assert public(ours.config) == public(stock.config)
    ours.save_pretrained(tmp_path / "ours")
    again = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "ours")
    assert public(again.config) == public(stock.config)


def test_from_config_takes_configs_of_diffusers_classes_and_the_reverse():
    ours = FlowMatchEulerDiscreteScheduler(shift=3.0)
    stock = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    for other in (diffusers.FlowMatchEulerDiscreteScheduler, diffusers.UniPCMultistepScheduler):
        assert public(other.from_config(ours.config).config) == public(
            other.from_config(stock.config).config
        )
    back = FlowMatchEulerDiscreteScheduler.from_config(
        diffusers.UniPCMultistepScheduler.from_config(stock.config).config
    )
    stock = diffusers.FlowMatchEulerDiscreteScheduler.from_config(
        diffusers.UniPCMultistepScheduler.from_config(stock.config).config
    )
    assert back.config.shift == stock.config.shift == 3.0
    assert sorted(ours.config._use_default_values) == sorted(stock.config._use_default_values)


def test_a_model_config_survives_a_round_trip_through_diffusers(tmp_path):
    ours = samples.vae()
    ours.save_config(tmp_path / "ours")
    stock = diffusers.AutoencoderKLLTXVideo.from_config(
        diffusers.AutoencoderKLLTXVideo.load_config(tmp_path / "ours")
    )
    assert public(stock.config) == public(ours.config)
    stock.save_config(tmp_path / "stock")
    again = AutoencoderKLLTXVideo.from_config(AutoencoderKLLTXVideo.load_config(tmp_path / "stock"))
    assert public(again.config) == public(ours.config)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["10GB", "20KB"])
def test_weights_survive_a_round_trip_through_diffusers(variant, size, tmp_path):
    ours = samples.vae()
    ours.save_pretrained(tmp_path / "ours", variant=variant, max_shard_size=size)
    stock = diffusers.AutoencoderKLLTXVideo.from_pretrained(tmp_path / "ours", variant=variant)
    assert samples.same_weights(stock, ours)
    stock.save_pretrained(tmp_path / "stock", variant=variant, max_shard_size=size)
    names = [
        {path.name for path in (tmp_path / library).iterdir()} for library in ("ours", "stock")
    ]
    assert names[0] == names[1]
    again = AutoencoderKLLTXVideo.from_pretrained(tmp_path / "stock", variant=variant)
    assert samples.same_weights(again, ours)


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
    save_components(tmp_path / "ours", "LTXPipeline", components)
    diffusers.LTXPipeline.from_pretrained(tmp_path / "ours").save_pretrained(
        tmp_path / "stock", **options
    )
    index = read_index(tmp_path / "stock")
    assert index.class_name == "LTXPipeline"
    read = load_components(
        tmp_path / "stock", index, tuple(components), {}, variant=options.get("variant")
    )
    assert all(samples.same_weights(read[name], components[name]) for name in MODELS)
    assert public(read["scheduler"].config) == public(components["scheduler"].config)
    assert read["tokenizer"]("a a").input_ids == components["tokenizer"]("a a").input_ids


@pytest.mark.parametrize(
    "dtype", [None, torch.float16, {"vae": torch.bfloat16}, {"default": torch.bfloat16}]
)
def test_every_component_has_the_dtype_that_diffusers_gives_it(dtype, components, tmp_path):
    half = {name: value for name, value in samples.components().items() if name != "scheduler"}
    for name in MODELS:
        half[name].to(torch.bfloat16)
    save_components(tmp_path, "LTXPipeline", half | {"scheduler": components["scheduler"]})
    pipe = diffusers.LTXPipeline.from_pretrained(tmp_path, dtype=dtype)
    read = load_components(tmp_path, read_index(tmp_path), tuple(components), {}, dtype=dtype)
    assert {name: read[name].dtype for name in MODELS} == {
        name: getattr(pipe, name).dtype for name in MODELS
    }


def test_both_libraries_refuse_a_variant_that_is_not_there(components, tmp_path):
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
    read = load_components(tmp_path, read_index(tmp_path), tuple(components), {}, variant="fp16")
    assert all(samples.same_weights(read[name], getattr(pipe, name)) for name in MODELS)
