"""The base class of every model: an `nn.Module` with a config, stored as safetensors."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from filmstrip.config import Configurable
from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath
from filmstrip.logging import get_logger
from filmstrip.registry import DIFFUSERS_STEM, original_layout_reader
from filmstrip.weights.device_and_dtype import as_device, as_dtype
from filmstrip.weights.hub import CheckpointLocation, fetch_file, split_options
from filmstrip.weights.load import EmptyOnMeta, Transform, load_weights
from filmstrip.weights.safetensors_files import SafetensorsSource, write_safetensors
from filmstrip.weights.weight_files import warn_of_pickles, weight_files

logger = get_logger(__name__)


class Model(nn.Module, Configurable):
    """An `nn.Module` that is made from its config, with weights stored as safetensors.

    `from_pretrained` calls the constructor of a subclass in a context where `torch.empty` makes
    tensors without memory. Other functions work as usual, so that a constructor can compute
    buffers. The memory format that it gives to parameters is kept.
    """

    config_name: ClassVar[str] = "config.json"
    _repeated_blocks: ClassVar[tuple[str, ...]] = ()  # names of block classes, as in diffusers
    _compute_dtype: torch.dtype | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first floating-point parameter, or else buffer; float32 if none."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next(
            (tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32
        )

    @property
    def device(self) -> torch.device:
        """The device of the first parameter, or else buffer; the CPU if none."""
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
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if parameter.requires_grad or not only_trainable
        )

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
        transforms: Sequence[Transform] = (),
        **options: Any,
    ) -> Self:
        """Read a model, in evaluation mode, from a local folder or from a repository on the Hub.

        Each tensor goes from its file to its device and dtype before the next one is read, so no
        second copy of the model is ever in memory.

        Args:
            pretrained_model_name_or_path, subfolder: The folder or repository
                ("Lightricks/LTX-Video"), and where in it this model is ("transformer").
            dtype, torch_dtype: The dtype of the floating-point weights, or its name ("bfloat16").
                By default the dtype that the constructor gives them, float32, whatever the file
                has, as in diffusers.
            variant: Read the weights of this variant ("fp16").
            device, device_map: Where to put the weights: one device.
            transforms: Operations on the model before its weights are read; see `load_weights`.
            options: `HubOptions`; all others change config entries.

        Raises:
            InputError: An argument cannot be used.
            CheckpointError: Something is missing, damaged, of another model, or in a format that is
                refused.
        """
        hub, changes = split_options(options)
        target_device = as_device(device if device is not None else device_map)
        target_dtype = as_dtype(dtype if dtype is not None else torch_dtype)
        location = CheckpointLocation(pretrained_model_name_or_path, subfolder, **hub)
        folder = location.fetch(
            lambda names: [cls.config_name, *weight_files(names, DIFFUSERS_STEM, variant)]
        )
        model = cls.from_folder(
            folder,
            dtype=target_dtype,
            variant=variant,
            device=target_device,
            transforms=transforms,
            **changes,
        )
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
        transforms: Sequence[Transform] = (),
        **changes: Any,
    ) -> Self:
        """Read a model from a local folder with its config and weights.

        The arguments and the errors are those of `from_pretrained`.
        """
        with EmptyOnMeta():
            model = super().from_folder(folder, **changes)
        source = SafetensorsSource.from_folder(folder, DIFFUSERS_STEM, variant)
        load_weights(model, source, device or torch.device("cpu"), dtype, transforms)
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
        transforms: Sequence[Transform] = (),
        **options: Any,
    ) -> Self:
        """Read a model from a safetensors file in its authors' layout.

        `registry.ORIGINAL_LAYOUT_READERS` says for which classes there is such a layout. The other
        arguments and the errors are those of `from_pretrained`.

        Args:
            pretrained_model_link_or_path_or_dict: The file; or, on the Hub, its address or
                "owner/repository/file".
            config, subfolder: Take the config from this folder or repository, instead of from the
                file.
        """
        hub, changes = split_options(options)
        target_device = as_device(device if device is not None else device_map)
        target_dtype = as_dtype(dtype if dtype is not None else torch_dtype)
        read_original = original_layout_reader(cls)
        if read_original is None:
            raise InputError(
                f"There are no single files of {cls.__name__} in its authors' layout; load a "
                "folder with from_pretrained."
            )
        file = fetch_file(pretrained_model_link_or_path_or_dict, **hub)
        original = read_original(file)
        if config is None:
            entries = original.config
        else:
            hub["revision"] = None  # it is a revision of the file's repository
            entries = cls.load_config(config, subfolder=subfolder, **hub)
        try:
            with EmptyOnMeta():
                model = cls.from_config(entries, **changes)
        except Exception as error:  # a damaged config raises any exception in a constructor
            raise CheckpointError(
                f"{cls.__name__} cannot be made from the config of {file}: {error}"
            ) from error
        load_weights(model, original.source, target_device, target_dtype, transforms)
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
        """Write config and weights into a folder, from which filmstrip and diffusers read them.

        Args:
            variant: Name the weights as this variant ("fp16").
            max_shard_size: Above this size, in bytes or as a text like "5GB", the weights go into
                several files.
            safe_serialization: False, which in diffusers asks for pickles, gets a warning and
                safetensors.

        Raises:
            InputError: The folder cannot be written, or a weight has no memory: the model is
                offloaded or on meta.
        """
        warn_of_pickles(safe_serialization)
        state_dict = self.state_dict()
        on_meta = [name for name, tensor in state_dict.items() if tensor.is_meta]
        if on_meta:
            raise InputError(
                f"{on_meta[0]} has no memory (device meta). Load it, or disable offloading, to "
                "save the model."
            )
        self.save_config(save_directory)
        write_safetensors(Path(save_directory), state_dict, DIFFUSERS_STEM, variant, max_shard_size)
