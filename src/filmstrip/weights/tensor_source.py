"""Sources of tensors by name: how the loader sees a checkpoint of any file format.

To read another format (GGUF, packed integers), write another `TensorSource`. Models and the loader
stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import torch


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a source, described before it is read.

    `shape` and `is_floating_point` are those of the tensor that `TensorSource.read` returns. How a
    file packs it (blocks of a GGUF file, two integers in a byte) is a matter of the source.
    """

    shape: tuple[int, ...]
    is_floating_point: bool
    stored_dtype: str  # the format's own name, for messages: "BF16", "Q4_K"
    stored_name: str  # the name in the file, for messages
    location: str  # the file, for messages


class TensorSource(Protocol):
    """Tensors that can be read by name. Enter it as a context manager before reading."""

    @property
    def location(self) -> str:
        """The folder or file that the tensors come from, for messages."""
        ...

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Every tensor by name, in the order in which reading is fastest."""
        ...

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        """Read one tensor onto a device.

        Raises:
            CheckpointError: Its file is damaged.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class RenamedSource:
    """A view of a source that has some of its tensors, under other names.

    Args:
        source: The source to read from.
        names: The name in `source` for each new name. Other tensors are left out.
    """

    def __init__(self, source: TensorSource, names: Mapping[str, str]) -> None:
        self._source = source
        self._names = dict(names)
        self.infos: Mapping[str, TensorInfo] = {
            name: source.infos[original] for name, original in self._names.items()
        }

    @property
    def location(self) -> str:
        """The folder or file that the tensors come from."""
        return self._source.location

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        """Read the tensor with the new name `name`."""
        return self._source.read(self._names[name], device)

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._source.__exit__(error_type, error, traceback)


@dataclass(frozen=True)
class OriginalCheckpoint:
    """A model from a file in its authors' layout: config, and tensors by diffusers' names."""

    config: Mapping[str, Any]
    source: TensorSource
