"""The transformer under hooks and under torch.compile, and the inputs that it refuses."""

from typing import Any

import pytest
import torch

from filmstrip import LTXVideoTransformer3DModel
from filmstrip.errors import InputError
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
    tokens, timestep = call.pop("hidden_states"), call.pop("timestep")
    prepared = compiled.prepare(**call)
    for shift in (0.0, 1.0):
        expected = model(tokens, timestep=timestep + shift, prepared=prepared).sample
        got = compiled(tokens, timestep=timestep + shift, prepared=prepared).sample
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


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


def test_hooks_see_every_module_at_work() -> None:
    pipe, _ = pipelines()
    seen: dict[str, int] = {}
    for name, module in pipe.transformer.named_modules():
        if not isinstance(module, torch.nn.ModuleList):
            module.register_forward_hook(
                lambda *_, name=name: seen.update({name: seen.get(name, 0) + 1})
            )
    run(pipe, num_inference_steps=3)
    modules = {
        n for n, m in pipe.transformer.named_modules() if not isinstance(m, torch.nn.ModuleList)
    }
    assert set(seen) == modules
    assert seen["transformer_blocks.0.attn1"] == seen["transformer_blocks.1.ff"] == 3
    for name in ("", "transformer_blocks.0", "transformer_blocks.0.attn2"):
        assert seen[name] == 3 + 1, "once for each step, and once for prepare"
    assert seen["transformer_blocks.0.attn2.to_k"] == seen["rope"] == 1, (
        "step-invariant work was done more than once"
    )


def test_a_hook_that_changes_an_output_changes_the_frames() -> None:
    pipe, _ = pipelines()
    before = run(pipe)
    pipe.transformer.transformer_blocks[0].attn2.to_v.register_forward_hook(
        lambda module, args, output: output * 1.5
    )
    assert not torch.allclose(run(pipe), before)


def test_prepare_is_done_again_when_a_callback_changes_the_prompt_in_place() -> None:
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
def test_missing_argument_is_named(
    model: LTXVideoTransformer3DModel, missing: str, sentence: str
) -> None:
    call = inputs()
    del call[missing]
    with pytest.raises(InputError, match=sentence):
        model(**call)


@pytest.mark.parametrize("options", [{"activation_fn": "tanh"}, {"qk_norm": "layer_norm"}])
def test_unknown_option_is_named(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(options.values()))):
        LTXVideoTransformer3DModel(**TRANSFORMER | options)


def test_gradients_reach_every_parameter(model: LTXVideoTransformer3DModel) -> None:
    model(**inputs()).sample.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
