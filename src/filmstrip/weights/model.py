"""The base of every model: an `nn.Module` with a config that is read from safetensors and written to them."""

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from filmstrip.logging import get_logger
from filmstrip.weights.config import Configurable
from filmstrip.weights.hub import Source

logger = get_logger(__name__)

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


class Model(nn.Module, Configurable):
    """An `nn.Module` that is made from its config, and whose weights are read and written as safetensors."""

    config_name: ClassVar[str] = "config.json"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first floating-point parameter or buffer; float32 where there is none."""
        tensors = [*self.parameters(), *self.buffers()]
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the first parameter or buffer lies; the CPU where there is none."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def num_parameters(self, only_trainable: bool = False) -> int:
        """The number of parameters, or of those that take gradients."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        subfolder: str | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        variant: str | None = None,
        device: torch.device | str | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        force_download: bool = False,
        **changes: Any,
    ) -> Self:
        """Read a model, in evaluation mode, from a folder or from a repository on the Hub."""
        name = pretrained_model_name_or_path
        source = Source(name, subfolder, revision, cache_dir, local_files_only, token, force_download)
        folder = source.fetch([cls.config_name, WEIGHTS_NAME])
        with _EmptyOnMeta():
            model = cls.from_folder(folder, **changes)
        from safetensors.torch import load_file

        state = load_file(folder / WEIGHTS_NAME, device=str(device or "cpu"))
        dtype = dtype or torch_dtype
        if isinstance(dtype, str):
            dtype = getattr(torch, dtype)
        model.load_state_dict({k: v.to(dtype or v.dtype) for k, v in state.items()}, assign=True)
        model.register_to_config(_name_or_path=str(name))
        return model.eval()

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *, safe_serialization: bool = True
    ) -> None:
        """Write config and weights."""
        from safetensors.torch import save_file

        self.save_config(save_directory)
        state = {k: v.contiguous() for k, v in self.state_dict().items()}
        save_file(state, Path(save_directory) / WEIGHTS_NAME, metadata={"format": "pt"})


class _EmptyOnMeta(TorchFunctionMode):
    """While active, `torch.empty` makes tensors without memory, so layers make their weights at no cost.

    What a constructor computes (buffers, tables) is made with other functions and stays real.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
