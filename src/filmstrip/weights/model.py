"""The base of every model: an `nn.Module` with a config, whose weights are read and written as
safetensors.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from filmstrip.config import Configurable
from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger
from filmstrip.registry import DIFFUSERS_STEM
from filmstrip.weights.hub import Source, fetch_file, split_options
from filmstrip.weights.tensors import (
    TensorInfo,
    open_tensors,
    read_headers,
    weight_files,
    write_tensors,
)

logger = get_logger(__name__)


@dataclass(frozen=True)
class OriginalCheckpoint:
    """A model in a file of its authors' layout: its config here, and the file's tensors under the
    names used here.
    """

    config: Mapping[str, Any]
    stored: Mapping[str, TensorInfo]


class Model(nn.Module, Configurable):
    """An `nn.Module` that is made from its config, and whose weights are read and written as
    safetensors.

    While `from_pretrained` runs a subclass's constructor, only `torch.empty` yields tensors without
    memory: buffers and tables may be computed. A memory format that the constructor gives to its
    parameters is kept.
    """

    config_name: ClassVar[str] = "config.json"
    _repeated_blocks: ClassVar[tuple[str, ...]] = ()  # names of block classes, as in diffusers
    _compute_dtype: torch.dtype | None = None

    @staticmethod
    def read_original_checkpoint(file: Path) -> OriginalCheckpoint:
        """What a file in the layout of the model's authors holds; of classes for which there is
        one.
        """
        raise InputError(
            "There are no single files of this kind of model here; load a folder with "
            "from_pretrained."
        )

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first floating-point parameter, or else buffer; float32 where there is
        none.
        """
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next(
            (tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32
        )

    @property
    def device(self) -> torch.device:
        """Where the first parameter, or else buffer, lies; the CPU where there is none."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of inputs and activations.

        That of the weights if it has 16 bits or more, else bfloat16, unless it was set.
        """
        if self._compute_dtype is not None:
            return self._compute_dtype
        return self.dtype if self.dtype.itemsize >= 2 else torch.bfloat16

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype | None) -> None:
        self._compute_dtype = dtype

    def compile_repeated_blocks(self, *args: Any, **kwargs: Any) -> None:
        """Compile each block that the model repeats, in place; the arguments are those of
        `torch.compile`.

        Blocks of one class share the compiled code, so that this takes less time than compiling the
        whole model.

        Raises:
            InputError: the model has no repeated blocks.
        """
        blocks = [
            module for module in self.modules() if type(module).__name__ in self._repeated_blocks
        ]
        if not blocks:
            raise InputError(
                f"{type(self).__name__} has no repeated blocks; compile it whole with "
                "torch.compile."
            )
        for block in blocks:
            block.compile(*args, **kwargs)

    def num_parameters(self, only_trainable: bool = False) -> int:
        """The number of parameters, or of those that take gradients."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: AnyPath,
        *,
        subfolder: str | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        variant: str | None = None,
        device: torch.device | str | None = None,
        device_map: torch.device | str | None = None,
        **options: Any,
    ) -> Self:
        """Read a model, in evaluation mode, from a local folder or from a repository on the Hub.

        Each tensor goes from its file to the device and type asked for before the next one is read,
        so no second copy of the model is ever in memory.

        Args:
            pretrained_model_name_or_path, subfolder: The folder or repository
                ("Lightricks/LTX-Video"), and where in it this model is ("transformer").
            dtype, torch_dtype: Type of the floating-point weights, or its name ("bfloat16"). By
                default the type that the constructor gives them, float32, whatever the file has, as
                in diffusers.
            variant: Read the weights of this variant ("fp16").
            device, device_map: Where to put the weights: one device.
            options: `HubOptions`; all others change config entries.

        Raises:
            InputError: An argument cannot be used.
            CheckpointError: Something is missing, damaged, of another model, or in a format that is
                refused.
        """
        hub, changes = split_options(options)
        where = as_device(device if device is not None else device_map)
        kind = as_dtype(dtype if dtype is not None else torch_dtype)
        source = Source(pretrained_model_name_or_path, subfolder, **hub)
        folder = source.fetch(
            lambda names: [cls.config_name, *weight_files(names, DIFFUSERS_STEM, variant)]
        )
        model = cls.from_folder(folder, dtype=kind, variant=variant, device=where, **changes)
        model.register_to_config(_name_or_path=str(pretrained_model_name_or_path))
        return model

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        dtype: torch.dtype | None = None,
        variant: str | None = None,
        device: torch.device | None = None,
        **changes: Any,
    ) -> Self:
        """Read a model from the local folder that holds config and weights: `from_pretrained`
        without the Hub.
        """
        with _EmptyOnMeta():
            model = super().from_folder(folder, **changes)
        _load(
            model,
            read_headers(folder, DIFFUSERS_STEM, variant),
            device or torch.device("cpu"),
            dtype,
            folder,
        )
        model.register_to_config(_name_or_path=str(folder))
        return model.eval()

    @classmethod
    def from_single_file(
        cls,
        pretrained_model_link_or_path_or_dict: AnyPath,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        device_map: torch.device | str | None = None,
        config: AnyPath | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> Self:
        """Read a model from a safetensors file in its authors' layout. Else arguments and errors
        are those of `from_pretrained`.

        Args:
            pretrained_model_link_or_path_or_dict: The file; or, on the Hub, its address or
                "owner/repository/file".
            config, subfolder: Take the config from this folder or repository, instead of from the
                file.
        """
        hub, changes = split_options(options)
        where = as_device(device if device is not None else device_map)
        kind = as_dtype(dtype if dtype is not None else torch_dtype)
        file = fetch_file(pretrained_model_link_or_path_or_dict, **hub)
        original = cls.read_original_checkpoint(file)
        hub["revision"] = None  # which was the file's
        said = (
            original.config
            if config is None
            else cls.load_config(config, subfolder=subfolder, **hub)
        )
        try:
            with _EmptyOnMeta():
                model = cls.from_config(said, **changes)
        except Exception as error:  # what a damaged config does to a constructor cannot be foreseen
            raise CheckpointError(
                f"{cls.__name__} cannot be made as {file} says: {error}"
            ) from error
        _load(model, original.stored, where, kind, file)
        model.register_to_config(_name_or_path=str(pretrained_model_link_or_path_or_dict))
        return model.eval()

    def save_pretrained(
        self,
        save_directory: AnyPath,
        *,
        variant: str | None = None,
        max_shard_size: int | str = "10GB",
        safe_serialization: bool = True,
    ) -> None:
        """Write config and weights into a folder, from which `from_pretrained`, and diffusers',
        read the model.

        An InputError says that the folder cannot be written, or that a weight has no memory (the
        model is offloaded or on meta).

        Args:
            variant: Name the weights as this variant ("fp16").
            max_shard_size: Above this size, in bytes or as a text like "5GB", the weights go into
                several files.
            safe_serialization: False, which in diffusers asks for pickles, gets a warning and
                safetensors.
        """
        warn_of_pickles(safe_serialization)
        state = self.state_dict()
        if bodiless := [key for key, tensor in state.items() if tensor.is_meta]:
            raise InputError(
                f"{bodiless[0]} has no memory (device meta). Load or un-offload the model to save "
                "it."
            )
        self.save_config(save_directory)
        write_tensors(Path(save_directory), state, DIFFUSERS_STEM, variant, max_shard_size)


def warn_of_pickles(safe_serialization: bool) -> None:
    """Say that `safe_serialization=False`, which in diffusers asks for pickles, changes nothing."""
    if not safe_serialization:
        logger.warning(
            "safe_serialization is False, which asks for pickles; safetensors are written all the "
            "same."
        )


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """A floating-point type from itself or its name ("bfloat16"), and None from None; else an
    InputError.
    """
    found = getattr(torch, dtype.removeprefix("torch."), dtype) if isinstance(dtype, str) else dtype
    if found is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise InputError(
            f"dtype is {dtype!r}; use torch.bfloat16, torch.float16 or torch.float32, or "
            '"bfloat16" ...'
        )
    return found


def as_device(device: torch.device | str | int | None) -> torch.device:
    """A device from itself or its name, and the CPU from None; an InputError where there is no such
    device here.
    """
    try:
        found = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f'device is {device!r}; name one device, such as "cuda", "cuda:1" or "cpu".'
        ) from error
    if found.type == "meta" or (found.type == "cuda" and not torch.cuda.is_available()):
        raise InputError(
            f"device is {device!r}, but weights cannot be put there on this machine. Use "
            "device='cpu'."
        )
    return found


class _EmptyOnMeta(TorchFunctionMode):
    """While active, `torch.empty`, with which layers make their weights, makes tensors without
    memory.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _load(
    model: Model,
    stored: Mapping[str, TensorInfo],
    device: torch.device,
    dtype: torch.dtype | None,
    place: Path,
) -> None:
    """Read the stored tensors, one at a time, into the model."""
    wanted = model.state_dict(keep_vars=True)
    _check(type(model).__name__, wanted, stored, place)
    for file in sorted({tensor.file for tensor in stored.values()}):
        with open_tensors(file, device) as tensors:
            for key in [key for key in wanted if key in stored and stored[key].file == file]:
                old = wanted[key]
                new = tensors.get_tensor(stored[key].key).to(
                    dtype if dtype and old.is_floating_point() else old.dtype
                )
                if not old.is_contiguous():  # the constructor chose a memory format
                    new = torch.empty_strided(
                        old.size(), old.stride(), dtype=new.dtype, device=device
                    ).copy_(new)
                owner, _, name = key.rpartition(".")
                model.get_submodule(owner).load_state_dict({name: new}, strict=False, assign=True)
    model.to(device)  # buffers that no file holds


def _check(
    name: str, wanted: Mapping[str, torch.Tensor], stored: Mapping[str, TensorInfo], place: Path
) -> None:
    """Compare what a model wants with what its files hold, before any tensor is read."""
    missing = [key for key in wanted if key not in stored]
    if any(isinstance(wanted[key], nn.Parameter) for key in missing):
        raise CheckpointError(
            f"The weights in {place} lack {_some(missing)}, which {name} needs with this config."
        )
    if missing:  # buffers: the constructor has set them
        logger.warning(
            "The weights in %s lack %s; they keep their initial values.", place, _some(missing)
        )
    if unexpected := [key for key in stored if key not in wanted]:
        logger.warning(
            "The weights in %s have %s, which %s does not use.", place, _some(unexpected), name
        )
    for tensor, found in ((wanted[key], stored[key]) for key in wanted if key in stored):
        if found.shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{found.file} holds {found.key} of shape {found.shape}; {name} with this config "
                "needs "
                f"{tuple(tensor.shape)}. The config and the weights are of different models."
            )
        if found.dtype.startswith(("F", "BF")) != tensor.is_floating_point():
            raise CheckpointError(
                f"{found.file} holds {found.key} of type {found.dtype}; {name} needs "
                f"{tensor.dtype} or alike."
            )


def _some(keys: list[str]) -> str:
    """Up to five keys, and how many more there are."""
    rest = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(keys[:5]) + rest
