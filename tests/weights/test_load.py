"""The loader reads from any source of tensors, into models that transforms may change."""

import pytest
import torch
from torch import nn

from filmstrip.errors import CheckpointError
from filmstrip.weights.load import EmptyOnMeta, load_weights
from filmstrip.weights.tensor_source import RenamedSource, TensorInfo, TensorSource

from .samples import Tiny, same_weights, tiny
from .sources import BLOCK, BlockSource, DictSource, NibbleSource

CPU = torch.device("cpu")


def on_meta(build):
    with EmptyOnMeta():
        return build()


def linear(columns=8, rows=3, bias=False):
    return on_meta(lambda: nn.Sequential(nn.Linear(columns, rows, bias=bias)))


def test_any_source_of_tensors_fills_a_model():
    saved = tiny(width=5)
    source = DictSource(saved.state_dict())
    model = on_meta(lambda: Tiny(width=5))
    load_weights(model, source, CPU)
    assert same_weights(model, saved)
    assert source.reads == list(source.infos)
    assert not source.is_open


def test_floating_point_tensors_get_the_dtype_and_integers_do_not():
    model = on_meta(Tiny)
    load_weights(model, DictSource(tiny().state_dict()), CPU, torch.bfloat16)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {
        torch.bfloat16,
        torch.int64,
    }


def test_a_source_states_the_shape_and_dtype_that_it_returns_and_not_those_it_stores():
    stored = torch.randint(-8, 8, (3, 2, BLOCK + 1), dtype=torch.int8)
    model = linear()
    load_weights(model, BlockSource({"0.weight": stored}), CPU, torch.float16)
    expected = (stored[..., 1:].float() * stored[..., :1] / 64).reshape(3, 8)
    assert model[0].weight.dtype == torch.float16
    torch.testing.assert_close(model[0].weight.float(), expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(
        CheckpointError, match=r"memory holds 0\.weight of shape \(3, 8\).*\(3, 4\)"
    ):
        load_weights(linear(columns=4), BlockSource({"0.weight": stored}), CPU)
    with pytest.raises(CheckpointError, match=r"0\.weight of type INT4"):
        load_weights(linear(), NibbleSource({"0.weight": stored[:, 0, :4]}), CPU)


class QuantizedLinear(nn.Module):
    """A linear layer of 8-bit integers with one scale for each row."""

    keep_dtype = ("scale",)

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        weight = torch.empty(out_features, in_features, dtype=torch.int8)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(torch.empty(out_features, 1))

    def forward(self, x):
        return x @ (self.weight.float() * self.scale).T


class QuantizingSource(DictSource):
    """Quantises matrices of another source as they are read."""

    def __init__(self, source: TensorSource, names: list[str]) -> None:
        self.source = source
        self.names = names
        self.location = source.location
        self.infos = {**source.infos}
        for name in names:
            info = source.infos[name]
            self.infos[name] = TensorInfo(info.shape, False, "I8", name, info.location)
            scale = name.replace("weight", "scale")
            self.infos[scale] = TensorInfo((info.shape[0], 1), True, "F32", scale, info.location)

    def read(self, name, device):
        weight_name = name.replace("scale", "weight")
        weight = self.source.read(weight_name, device)
        if weight_name not in self.names:
            return weight
        scale = weight.abs().amax(dim=1, keepdim=True) / 127
        return scale if name != weight_name else (weight / scale).round().to(torch.int8)

    def __enter__(self):
        self.source.__enter__()
        return self

    def __exit__(self, *error):
        self.source.__exit__(*error)


def replace_linear_layers(model):
    """Replace the linear layers, and return the names of their weights."""
    names = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            assert module.weight.is_meta
            replacement = QuantizedLinear(module.in_features, module.out_features)
            assert replacement.weight.is_meta
            model.set_submodule(name, replacement)
            names.append(f"{name}.weight")
    return names


def quantize(model, source):
    return QuantizingSource(source, replace_linear_layers(model))


def expect_quantized(model, source):
    replace_linear_layers(model)
    return source


def test_a_transform_replaces_layers_before_reading_and_quantizes_while_reading():
    weight = torch.randn(3, 8)
    source = DictSource({"0.weight": weight})
    model = linear()
    load_weights(model, source, CPU, torch.bfloat16, transforms=[quantize])
    assert isinstance(model[0], QuantizedLinear)
    assert (model[0].weight.dtype, model[0].scale.dtype) == (torch.int8, torch.float32)
    restored = model[0].weight * model[0].scale
    torch.testing.assert_close(restored, weight, rtol=0, atol=float(weight.abs().max()) / 127)
    assert not source.is_open


def test_a_transform_loads_quantized_weights_of_a_file():
    stored = {"0.weight": torch.randint(-128, 127, (3, 8), dtype=torch.int8)}
    stored["0.scale"] = torch.rand(3, 1)
    model = linear()
    load_weights(model, DictSource(stored), CPU, torch.float16, transforms=[expect_quantized])
    assert torch.equal(model[0].weight, stored["0.weight"])
    assert torch.equal(model[0].scale, stored["0.scale"])
    stored.pop("0.scale")
    with pytest.raises(CheckpointError, match=r"memory lack 0\.scale"):
        load_weights(linear(), DictSource(stored), CPU, transforms=[expect_quantized])


def test_packed_integers_are_loaded_in_the_shape_that_the_layer_has():
    values = torch.randint(0, 16, (3, 8), dtype=torch.uint8)
    packed = values[:, ::2] | values[:, 1::2] << 4
    layer = on_meta(lambda: QuantizedLinear(8, 3))
    del layer.scale
    load_weights(layer, NibbleSource({"weight": packed}), CPU)
    assert layer.weight.dtype == torch.int8
    assert torch.equal(layer.weight, values.to(torch.int8))


def test_transforms_run_one_after_the_other():
    calls = []

    def rename(model, source):
        calls.append("rename")
        return RenamedSource(source, {"0.weight": "original"})

    def record(model, source):
        calls.append(list(source.infos))
        return source

    load_weights(
        linear(), DictSource({"original": torch.ones(3, 8)}), CPU, transforms=[rename, record]
    )
    assert calls == ["rename", ["0.weight"]]


def test_from_pretrained_takes_transforms(tmp_path):
    class Layers(Tiny):
        pass

    saved = Layers(width=5)
    saved.save_pretrained(tmp_path)

    def drop_bias(model, source):
        model.layer = nn.Linear(5, 5, bias=False)
        return source

    loaded = Layers.from_pretrained(tmp_path, transforms=[drop_bias])
    assert torch.equal(loaded.layer.weight, saved.layer.weight)
    assert loaded.layer.bias is None


def test_a_buffer_without_memory_that_no_source_has_is_named():
    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.empty(3))

    with pytest.raises(CheckpointError, match="lack mean, which Buffered needs"):
        load_weights(on_meta(Buffered), DictSource({}), CPU)


def test_nothing_is_read_if_a_shape_is_wrong():
    source = DictSource(tiny().state_dict() | {"table": torch.ones(3, 4)})
    with pytest.raises(CheckpointError, match="table of shape"):
        load_weights(on_meta(Tiny), source, CPU)
    assert source.reads == []


def test_a_renamed_source_has_only_the_tensors_that_its_names_list():
    source = DictSource({"a.one": torch.ones(2), "a.two": torch.zeros(3), "b": torch.ones(1)})
    names = {"x": "a.two", "y": "b"}
    renamed = RenamedSource(source, names)
    names["z"] = "a.one"
    assert list(renamed.infos) == ["x", "y"]
    assert renamed.infos["x"] == source.infos["a.two"]
    assert renamed.location == "memory"
    with renamed:
        assert source.is_open
        assert torch.equal(renamed.read("x", CPU), torch.zeros(3))
    assert not source.is_open
    with pytest.raises(KeyError):
        renamed.read("z", CPU)
