"""Hooks run on every module of every model, so that offloading and streaming can use them."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from filmstrip.nn.hooks import register_call_hook
from tests.models import CASES, Case


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """All modules but lists of modules, which are not called."""
    return {
        name: module
        for name, module in model.named_modules()
        if not isinstance(module, nn.ModuleList)
    }


@dataclass
class Hook:
    """A call hook made of two functions."""

    before: Callable[[nn.Module], object]
    after: Callable[[nn.Module], object]


@torch.no_grad()
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_call_hooks_run_on_every_module_that_runs(case: Case) -> None:
    model = case.make()
    before: set[str] = set()
    after: set[str] = set()
    for name, module in named_modules(model).items():
        register_call_hook(
            module,
            Hook(
                lambda _, name=name: before.add(name),
                lambda _, name=name: after.add(name),
            ),
        )
    case.run(model)
    assert before == after
    idle = set(named_modules(model)) - after
    assert all(name.endswith(case.idle) for name in idle), idle
    for ending in case.idle:
        assert any(name.endswith(ending) for name in idle), f"{ending} runs, but is in `idle`"


@torch.no_grad()
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_hooks_run_on_every_module_that_runs_in_forward(case: Case) -> None:
    model = case.make()
    called: set[str] = set()
    for name, module in named_modules(model).items():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    case.run(model)
    # `encode` and `decode` do not call the `forward` of an autoencoder. Attention to a single token
    # is computed in `prepare`.
    not_in_forward = ("attn2",)
    idle = set(named_modules(model)) - called - {""}
    assert all(name.endswith((*case.idle, *not_in_forward)) for name in idle), idle


@torch.no_grad()
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_weights_are_needed_only_within_the_hooks_of_each_module(case: Case) -> None:
    """As in streaming, a module has its weights only from the start of its hook to the end."""
    model = case.make()
    torch.manual_seed(1)
    expected = case.run(model)
    weights: dict[nn.Module, dict[str, torch.Tensor]] = {}

    def load(module: nn.Module) -> None:
        for name, tensor in weights[module].items():
            module._parameters[name] = nn.Parameter(tensor.clone(), requires_grad=False)

    def unload(module: nn.Module) -> None:
        for name in weights[module]:
            module._parameters[name] = nn.Parameter(
                torch.empty_like(weights[module][name], device="meta"), requires_grad=False
            )

    for module in named_modules(model).values():
        weights[module] = {
            name: p.detach() for name, p in module._parameters.items() if p is not None
        }
        unload(module)
        register_call_hook(module, Hook(load, unload))
    torch.manual_seed(1)
    for result, expected_result in zip(case.run(model), expected, strict=True):
        assert torch.equal(result, expected_result)
    assert all(parameter.is_meta for parameter in model.parameters())


STREAMED = {
    "LTX transformer": ("transformer_blocks.0", "transformer_blocks.1"),
    "LTX VAE 0.9.5": ("encoder.down_blocks.1", "decoder.up_blocks.2", "decoder.mid_block"),
    "SVD UNet, three tokens": ("down_blocks.0", "mid_block", "up_blocks.1"),
    "SVD VAE": ("encoder.down_blocks.1", "decoder.up_blocks.0", "decoder.up_blocks.3"),
    "SVD VAE in tiles": ("encoder.down_blocks.1", "decoder.up_blocks.0", "decoder.up_blocks.3"),
}


@torch.no_grad()
@pytest.mark.parametrize(("name", "blocks"), STREAMED.items(), ids=STREAMED)
def test_a_block_s_weights_are_needed_only_within_its_hooks(
    name: str, blocks: tuple[str, ...]
) -> None:
    case = CASES[name]
    model = case.make()
    torch.manual_seed(1)
    expected = case.run(model)
    loads: list[str] = []
    for block_name in blocks:
        block = model.get_submodule(block_name)
        state = {key: tensor.clone() for key, tensor in block.state_dict().items()}

        def load(module: nn.Module, name: str = block_name, state: Any = state) -> None:
            loads.append(name)
            module.to_empty(device="cpu")
            module.load_state_dict(state)

        register_call_hook(block, Hook(load, lambda module: module.to("meta")))
        block.to("meta")
    torch.manual_seed(1)
    for result, expected_result in zip(case.run(model), expected, strict=True):
        assert torch.equal(result, expected_result)
    assert set(loads) == set(blocks)
    assert all(loads.count(block) <= 2 for block in blocks), "more than prepare and forward"


def pixels(name: str) -> torch.Tensor:
    return torch.zeros(2, 3, 32, 32) if name == "SVD VAE" else torch.zeros(1, 3, 1, 32, 32)


@torch.no_grad()
@pytest.mark.parametrize("name", ["LTX VAE 0.9.5", "SVD VAE"])
def test_call_hooks_of_an_autoencoder_run_around_encode_and_decode(name: str) -> None:
    vae: Any = CASES[name].make()
    events: list[str] = []
    handle = register_call_hook(
        vae, Hook(lambda _: events.append("before"), lambda _: events.append("after"))
    )
    CASES[name].run(vae)
    assert events == ["before", "after"] * 2
    handle.remove()
    vae.encode(pixels(name))
    assert len(events) == 4


@torch.no_grad()
@pytest.mark.parametrize("name", ["LTX transformer", "SVD UNet, one token"])
def test_forward_hooks_of_a_transformer_run_only_around_forward(name: str) -> None:
    model: Any = CASES[name].make()
    forward: list[str] = []
    calls: list[str] = []
    model.register_forward_hook(lambda *_: forward.append("forward"))
    register_call_hook(model, Hook(lambda _: calls.append("before"), lambda _: None))
    CASES[name].run(model)
    assert forward == ["forward"]
    assert calls == ["before"] * 2, "prepare, and forward"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_models_can_be_pickled(case: Case) -> None:
    model: Any = case.make()
    copy = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        torch.manual_seed(1)
        expected = case.run(model)
        torch.manual_seed(1)
        for result, expected_result in zip(case.run(copy), expected, strict=True):
            assert torch.equal(result, expected_result)
    assert copy.config == model.config
