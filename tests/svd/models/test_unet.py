"""SVD's UNet with hooks and with torch.compile, its memory layout, and inputs that it refuses."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from filmstrip import UNetSpatioTemporalConditionModel
from filmstrip.errors import InputError
from tests.parity.common import randomise

TINY: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 2,
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "block_out_channels": (32, 64),
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 12,
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "num_attention_heads": 4,
}


@pytest.fixture
def model() -> UNetSpatioTemporalConditionModel:
    model = UNetSpatioTemporalConditionModel(**TINY).eval()
    randomise(model)
    return model


def inputs(tokens: int = 1) -> dict[str, Any]:
    return {
        "sample": torch.randn(2, 3, 4, 6, 4),
        "timestep": torch.tensor(0.7),
        "encoder_hidden_states": torch.randn(2, tokens, 8),
        "added_time_ids": torch.tensor([[6, 127, 0.02], [5, 40, 0.3]]),
    }


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 2])
def test_prepared_inputs_give_the_same_prediction_as_arguments(
    model: UNetSpatioTemporalConditionModel, tokens: int
) -> None:
    call = inputs(tokens)
    prepared = model.prepare(call["encoder_hidden_states"], call["added_time_ids"], 3)
    for timestep in (0.7, -1.0):
        plain = model(**call | {"timestep": timestep}).sample
        assert torch.equal(model(call["sample"], timestep, prepared=prepared).sample, plain)


@torch.no_grad()
def test_compiles_in_one_graph_and_once(model: UNetSpatioTemporalConditionModel) -> None:
    graphs: list[int] = []

    def counting(graph: Any, example: Any) -> Any:
        graphs.append(1)
        return graph.forward

    compiled = torch.compile(model, fullgraph=True, backend=counting)
    call = inputs()
    prepared = compiled.prepare(call["encoder_hidden_states"], call["added_time_ids"], 3)
    for timestep in (torch.tensor(0.7), torch.tensor(-1.0)):
        expected = model(call["sample"], timestep, prepared=prepared).sample
        sample = compiled(call["sample"], timestep, prepared=prepared).sample
        torch.testing.assert_close(sample, expected, atol=1e-5, rtol=0)
    assert len(graphs) == 1
    torch.testing.assert_close(compiled(**call).sample, model(**call).sample, atol=1e-5, rtol=0)


@torch.no_grad()
def test_compiles_through_aot_autograd(model: UNetSpatioTemporalConditionModel) -> None:
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    call = inputs(tokens=2)
    torch.testing.assert_close(compiled(**call).sample, model(**call).sample, atol=1e-5, rtol=0)


@torch.no_grad()
def test_repeated_blocks_compile_in_place(model: UNetSpatioTemporalConditionModel) -> None:
    call = inputs(tokens=2)
    expected = model(**call).sample
    model.compile_repeated_blocks(backend="eager")
    compiled = [m for m in model.modules() if m._compiled_call_impl is not None]
    assert {type(m).__name__ for m in compiled} == set(model._repeated_blocks)
    torch.testing.assert_close(model(**call).sample, expected, atol=1e-5, rtol=0)


def called_modules(model: nn.Module) -> set[str]:
    """The names of the modules that are called: all but lists and identities."""
    return {
        name
        for name, module in model.named_modules()
        if not isinstance(module, nn.ModuleList | nn.Identity)
    }


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 2])
def test_forward_hooks_run_on_every_module_that_the_output_depends_on(
    model: UNetSpatioTemporalConditionModel, tokens: int
) -> None:
    counts: Counter[str] = Counter()
    for name in called_modules(model):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: counts.update([name]))
    call = inputs(tokens)
    prepared = model.prepare(call["encoder_hidden_states"], call["added_time_ids"], 3)
    for _ in range(3):
        model(call["sample"], 0.5, prepared=prepared)
    idle = called_modules(model) - set(counts)
    endings = {name.rpartition(".")[2] for name in idle}
    if tokens == 1:  # the output does not depend on queries, their norm, and keys
        assert endings == {"norm2", "attn2", "to_q", "to_k"}
        assert all(".attn2" in name or name.endswith("norm2") for name in idle)
    else:
        assert not idle
    once = {
        name
        for name in counts
        if "add_embedding" in name or "time_pos_embed" in name or "attn2.to_v" in name
    }
    assert {counts[name] for name in once} == {1}, (
        "step-invariant inputs were computed more than once"
    )
    transformer = "down_blocks.0.attentions.0"
    block = f"{transformer}.transformer_blocks.0"
    assert counts["mid_block.resnets.0"] == counts[f"{block}.ff"] == 3
    for name in ("", "down_blocks.0", "mid_block", transformer, block):
        assert counts[name] == 3, "once for each step: prepare is not a forward"


@torch.no_grad()
def test_a_hook_that_changes_an_output_changes_the_prediction(
    model: UNetSpatioTemporalConditionModel,
) -> None:
    call = inputs()
    expected = model(**call).sample
    model.mid_block.attentions[0].temporal_transformer_blocks[0].attn1.register_forward_hook(
        lambda module, args, output: output * 0
    )
    assert (model(**call).sample - expected).abs().max() > 1e-3


@torch.no_grad()
def test_activations_and_weights_stay_channels_last(
    model: UNetSpatioTemporalConditionModel,
) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last), name
        if isinstance(module, nn.Conv3d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last_3d), name
    checked: list[str] = []

    def hook(name: str) -> Any:
        def check(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for tensor in (*args, output):
                if isinstance(tensor, torch.Tensor) and tensor.ndim in (4, 5):
                    checked.append(name)
                    rows = tensor.movedim(1, -1)
                    assert rows.is_contiguous(), (
                        f"{name} has {tuple(tensor.shape)} with strides {tensor.stride()}"
                    )

        return check

    for name, module in model.named_children():
        for inner_name, inner in module.named_modules(prefix=name):
            inner.register_forward_hook(hook(inner_name))
    model(**inputs())
    assert len(set(checked)) > 50


def test_saving_and_loading_keeps_layout_and_numbers(
    model: UNetSpatioTemporalConditionModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    loaded = UNetSpatioTemporalConditionModel.from_pretrained(tmp_path)
    call = inputs()
    with torch.no_grad():
        assert torch.equal(loaded(**call).sample, model(**call).sample)
    assert loaded.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "block of another family": (
        {"down_block_types": ("DownBlock2D", "DownBlock2D")},
        "'DownBlock2D'",
    ),
    "up block of another family": ({"up_block_types": ("UpBlock3D", "UpBlock3D")}, "'UpBlock3D'"),
    "too few blocks": ({"up_block_types": ("UpBlockSpatioTemporal",)}, "up_block_types"),
    "too many heads": ({"num_attention_heads": (4, 8, 8)}, "num_attention_heads"),
    "heads that do not divide": ({"num_attention_heads": 5}, "num_attention_heads is 5"),
    "too few layers": ({"layers_per_block": (1,)}, "layers_per_block"),
    "too few contexts": ({"cross_attention_dim": (8,)}, "cross_attention_dim"),
    "too few depths": ({"transformer_layers_per_block": (1,)}, "transformer_layers_per_block"),
    "too few depths in a block": ({"transformer_layers_per_block": ((1,), (1,))}, "2 transformers"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_config_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        UNetSpatioTemporalConditionModel(**TINY | changes)


def test_a_wrong_call_is_refused(model: UNetSpatioTemporalConditionModel) -> None:
    call = inputs()
    with pytest.raises(InputError, match="Give encoder_hidden_states"):
        model(call["sample"], 0.5)
    prepared = model.prepare(call["encoder_hidden_states"], call["added_time_ids"], 4)
    with pytest.raises(InputError, match="3 frames"):
        model(call["sample"], 0.5, prepared=prepared)
    with pytest.raises(InputError, match="has 2 values"):
        model.prepare(call["encoder_hidden_states"], call["added_time_ids"][:, :2], 3)
    with pytest.raises(InputError, match="dim is 2"):
        model.enable_forward_chunking(2, dim=2)
