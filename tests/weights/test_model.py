"""Loading and saving models."""

import json
import weakref

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights import model as module
from filmstrip.weights.model import Model

from .samples import Steps, Tiny, same_weights, tiny

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def saved(tmp_path):
    """A folder with a `Tiny` that was saved in it."""
    tiny(width=5).save_pretrained(tmp_path)
    return tmp_path


def edit(folder, change, name=WEIGHTS):
    state = load_file(folder / name)
    change(state)
    save_file(state, folder / name)


def test_a_saved_model_is_loaded(tmp_path):
    saved = tiny(width=5, widths=(2, 3))
    saved.save_pretrained(tmp_path / "a" / "b")
    loaded = Tiny.from_pretrained(tmp_path / "a", subfolder="b")
    x = torch.randn(3, 5)
    assert same_weights(loaded, saved)
    assert torch.equal(loaded(x), saved(x))
    assert (loaded.config.width, loaded.config.widths) == (5, [2, 3])
    assert loaded.config._name_or_path == str(tmp_path / "a")
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_tensors_that_the_constructor_computes_are_kept(saved):
    loaded = Tiny.from_pretrained(saved)
    built = Tiny(width=5)
    assert torch.equal(loaded.frequencies, built.frequencies)
    assert torch.equal(loaded.scales, built.scales)
    assert not any(
        tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers(), loaded.scales]
    )


def test_a_memory_format_that_the_constructor_chose_is_kept_and_not_saved(saved):
    loaded = Tiny.from_pretrained(saved)
    assert loaded.conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(loaded.conv.weight, tiny(width=5).conv.weight)
    assert torch.equal(load_file(saved / WEIGHTS)["conv.weight"], loaded.conv.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize(
    "spelling", [lambda dtype: dtype, str, lambda dtype: str(dtype).removeprefix("torch.")]
)
def test_every_spelling_of_a_dtype_is_accepted(dtype, name, spelling, saved):
    loaded = Tiny.from_pretrained(saved, **{name: spelling(dtype)})
    assert loaded.dtype == dtype
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {dtype, torch.int64}
    assert loaded.frequencies.dtype == torch.float32  # computed, not read
    assert torch.equal(loaded.table, tiny(width=5).table.to(dtype))


def test_without_a_dtype_weights_are_float32_whatever_the_file_has(tmp_path):
    tiny().to(torch.bfloat16).save_pretrained(tmp_path)
    assert load_file(tmp_path / WEIGHTS)["table"].dtype == torch.bfloat16
    assert Tiny.from_pretrained(tmp_path).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["int8", "banana", torch.int32, 16, "__name__"])
def test_only_floating_point_dtypes_are_accepted(dtype, saved):
    with pytest.raises(InputError, match="dtype is"):
        Tiny.from_pretrained(saved, dtype=dtype)


@pytest.mark.parametrize("device", ["gpu", "auto", "meta", {"": 0}, "cuda:banana"])
@pytest.mark.parametrize("name", ["device", "device_map"])
def test_only_devices_of_this_machine_are_accepted(device, name, saved):
    with pytest.raises(InputError, match="device is"):
        Tiny.from_pretrained(saved, **{name: device})
    assert Tiny.from_pretrained(saved, **{name: "cpu"}).device == torch.device("cpu")


def test_a_variant_is_read_only_on_request(tmp_path):
    tiny().save_pretrained(tmp_path, variant="fp16")
    assert same_weights(Tiny.from_pretrained(tmp_path, variant="fp16"), tiny())
    with pytest.raises(
        CheckpointError, match=r"nor diffusion_pytorch_model\.safetensors.* pass variant='fp16'"
    ):
        Tiny.from_pretrained(tmp_path)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_all_shards_are_read(variant, tmp_path):
    tiny(width=8).save_pretrained(tmp_path, max_shard_size=300, variant=variant)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert same_weights(Tiny.from_pretrained(tmp_path, variant=variant), tiny(width=8))


def test_config_entries_may_be_changed_while_reading(saved):
    assert Tiny.from_pretrained(saved, widths=(7,)).config.widths == (7,)
    with pytest.raises(
        CheckpointError, match=r"table of shape \(2, 5\); Tiny with this config needs \(2, 6\)"
    ):
        Tiny.from_pretrained(saved, width=6)


def test_loading_options_of_diffusers_that_change_nothing_are_ignored_silently(saved, warnings):
    Tiny.from_pretrained(saved, low_cpu_mem_usage=False, use_safetensors=True, disable_mmap=False)
    assert warnings == []
    with pytest.raises(InputError, match="pickles"):
        Tiny.from_pretrained(saved, use_safetensors=False)


def test_pickles_are_not_written(tmp_path, warnings):
    tiny().save_pretrained(tmp_path, safe_serialization=False)
    assert "safetensors are written" in warnings[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", WEIGHTS]


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_loading_keeps_no_second_copy_in_memory(dtype, saved, monkeypatch):
    alive: list[weakref.ref] = []
    not_on_meta: list[str] = []
    peak = 0

    class CountingFile:
        def __init__(self, *args, **kwargs):
            self.file = safe_open(*args, **kwargs)

        def __enter__(self):
            self.tensors = self.file.__enter__()
            return self

        def __exit__(self, *args):
            return self.file.__exit__(*args)

        def __getattr__(self, name):
            return getattr(self.tensors, name)

        def get_tensor(self, key):
            nonlocal peak
            if not alive:
                not_on_meta.extend(
                    name for name, parameter in built[0].named_parameters() if not parameter.is_meta
                )
            peak = max(peak, sum(ref() is not None for ref in alive))
            tensor = self.tensors.get_tensor(key)
            alive.append(weakref.ref(tensor))
            return tensor

    built: list[nn.Module] = []
    load = module.load_weights
    safe_open = safetensors.safe_open
    monkeypatch.setattr(safetensors, "safe_open", CountingFile)
    monkeypatch.setattr(
        module, "load_weights", lambda model, *rest: (built.append(model), load(model, *rest))
    )
    loaded = Tiny.from_pretrained(saved, dtype=dtype)
    assert len(alive) == len(loaded.state_dict())
    assert not_on_meta == ["table"]  # made from random numbers, not from torch.empty
    # Tensors that became parameters of the model without a copy.
    kept = sum(ref() is not None for ref in alive)
    assert peak <= kept + 1
    if dtype:
        assert peak <= 2  # the previous one, and integers that need no conversion


def test_a_model_without_weights_has_a_dtype_and_a_device():
    class Empty(Model):
        def __init__(self) -> None:
            super().__init__()

    model = Empty()
    assert (model.dtype, model.device, model.num_parameters()) == (
        torch.float32,
        torch.device("cpu"),
        0,
    )
    model.register_buffer("mean", torch.zeros(2, dtype=torch.float16))
    assert model.dtype == torch.float16


def test_parameters_are_counted():
    model = tiny(width=4)
    assert model.num_parameters() == sum(parameter.numel() for parameter in model.parameters())
    model.table.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == model.num_parameters() - 8


def test_saving_over_the_folder_that_was_read_keeps_the_weights(saved):
    loaded = Tiny.from_pretrained(saved)
    loaded.save_pretrained(saved)
    assert same_weights(loaded, tiny(width=5))
    assert same_weights(Tiny.from_pretrained(saved), tiny(width=5))


def test_a_model_without_memory_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="table has no memory"):
        tiny().to("meta").save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_named(saved):
    edit(saved, lambda state: (state.pop("table"), state.pop("layer.bias")))
    with pytest.raises(CheckpointError, match=r"lack layer\.bias, table|lack table, layer\.bias"):
        Tiny.from_pretrained(saved)


def test_a_missing_buffer_keeps_its_initial_value_with_a_warning(saved, warnings):
    edit(saved, lambda state: state.pop("mean"))
    assert torch.equal(Tiny.from_pretrained(saved).mean, Tiny(width=5).mean)
    assert "lack mean" in warnings[0]


def test_unexpected_weights_are_left_with_a_warning(saved, warnings):
    edit(saved, lambda state: state.update({f"more.{i}": torch.ones(1) for i in range(7)}))
    assert same_weights(Tiny.from_pretrained(saved), tiny(width=5))
    assert (
        "more.0, more.1, more.2, more.3, more.4 and 2 more, which Tiny does not use" in warnings[0]
    )


def test_weights_of_another_shape_are_named_with_file_key_and_shapes(saved):
    edit(saved, lambda state: state.update(table=torch.ones(3, 5)))
    with pytest.raises(
        CheckpointError, match=rf"{WEIGHTS} holds table of shape \(3, 5\); .* needs\s\(2, 5\)"
    ):
        Tiny.from_pretrained(saved)


@pytest.mark.parametrize(
    ("key", "dtype"), [("table", torch.int8), ("count", torch.float32), ("table", torch.bool)]
)
def test_weights_of_another_class_of_dtype_are_named(key, dtype, saved):
    edit(saved, lambda state: state.update({key: state[key].to(dtype)}))
    with pytest.raises(CheckpointError, match=f"holds {key} of type"):
        Tiny.from_pretrained(saved)


def test_narrow_floats_are_widened(saved):
    edit(saved, lambda state: state.update(table=state["table"].to(torch.float8_e4m3fn)))
    assert torch.equal(
        Tiny.from_pretrained(saved).table, tiny(width=5).table.to(torch.float8_e4m3fn).float()
    )


def test_a_config_that_does_not_fit_the_class_is_refused(saved):
    (saved / "config.json").write_text(json.dumps({"width": -3}))
    with pytest.raises(CheckpointError, match=r"Tiny cannot be made from .*config\.json"):
        Tiny.from_pretrained(saved)


def test_plain_objects_with_a_config_are_no_models(tmp_path):
    with pytest.raises(CheckpointError, match=r"scheduler_config\.json"):
        Steps.from_pretrained(tmp_path)
