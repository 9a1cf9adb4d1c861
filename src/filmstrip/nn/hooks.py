"""Forward hooks around other methods than `forward`.

Offloading, streaming of weights and profiling act on a module from outside, through its forward
hooks. `nn.Module.__call__` runs those around `forward` only. The models here also work in
`prepare`, `encode` and `decode`, and SVD's autoencoder runs its blocks in parts; this module makes
hooks run there too.

Hooks get what they get around `forward`: the arguments, and the result of the method. Both may be
replaced by what a hook returns.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch.nn.modules.module as torch_module
from torch import nn

M = TypeVar("M", bound=nn.Module)
P = ParamSpec("P")
R = TypeVar("R")


def hookable(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Make a method run the forward hooks of its module, as a call of the module does.

    Methods of the same module that call each other must not both run the hooks: a hook that frees
    weights after the inner one would take them from the outer. Call an undecorated method inside.
    """

    def call(self: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not has_hooks(self):
            return method(self, *args, **kwargs)
        hooked = HookedCall(self, args, kwargs)
        try:
            result = method(self, *hooked.args, **hooked.kwargs)
        except BaseException:
            hooked.abort()
            raise
        return hooked.finish(result)

    functools.update_wrapper(call, method)
    return call


def has_hooks(module: nn.Module) -> bool:
    """Whether any forward hook, global ones included, would run when the module is called."""
    return bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or torch_module._global_forward_pre_hooks
        or torch_module._global_forward_hooks
    )


class HookedCall:
    """One call of a module, for work that is spread over several functions.

    The constructor runs the forward pre-hooks; `finish` runs the forward hooks.

    Attributes:
        args, kwargs: the arguments, as the pre-hooks left them.
    """

    def __init__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        self.module = module
        self.args: Any = args
        self.kwargs: Any = kwargs or {}
        for hook in torch_module._global_forward_pre_hooks.values():
            self._replace_args(hook(module, self.args))
        for key, hook in module._forward_pre_hooks.items():
            if key not in module._forward_pre_hooks_with_kwargs:
                self._replace_args(hook(module, self.args))
            elif (changed := hook(module, self.args, self.kwargs)) is not None:
                self.args, self.kwargs = changed

    def finish(self, result: Any) -> Any:
        """Run the forward hooks, and return the result as they leave it."""
        for key, hook in torch_module._global_forward_hooks.items():
            with_kwargs = key in torch_module._global_forward_hooks_with_kwargs
            result = self._call(hook, with_kwargs, result)
        for key, hook in self.module._forward_hooks.items():
            with_kwargs = key in self.module._forward_hooks_with_kwargs
            result = self._call(hook, with_kwargs, result)
        return result

    def abort(self) -> None:
        """Run the forward hooks that are to be called always (`always_call`), after an error."""
        for key in self.module._forward_hooks_always_called:
            hook = self.module._forward_hooks[key]
            self._call(hook, key in self.module._forward_hooks_with_kwargs, None)

    def _replace_args(self, changed: Any) -> None:
        if changed is not None:
            self.args = changed if isinstance(changed, tuple) else (changed,)

    def _call(self, hook: Callable[..., Any], with_kwargs: bool, result: Any) -> Any:
        if with_kwargs:
            changed = hook(self.module, self.args, self.kwargs, result)
        else:
            changed = hook(self.module, self.args, result)
        return result if changed is None else changed
