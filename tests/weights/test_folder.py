"""Pipeline folders: loading, saving, and refusals."""

import json

import pytest
import torch

from filmstrip.errors import CheckpointError, InputError
from filmstrip.registry import COMPONENT_CLASSES
from filmstrip.weights.folder import load_components, save_components
from filmstrip.weights.pipeline_index import PipelineIndex, is_complete, read_index

from . import samples

NAMES = ("scheduler", "vae", "text_encoder", "tokenizer", "transformer")
MODELS = ("vae", "text_encoder", "transformer")


@pytest.fixture(scope="module")
def components():
    return samples.components()


@pytest.fixture(scope="module")
def saved(components, tmp_path_factory):
    """A pipeline folder, shared by tests that do not change it."""
    folder = tmp_path_factory.mktemp("pipeline")
    save_components(folder, "LTXPipeline", components)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the pipeline folder, to change."""
    import shutil

    return shutil.copytree(saved, tmp_path / "copied")


def load(folder, passed=None, **options):
    return load_components(folder, read_index(folder), NAMES, passed or {}, **options)


def test_saved_components_are_loaded(saved, components):
    loaded = load(saved)
    assert list(loaded) == list(NAMES)
    for name in MODELS:
        assert type(loaded[name]) is type(components[name])
        assert samples.same_weights(loaded[name], components[name])
        assert not loaded[name].training
    assert loaded["scheduler"].config.shift == 2.0
    assert loaded["tokenizer"]("a a").input_ids == components["tokenizer"]("a a").input_ids


def test_the_index_has_the_class_names_of_diffusers_and_older_transformers(saved):
    assert json.loads((saved / "model_index.json").read_text()) == {
        "_class_name": "LTXPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLLTXVideo"],
    }


def test_a_t5_tokenizer_is_written_and_read_by_its_old_name(tmp_path):
    from transformers import T5TokenizerFast

    tokenizer = T5TokenizerFast(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0)], extra_ids=0
    )
    save_components(tmp_path, "LTXPipeline", {"tokenizer": tokenizer})
    index = read_index(tmp_path)
    assert index.components["tokenizer"] == ("transformers", "T5TokenizerFast")
    for name in ("T5TokenizerFast", "T5Tokenizer"):
        index = PipelineIndex("LTXPipeline", {"tokenizer": ("transformers", name)})
        loaded = load_components(tmp_path, index, NAMES, {})["tokenizer"]
        assert loaded("a").input_ids == tokenizer("a").input_ids


def test_every_component_class_can_be_imported():
    for (_, name), row in COMPONENT_CLASSES.items():
        assert row.load().__name__ in (
            name,
            row.name,
            "CLIPImageProcessorPil",
            "T5Tokenizer",
            "TokenizersBackend",
        )
    with pytest.raises(TypeError):
        COMPONENT_CLASSES["os", "system"] = next(iter(COMPONENT_CLASSES.values()))


def test_components_that_are_passed_or_null_are_not_loaded(copied):
    import shutil

    for name in ("vae", "text_encoder"):
        shutil.rmtree(copied / name)
    content = json.loads((copied / "model_index.json").read_text())
    content |= {"vae": [None, None], "extra": ["os", "system"]}
    (copied / "model_index.json").write_text(json.dumps(content))
    passed_tokenizer = object()
    loaded = load(copied, {"text_encoder": None, "tokenizer": passed_tokenizer})
    assert (loaded["vae"], loaded["text_encoder"], loaded["tokenizer"]) == (
        None,
        None,
        passed_tokenizer,
    )
    assert loaded["transformer"] is not None
    assert "extra" not in loaded
    assert list(load_components(copied, read_index(copied), ["vae", "unet"], {})) == ["vae"]


def test_none_is_saved_as_null(tmp_path):
    save_components(
        tmp_path, "LTXPipeline", {"vae": None, "scheduler": samples.components()["scheduler"]}
    )
    index = read_index(tmp_path)
    assert index.components == {
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        "vae": None,
    }
    assert not (tmp_path / "vae").exists()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (None, dict.fromkeys(MODELS, torch.float32)),
        (torch.bfloat16, dict.fromkeys(MODELS, torch.bfloat16)),
        ("float16", dict.fromkeys(MODELS, torch.float16)),
        (
            {"vae": torch.float16, "default": "bfloat16"},
            {"vae": torch.float16, "text_encoder": torch.bfloat16, "transformer": torch.bfloat16},
        ),
        (
            {"vae": torch.float16},
            {"vae": torch.float16, "text_encoder": torch.float32, "transformer": torch.float32},
        ),
    ],
)
def test_the_dtype_may_be_one_for_all_components_or_one_for_each(dtype, expected, saved):
    loaded = load(saved, dtype=dtype)
    assert {name: loaded[name].dtype for name in MODELS} == expected


def test_a_dtype_for_an_absent_component_gives_a_warning(saved, warnings):
    load(saved, dtype={"unet": torch.float16, "default": torch.float32})
    assert len(warnings) == 1
    assert "unet" in warnings[0]


def test_a_variant_is_read_where_it_exists_and_plain_weights_elsewhere(
    components, copied, warnings
):
    save_components(copied, "LTXPipeline", {"vae": components["vae"]}, variant="fp16")
    (copied / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    save_components(copied, "LTXPipeline", components | {"vae": None})
    index = PipelineIndex(
        "LTXPipeline",
        {**read_index(copied).components, "vae": ("diffusers", "AutoencoderKLLTXVideo")},
    )
    loaded = load_components(copied, index, NAMES, {}, variant="fp16")
    assert samples.same_weights(loaded["vae"], components["vae"])
    assert samples.same_weights(loaded["text_encoder"], components["text_encoder"])
    assert warnings == [
        "There are no weights of the variant fp16 for text_encoder, transformer; the plain ones "
        "are read."
    ]


def test_a_variant_of_every_component_is_saved_and_read(components, tmp_path, warnings):
    save_components(tmp_path, "LTXPipeline", components, variant="fp16", max_shard_size="20KB")
    for name in MODELS:
        weights = [path.name for path in (tmp_path / name).glob("*.safetensors")]
        assert len(weights) > 1
        assert all(".fp16-" in weight for weight in weights)
    loaded = load(tmp_path, variant="fp16")
    assert all(samples.same_weights(loaded[name], components[name]) for name in MODELS)
    assert warnings == []


def test_a_variant_that_no_component_has_is_refused(saved, components, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"You are trying to load the model files of the `variant=fp16`.*there is none",
    ):
        load(saved, variant="fp16")
    save_components(tmp_path, "LTXPipeline", components, variant="bf16")
    with pytest.raises(InputError, match=r"one that is there \(bf16\)"):
        load(tmp_path, variant="fp16")


def test_saving_again_removes_the_earlier_weights(components, copied):
    save_components(copied, "LTXPipeline", components, max_shard_size="20KB")
    assert all(samples.same_weights(load(copied)[name], components[name]) for name in MODELS)
    save_components(copied, "LTXPipeline", components)
    assert all(len([*(copied / name).iterdir()]) == 2 for name in MODELS)


def test_compiled_components_are_saved_without_the_compiled_wrapper(components, tmp_path):
    compiled = torch.compile(components["transformer"])
    save_components(tmp_path, "LTXPipeline", {"transformer": compiled})
    assert read_index(tmp_path).components["transformer"] == (
        "diffusers",
        "LTXVideoTransformer3DModel",
    )
    assert samples.same_weights(load(tmp_path)["transformer"], components["transformer"])


@pytest.mark.parametrize("component", [object(), 3, "folder"])
def test_a_component_that_cannot_be_saved_is_refused_before_writing(
    component, components, tmp_path
):
    with pytest.raises(InputError, match=r"unet is a .*cannot be saved"):
        save_components(tmp_path / "new", "LTXPipeline", {**components, "unet": component})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "tag",
    [["os", "system"], ["diffusers", "UNet2DModel"], ["custom", "LTXVideoTransformer3DModel"]],
)
def test_a_class_that_is_not_in_the_table_is_refused_unless_the_component_is_passed(tag, copied):
    content = json.loads((copied / "model_index.json").read_text()) | {"transformer": tag}
    (copied / "model_index.json").write_text(json.dumps(content))
    with pytest.raises(
        CheckpointError,
        match=f"transformer is of the class {'.'.join(tag)}.*pass it as transformer=",
    ):
        load(copied)
    assert load(copied, {"transformer": None})["transformer"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "class as None"),
        ({"_class_name": ["pipeline", "Custom"]}, "code of their own"),
        ({"_class_name": "LTXPipeline", "vae": ["diffusers"]}, "library and a class"),
        ({"_class_name": "LTXPipeline", "vae": ["diffusers", 3]}, "library and a class"),
        (
            {"_class_name": "LTXPipeline", "../vae": ["diffusers", "AutoencoderKLLTXVideo"]},
            "outside its own folder",
        ),
        (
            {"_class_name": "LTXPipeline", "..": ["diffusers", "AutoencoderKLLTXVideo"]},
            "outside its own folder",
        ),
        ([], "JSON object"),
    ],
)
def test_a_damaged_index_is_refused(content, message, tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        read_index(tmp_path)


def test_a_component_without_its_folder_is_named(copied):
    import shutil

    shutil.rmtree(copied / "vae")
    with pytest.raises(CheckpointError, match=r"no folder .*vae"):
        load(copied)


@pytest.mark.parametrize("name", MODELS)
def test_a_component_of_pickles_is_refused(name, copied):
    (weights,) = (copied / name).glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=rf"{weights.stem}\.bin: a pickle"):
        load(copied)


@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_component_is_named(name, copied):
    (weights,) = (copied / name).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=f"{weights} is not a whole safetensors file"):
        load(copied)


def test_a_text_encoder_that_lacks_weights_is_refused(copied):
    from safetensors.torch import load_file, save_file

    file = copied / "text_encoder" / "model.safetensors"
    state = load_file(file)
    state.pop("encoder.final_layer_norm.weight")
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"text_encoder lack.*encoder\.final_layer_norm\.weight"
    ):
        load(copied)


@pytest.mark.parametrize(
    "file",
    ["tokenizer/tokenizer.json", "text_encoder/config.json", "scheduler/scheduler_config.json"],
)
def test_a_damaged_json_is_a_checkpoint_error(file, copied):
    (copied / file).write_text("{")
    with pytest.raises(CheckpointError, match=file.split("/")[0]):
        load(copied)


def test_a_folder_is_complete_only_with_every_file(saved, copied):
    assert is_complete(saved)
    assert not is_complete(saved / "vae")
    (copied / "text_encoder" / "model.safetensors").unlink()
    assert not is_complete(copied)
