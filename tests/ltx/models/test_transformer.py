"""The transformer under hooks and under torch.compile, and the inputs that it refuses."""

from collections import Counter
from typing import Any

import pytest
import torch

from filmstrip import LTXVideoTransformer3DModel
from filmstrip.errors import InputError
from filmstrip.ltx.models.transformer_blocks import Perturbation
from tests.parity.common import randomise
from tests.parity.pipelines import TRANSFORMER, pipelines, run

SCALE = (8 / 25, 32, 32)


@pytest.fixture
def model() -> LTXVideoTransformer3DModel:
    model = LTXVideoTransformer3DModel(**TRANSFORMER).eval()
    randomise(model)
    return model


def inputs(text: int = 5) -> dict[str, Any]:
    return {
        "hidden_states": torch.randn(2, 12, 6),
        "encoder_hidden_states": torch.randn(2, text, 12),
        "timestep": torch.tensor([500.0, 20.0]),
        "encoder_attention_mask": torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]),
        "num_frames": 2,
        "height": 2,
        "width": 3,
        "rope_interpolation_scale": SCALE,
    }


@torch.no_grad()
def test_compiles_in_one_graph_with_plain_arguments(model: LTXVideoTransformer3DModel) -> None:
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    call = inputs()
    torch.testing.assert_close(compiled(**call).sample, model(**call).sample, atol=1e-5, rtol=0)


@torch.no_grad()
def test_compiles_in_one_graph_with_prepared_arguments(model: LTXVideoTransformer3DModel) -> None:
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    call = inputs()
    tokens = call.pop("hidden_states")
    timestep = call.pop("timestep")
    prepared = compiled.prepare(**call)
    for shift in (0.0, 1.0):
        expected = model(tokens, timestep=timestep + shift, prepared=prepared).sample
        sample = compiled(tokens, timestep=timestep + shift, prepared=prepared).sample
        torch.testing.assert_close(sample, expected, atol=1e-5, rtol=0)


def test_pipeline_with_a_compiled_transformer_gives_the_same_frames_and_compiles_once() -> None:
    pipe, _ = pipelines()
    expected = run(pipe)
    graphs: list[int] = []

    def counting(graph: Any, example: Any) -> Any:
        graphs.append(1)
        return graph.forward

    pipe.transformer = torch.compile(pipe.transformer, fullgraph=True, backend=counting)
    torch.testing.assert_close(run(pipe), expected, atol=1e-5, rtol=0)
    assert len(graphs) == 1


def test_forward_hooks_run_on_every_module() -> None:
    pipe, _ = pipelines()
    counts: Counter[str] = Counter()
    modules = {
        name: module
        for name, module in pipe.transformer.named_modules()
        if not isinstance(module, torch.nn.ModuleList)
    }
    for name, module in modules.items():
        module.register_forward_hook(lambda *_, name=name: counts.update([name]))
    run(pipe, num_inference_steps=3)
    assert set(counts) == set(modules)
    assert counts["transformer_blocks.0.attn1"] == counts["transformer_blocks.1.ff"] == 3
    for name in ("", "transformer_blocks.0", "transformer_blocks.0.attn2"):
        assert counts[name] == 3, "once for each step: prepare is not a forward"
    assert counts["transformer_blocks.0.attn2.to_k"] == counts["rope"] == 1, (
        "step-invariant inputs were computed more than once"
    )


def test_a_hook_that_changes_an_output_changes_the_frames() -> None:
    pipe, _ = pipelines()
    before = run(pipe)
    pipe.transformer.transformer_blocks[0].attn2.to_v.register_forward_hook(
        lambda module, args, output: output * 1.5
    )
    assert not torch.allclose(run(pipe), before)


def test_prepare_runs_again_after_a_callback_changed_the_prompt_in_place() -> None:
    pipe, _ = pipelines()

    def change(
        p: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        tensors["prompt_embeds"].mul_(1.3)
        return {}

    def replace(
        p: Any, index: int, timestep: torch.Tensor, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        return {"prompt_embeds": tensors["prompt_embeds"] * 1.3}

    names = ["prompt_embeds"]
    changed = run(pipe, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)
    replaced = run(pipe, callback_on_step_end=replace, callback_on_step_end_tensor_inputs=names)
    assert torch.equal(changed, replaced)
    assert not torch.equal(changed, run(pipe))


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("timestep", "timestep is missing"),
        ("encoder_hidden_states", "The text is missing"),
        ("num_frames", "Positions are unknown"),
    ],
)
def test_a_missing_argument_is_refused_by_name(
    model: LTXVideoTransformer3DModel, missing: str, sentence: str
) -> None:
    call = inputs()
    del call[missing]
    with pytest.raises(InputError, match=sentence):
        model(**call)


@pytest.mark.parametrize("options", [{"activation_fn": "tanh"}, {"qk_norm": "layer_norm"}])
def test_an_unknown_option_is_refused_by_name(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(options.values()))):
        LTXVideoTransformer3DModel(**TRANSFORMER | options)


def test_gradients_reach_every_parameter(model: LTXVideoTransformer3DModel) -> None:
    model(**inputs()).sample.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@torch.no_grad()
@pytest.mark.parametrize("mode", ["attention_values", "attention_skip", "transformer_block"])
def test_a_perturbation_skips_its_part_only_in_its_rows_and_blocks(
    model: LTXVideoTransformer3DModel, mode: str
) -> None:
    calls: dict[str, Any] = {}
    for name in ("transformer_blocks.0", "transformer_blocks.1", "transformer_blocks.1.attn1"):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: calls.update({name: (args[0], output)})
        )
    call = inputs()
    plain = model(**call).sample
    plain_calls = dict(calls)
    rows = torch.tensor([False, True])
    perturbed = model(**call, perturbation=Perturbation(mode, (1,), rows)).sample

    assert torch.equal(perturbed[0], plain[0])
    assert not torch.allclose(perturbed[1], plain[1])
    first = "transformer_blocks.0"
    assert torch.equal(calls[first][1], plain_calls[first][1]), "another block is perturbed"
    attention = model.transformer_blocks[1].attn1
    tokens, output = (tensor[1] for tensor in calls["transformer_blocks.1.attn1"])
    block_input, block_output = (tensor[1] for tensor in calls["transformer_blocks.1"])
    if mode == "attention_values":
        torch.testing.assert_close(output, attention.to_out[0](attention.to_v(tokens)))
    elif mode == "attention_skip":
        torch.testing.assert_close(output, attention.to_out[0](tokens))
    else:
        assert torch.equal(block_output, block_input)


@torch.no_grad()
def test_residual_perturbation_changes_nothing(model: LTXVideoTransformer3DModel) -> None:
    call = inputs()
    perturbation = Perturbation("residual", (0, 1), torch.tensor([True, True]))
    assert torch.equal(model(**call, perturbation=perturbation).sample, model(**call).sample)


@torch.no_grad()
def test_forward_is_embed_blocks_and_head(model: LTXVideoTransformer3DModel) -> None:
    call = inputs()
    expected = model(**call).sample
    tokens = call.pop("hidden_states")
    timestep = call.pop("timestep")
    prepared = model.prepare(**call)
    tokens, modulation, embedded = model.embed(tokens, timestep)
    for block, keys_values in zip(model.transformer_blocks, prepared.keys_values, strict=True):
        tokens = block(tokens, modulation, prepared.rotation, keys_values, prepared.bias)
    assert torch.equal(model.head(tokens, embedded), expected)


@torch.no_grad()
def test_attention_kwargs_reach_prepare(
    model: LTXVideoTransformer3DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention_kwargs: list[Any] = []
    prepare = type(model).prepare

    def record(self: Any, *args: Any, **kwargs: Any) -> Any:
        attention_kwargs.append(kwargs.get("attention_kwargs"))
        return prepare(self, *args, **kwargs)

    monkeypatch.setattr(LTXVideoTransformer3DModel, "prepare", record)
    pipe, _ = pipelines()
    run(pipe, attention_kwargs={"scale": 0.5})
    assert attention_kwargs == [{"scale": 0.5}]


@torch.no_grad()
def test_repeated_blocks_compile_in_place(model: LTXVideoTransformer3DModel) -> None:
    call = inputs()
    expected = model(**call).sample
    graphs: list[int] = []

    def counting(graph: Any, example: Any) -> Any:
        graphs.append(1)
        return graph.forward

    model.compile_repeated_blocks(fullgraph=True, backend=counting)
    torch.testing.assert_close(model(**call).sample, expected, atol=1e-5, rtol=0)
    assert len(graphs) == 1, "blocks share the compiled code"


def test_the_compute_dtype_is_that_of_the_weights_unless_it_is_set(
    model: LTXVideoTransformer3DModel,
) -> None:
    assert model.compute_dtype == torch.float32
    assert model.half().compute_dtype == torch.float16
    assert model.to(torch.float8_e4m3fn).compute_dtype == torch.bfloat16
    model.compute_dtype = torch.float16
    assert model.compute_dtype == torch.float16
    model.compute_dtype = None
    assert model.compute_dtype == torch.bfloat16
