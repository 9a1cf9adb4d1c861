"""Call hooks run around `forward` and around hookable methods; forward hooks around `forward`."""

import pickle
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from filmstrip.nn.hooks import hookable, register_call_hook


class Doubler(nn.Module):
    """Doubles numbers, in `forward` and in a hookable method."""

    @hookable
    def double(self, number: int, *, plus: int = 0) -> int:
        """Twice the number."""
        if number < 0:
            raise ValueError("negative")
        return 2 * number + plus

    def forward(self, number: int) -> int:
        """Twice the number, by `double`."""
        return self.double(number)


@dataclass
class Recorder:
    """Records when it is called."""

    name: str = ""
    events: list[str] = field(default_factory=list)

    def before(self, module: nn.Module) -> None:
        self.events.append(f"before {self.name}".strip())

    def after(self, module: nn.Module) -> None:
        self.events.append(f"after {self.name}".strip())


def test_a_hookable_method_without_hooks_returns_its_result() -> None:
    assert Doubler().double(2, plus=1) == 5
    assert Doubler.double.__doc__ == "Twice the number."


def test_a_call_hook_runs_around_a_hookable_method_and_around_forward() -> None:
    module = Doubler()
    hook = Recorder()
    register_call_hook(module, hook)
    assert module.double(2) == 4
    assert hook.events == ["before", "after"]
    assert module(2) == 4
    assert hook.events[2:] == ["before", "before", "after", "after"]


def test_call_hooks_are_nested_in_the_order_of_registration() -> None:
    module = Doubler()
    events: list[str] = []
    for name in ("first", "second"):
        register_call_hook(module, Recorder(name, events))
    module.double(1)
    assert events == ["before first", "before second", "after second", "after first"]


def test_a_call_hook_runs_after_an_error_too() -> None:
    module = Doubler()
    hook = Recorder()
    register_call_hook(module, hook)
    with pytest.raises(ValueError, match="negative"):
        module.double(-1)
    assert hook.events == ["before", "after"]


def test_a_removed_call_hook_runs_no_more() -> None:
    module = Doubler()
    hook = Recorder()
    register_call_hook(module, hook).remove()
    module.double(1)
    module(1)
    assert hook.events == []


def test_forward_hooks_do_not_run_around_hookable_methods() -> None:
    module = Doubler()
    outputs: list[int] = []
    module.register_forward_hook(lambda module, args, output: outputs.append(output))
    module.double(1)
    assert outputs == []
    module(1)
    assert outputs == [2]


def test_a_module_with_a_call_hook_can_be_pickled() -> None:
    module = Doubler()
    register_call_hook(module, Recorder())
    assert pickle.loads(pickle.dumps(module)).double(2) == 4


def test_a_compiled_forward_may_call_a_hookable_method() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner.prepare(x) + 1

    class Inner(nn.Module):
        @hookable
        def prepare(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    compiled = torch.compile(Outer(), fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 3.0))
