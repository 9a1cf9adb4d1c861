"""Sources of tensors in memory, for tests of the loader."""

from collections.abc import Mapping

import torch

from filmstrip.weights.tensor_source import TensorInfo


class DictSource:
    """Tensors in memory. `reads` lists the tensors that were read, while `is_open`."""

    location = "memory"

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.infos = {name: self.info(name) for name in tensors}
        self.reads: list[str] = []
        self.is_open = False

    def info(self, name: str) -> TensorInfo:
        tensor = self.tensors[name]
        return TensorInfo(
            shape=tuple(tensor.shape),
            is_floating_point=tensor.is_floating_point(),
            stored_dtype=str(tensor.dtype),
            stored_name=name,
            location=self.location,
        )

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        assert self.is_open
        self.reads.append(name)
        return self.tensors[name].to(device)

    def __enter__(self) -> "DictSource":
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False


BLOCK = 4  # values that share a scale


class BlockSource(DictSource):
    """Matrices as blocks of small integers with one scale for each, as in GGUF files.

    The stored form of `(rows, columns)` floats is `(rows, columns / BLOCK, BLOCK + 1)` integers.
    """

    def info(self, name: str) -> TensorInfo:
        rows, blocks, _ = self.tensors[name].shape
        return TensorInfo((rows, blocks * BLOCK), True, "Q_TOY", name, self.location)

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        stored = super().read(name, device)
        return (stored[..., 1:] * stored[..., :1] / 64).flatten(1)


class NibbleSource(DictSource):
    """Matrices of integers from 0 to 15, two to a byte."""

    def info(self, name: str) -> TensorInfo:
        rows, half_columns = self.tensors[name].shape
        return TensorInfo((rows, 2 * half_columns), False, "INT4", name, self.location)

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        packed = super().read(name, device)
        return torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
