"""Hooks that run around the methods of a module.

PyTorch's forward hooks run around `forward` only. The models of filmstrip also compute in
`prepare`, `encode` and `decode`. Code that brings a module's weights into memory (offloading,
streaming) must run before those as well. `register_call_hook` covers both: `forward`, and every
method that is marked `hookable`.

SVD's autoencoder runs its blocks in parts; `HookedCall` runs their forward hooks around the parts.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch.nn.modules.module as torch_module
from torch import nn

M = TypeVar("M", bound=nn.Module)
P = ParamSpec("P")
R = TypeVar("R")

_CALL_HOOKS = "_call_hooks"


class CallHook(Protocol):
    """The functions that `register_call_hook` runs."""

    def before(self, module: nn.Module) -> None:
        """Called before the module runs."""
        ...

    def after(self, module: nn.Module) -> None:
        """Called after the module has run, also after an error."""
        ...


class CallHookHandle:
    """Removes a call hook."""

    def __init__(self, module: nn.Module, hook: CallHook) -> None:
        self.module = module
        self.hook = hook
        before = functools.partial(_run_before, hook)
        after = functools.partial(_run_after, hook)
        self._handles = [
            module.register_forward_pre_hook(before),
            module.register_forward_hook(after, always_call=True),
        ]
        module.__dict__.setdefault(_CALL_HOOKS, []).append(hook)

    def remove(self) -> None:
        """Remove the hook from its module."""
        for handle in self._handles:
            handle.remove()
        self.module.__dict__[_CALL_HOOKS].remove(self.hook)


def register_call_hook(module: nn.Module, hook: CallHook) -> CallHookHandle:
    """Run a hook around `forward` and around each method of the module that is `hookable`.

    A hookable method that is called within `forward` runs the hook a second time, inside.

    Returns:
        A handle whose `remove` removes the hook.
    """
    return CallHookHandle(module, hook)


def hookable(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Make a method of a module run the module's call hooks, as `forward` does."""

    def call(self: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        hooks: list[CallHook] = self.__dict__.get(_CALL_HOOKS, [])
        if not hooks:
            return method(self, *args, **kwargs)
        for hook in hooks:
            hook.before(self)
        try:
            return method(self, *args, **kwargs)
        finally:
            for hook in reversed(hooks):
                hook.after(self)

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


def _run_before(hook: CallHook, module: nn.Module, args: Any) -> None:
    hook.before(module)


def _run_after(hook: CallHook, module: nn.Module, args: Any, output: Any) -> None:
    hook.after(module)


class HookedCall:
    """One call of a module whose computation is spread over several functions.

    The constructor runs the forward pre-hooks; `finish` runs the forward hooks.

    Attributes:
        args, kwargs: the arguments, as changed by the pre-hooks.
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
                continue
            changed = hook(module, self.args, self.kwargs)
            if changed is not None:
                self.args, self.kwargs = changed

    def finish(self, result: Any) -> Any:
        """Run the forward hooks. Returns the result, as changed by them."""
        for key, hook in torch_module._global_forward_hooks.items():
            with_kwargs = key in torch_module._global_forward_hooks_with_kwargs
            result = self._call(hook, with_kwargs, result)
        for key, hook in self.module._forward_hooks.items():
            with_kwargs = key in self.module._forward_hooks_with_kwargs
            result = self._call(hook, with_kwargs, result)
        return result

    def abort(self) -> None:
        """Run the forward hooks that are registered with `always_call`, after an error."""
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
