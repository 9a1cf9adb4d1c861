"""Safetensors files: reading tensors by name, and writing them."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import is_plain_name, make_folder, read_json, replacing, write_json
from filmstrip.weights.tensor_source import TensorInfo
from filmstrip.weights.weight_files import missing_weights_message, weight_file_names


class SafetensorsSource:
    """The tensors of one safetensors file, or of several shards, by name: a `TensorSource`.

    The constructor reads the headers. Only one file is open at a time, so that the operating system
    can free the memory of files that were read.
    """

    def __init__(self, files: Sequence[Path], location: Path) -> None:
        self._location = location
        self._metadata: dict[str, str] = {}
        self._infos: dict[str, TensorInfo] = {}
        self._files: dict[str, Path] = {}
        self._open_file: Path | None = None
        self._open_device: torch.device | None = None
        self._tensors: Any = None
        self._stack = contextlib.ExitStack()
        for file in files:
            infos, metadata = _read_header(file)
            self._infos |= infos
            self._metadata |= metadata
            self._files |= dict.fromkeys(infos, file)

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """The tensors of one file.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        return cls([file], file)

    @classmethod
    def from_folder(cls, folder: Path, stem: str, variant: str | None = None) -> Self:
        """The weights in a folder.

        Args:
            folder: A local folder.
            stem: The stem of the file names; see `weight_files`.
            variant: The variant of the file names.

        Raises:
            CheckpointError: The folder has no such weights, or a file is missing, damaged, or
                outside the folder.
        """
        names = []
        if folder.is_dir():
            names = [path.name for path in folder.iterdir() if path.is_file()]
        expected = weight_file_names(stem, variant)
        if expected.index in names:
            return cls(_indexed_files(folder / expected.index), folder)
        if expected.single in names:
            return cls([folder / expected.single], folder)
        raise CheckpointError(missing_weights_message(folder, names, stem, variant))

    @property
    def location(self) -> str:
        """The folder or file that the tensors come from."""
        return str(self._location)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of the file."""
        return self._metadata

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Every tensor by name, file after file."""
        return self._infos

    def read(self, name: str, device: torch.device) -> torch.Tensor:
        """Read one tensor onto a device.

        Raises:
            CheckpointError: Its file is damaged.
        """
        file = self._files[name]
        if (file, device) != (self._open_file, self._open_device):
            self._stack.close()
            self._tensors = self._stack.enter_context(_open_safetensors(file, device))
            self._open_file = file
            self._open_device = device
        with _checkpoint_errors(file):
            tensor: torch.Tensor = self._tensors.get_tensor(name)
        return tensor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tensors = None
        self._open_file = None
        self._open_device = None
        self._stack.close()


def write_safetensors(
    folder: Path,
    state_dict: Mapping[str, torch.Tensor],
    stem: str,
    variant: str | None,
    max_shard_size: int | str,
) -> None:
    """Write tensors to one file, or to shards and an index. Weights of an earlier save are removed.

    Args:
        folder: The folder to write to, which is made if it does not exist.
        state_dict: The tensors.
        stem, variant: The stem and the variant of the file names; see `weight_files`.
        max_shard_size: The size of a shard in bytes, or as a text such as "10GB".

    Raises:
        InputError: `max_shard_size` is invalid, or the folder cannot be written.
    """
    from huggingface_hub import split_torch_state_dict_into_shards

    names = weight_file_names(stem, variant)
    pattern = names.single.removesuffix(".safetensors") + "{suffix}.safetensors"
    try:
        if not isinstance(max_shard_size, str) and max_shard_size < 1:
            raise ValueError("nothing fits")
        split = split_torch_state_dict_into_shards(
            dict(state_dict), filename_pattern=pattern, max_shard_size=max_shard_size
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f'max_shard_size is {max_shard_size!r}; give bytes or a text like "5GB".'
        ) from error
    folder = make_folder(folder)
    for name, keys in split.filename_to_tensors.items():
        _write_file(folder / name, {key: state_dict[key].contiguous() for key in keys})
    written = list(split.filename_to_tensors)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / names.index, index)
        written.append(names.index)
    remove_stale(folder, stem, variant, written)


def remove_stale(folder: Path, stem: str, variant: str | None, written: Collection[str]) -> None:
    """Remove weights of an earlier save, which could be read instead of the files `written`."""
    names = weight_file_names(stem, variant)
    for path in list(folder.iterdir()):
        is_weights = path.name in (names.single, names.index) or names.shard.fullmatch(path.name)
        if is_weights and path.name not in written:
            path.unlink()


def _write_file(file: Path, tensors: dict[str, torch.Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(file) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt"})
        except SafetensorError as error:
            raise InputError(f"{file} cannot be written: {error}.") from error


def _read_header(file: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors of a file, and its metadata."""
    infos = {}
    with _open_safetensors(file, torch.device("cpu")) as tensors, _checkpoint_errors(file):
        for name in tensors.keys():  # noqa: SIM118 (not a mapping)
            view = tensors.get_slice(name)
            dtype = view.get_dtype()
            infos[name] = TensorInfo(
                shape=tuple(view.get_shape()),
                is_floating_point=dtype.startswith(("F", "BF")),
                stored_dtype=dtype,
                stored_name=name,
                location=str(file),
            )
        return infos, tensors.metadata() or {}


@contextlib.contextmanager
def _open_safetensors(file: Path, device: torch.device) -> Iterator[Any]:
    """Open a file to read its tensors onto a device."""
    from safetensors import safe_open

    with _checkpoint_errors(file):
        opened = safe_open(file, framework="pt", device=str(device))
    with opened as tensors:
        yield tensors


@contextlib.contextmanager
def _checkpoint_errors(file: Path) -> Iterator[None]:
    """Raise a `CheckpointError` for the errors of safetensors about a damaged or missing file."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {file}.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file} is not a whole safetensors file ({error}). It may have been cut off: download "
            "or copy it again."
        ) from error


def _indexed_files(index: Path) -> list[Path]:
    """The shards that an index names."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"{index} has no weight_map of keys and files. Download or save it again."
        )
    names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if not is_plain_name(name)]
    if outside:
        raise CheckpointError(
            f"{index} points to {outside[0]!r}, outside its own folder; such an index is refused."
        )
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index} names files that are missing: {', '.join(missing)}. Download them as well."
        )
    return [index.parent / name for name in names]
