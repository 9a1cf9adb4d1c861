"""Hooks around other methods than `forward` get and may change what hooks around `forward` do."""

from typing import Any

import pytest
import torch
from torch import nn

from filmstrip.nn.hooks import hookable


class Doubler(nn.Module):
    """Doubles numbers, in a method that runs hooks."""

    @hookable
    def double(self, number: int, *, plus: int = 0) -> int:
        """Twice the number."""
        if number < 0:
            raise ValueError("negative")
        return 2 * number + plus


def test_a_method_without_hooks_is_itself() -> None:
    assert Doubler().double(2, plus=1) == 5
    assert Doubler.double.__doc__ == "Twice the number."


def test_hooks_may_replace_arguments_and_result() -> None:
    module = Doubler()
    module.register_forward_pre_hook(lambda module, args: args[0] + 1)
    module.register_forward_pre_hook(
        lambda module, args, kwargs: (args, kwargs | {"plus": 100}), with_kwargs=True
    )
    seen: list[Any] = []
    module.register_forward_hook(lambda module, args, output: seen.append((args, output)))
    module.register_forward_hook(
        lambda module, args, kwargs, output: output + kwargs["plus"], with_kwargs=True
    )
    assert module.double(2) == 206
    assert seen == [((3,), 106)]


def test_hooks_with_and_without_keywords_get_what_those_of_forward_get() -> None:
    module = Doubler()
    seen: list[Any] = []
    module.register_forward_pre_hook(lambda *args: seen.append(args))
    module.register_forward_pre_hook(lambda *args: seen.append(args), with_kwargs=True)
    module.register_forward_hook(lambda *args: seen.append(args))
    module.register_forward_hook(lambda *args: seen.append(args), with_kwargs=True)
    assert module.double(2, plus=1) == 5
    assert seen == [
        (module, (2,)),
        (module, (2,), {"plus": 1}),
        (module, (2,), 5),
        (module, (2,), {"plus": 1}, 5),
    ]


def test_hooks_run_in_the_order_of_torch() -> None:
    order: list[str] = []
    module = Doubler()
    module.register_forward_hook(lambda *_: order.append("second"))
    module.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    before = nn.modules.module.register_module_forward_pre_hook(lambda *_: order.append("global"))
    after = nn.modules.module.register_module_forward_hook(lambda *_: order.append("global"))
    module.double(1)
    before.remove()
    after.remove()
    assert order == ["global", "global", "first", "second"]
    module.double(1)
    assert order[4:] == ["first", "second"]


def test_only_hooks_that_are_always_called_run_after_an_error() -> None:
    ran: list[str] = []
    module = Doubler()
    module.register_forward_hook(lambda *_: ran.append("plain"))
    module.register_forward_hook(lambda *_: ran.append("always"), always_call=True)
    with pytest.raises(ValueError, match="negative"):
        module.double(-1)
    assert ran == ["always"]


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
