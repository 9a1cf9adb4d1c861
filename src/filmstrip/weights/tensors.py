"""Weights on disk: one safetensors file, or numbered shards with an index, of one variant.

The names are those of diffusers and transformers. For the stem "diffusion_pytorch_model" and the
variant "fp16" they are diffusion_pytorch_model.fp16.safetensors, or
diffusion_pytorch_model.fp16-00001-of-00002.safetensors and so on with
diffusion_pytorch_model.safetensors.index.fp16.json.
"""

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import is_plain_name, make_folder, read_json, replacing, write_json

PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


@dataclass(frozen=True)
class TensorInfo:
    """What a file's header says of one tensor."""

    file: Path
    key: str  # its name there
    shape: tuple[int, ...]
    dtype: str  # safetensors' name: F32, BF16, I64 …


def weight_files(names: Collection[str], stem: str, variant: str | None = None) -> list[str]:
    """Which of a folder's file names hold the weights, the index first where there is one; none: an
    empty list.

    A CheckpointError names the shards that an index misses.
    """
    single, index, shard = _names(stem, variant)
    if index not in names:
        return [single] if single in names else []
    shards = {name: match for name in sorted(names) if (match := shard.fullmatch(name))}
    count = max((int(match[2]) for match in shards.values()), default=0)
    absent = sorted({*range(1, count + 1)} - {int(match[1]) for match in shards.values()})
    if absent or not shards:
        which = f"shards {', '.join(map(str, absent))} of {count}" if shards else "its shards"
        raise CheckpointError(f"There is an index {index}, but {which} are missing.")
    return [index, *shards]


def variants(names: Collection[str], stem: str) -> list[str]:
    """The variants of which a folder has weights, by its file names."""
    found = (
        re.fullmatch(rf"{re.escape(stem)}\.([^.]+?)(-\d{{5}}-of-\d{{5}})?\.safetensors", name)
        for name in names
    )
    return sorted({match[1] for match in found if match})


def absence(folder: Path | str, names: Collection[str], stem: str, variant: str | None) -> str:
    """The sentence for a folder without the wanted weights: what it has instead, and what to do."""
    wanted = _names(stem, variant)[0]
    # Scripts that fall back on another variant look for the first words, which are diffusers'.
    pickled = f"{wanted.removesuffix('safetensors')}bin"
    text = f"Error no file named {pickled} found in directory {folder}, nor {wanted}."
    others = [
        v for v in (None, *variants(names, stem)) if v != variant and weight_files(names, stem, v)
    ]
    if others:
        passing = " or ".join(f"variant={v!r}" for v in others)
        return f"{text} It has weights of another variant: pass {passing}."
    if pickles := [name for name in names if name.endswith(PICKLES)]:
        return (
            f"{text} It has {', '.join(pickles)}: a pickle can run code when it is read and is "
            "refused. Convert it to "
            "safetensors, for example with https://huggingface.co/spaces/safetensors/convert."
        )
    return f"{text} Check the path and the subfolder, or download the weights."


def read_headers(folder: Path, stem: str, variant: str | None = None) -> dict[str, TensorInfo]:
    """What the weights in a folder consist of, by key. No tensor is read.

    A CheckpointError says that there are none, but others, or that a file is damaged, absent, or in
    another folder.
    """
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    single, index, _ = _names(stem, variant)
    if index not in names and single not in names:
        raise CheckpointError(absence(folder, names, stem, variant))
    files = _indexed_files(folder / index) if index in names else [folder / single]
    return {key: tensor for file in files for key, tensor in read_header(file)[0].items()}


def read_header(file: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """What one file consists of, by key, and its metadata. No tensor is read; errors are those of
    `open_tensors`.
    """
    with open_tensors(file) as tensors:
        views = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118 (not a mapping)
        stored = {
            key: TensorInfo(file, key, tuple(view.get_shape()), view.get_dtype())
            for key, view in views.items()
        }
        return stored, tensors.metadata() or {}


@contextlib.contextmanager
def open_tensors(file: Path, device: torch.device | str = "cpu") -> Iterator[Any]:
    """Open a safetensors file to read tensors onto a device; a CheckpointError, also in the block,
    if it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt", device=str(device)) as tensors:
            yield tensors
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {file}.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file} is not a whole safetensors file ({error}). It may have been cut off: download "
            "or copy it again."
        ) from error


def write_tensors(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    stem: str,
    variant: str | None,
    max_shard_size: int | str,
) -> None:
    """Write tensors to one file, or to shards of at most `max_shard_size` (bytes, or "10GB") and an
    index.

    An InputError says that this size cannot be understood, or the folder not be written.
    """
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    single, index, _ = _names(stem, variant)
    pattern = single.removesuffix(".safetensors") + "{suffix}.safetensors"
    try:
        if not isinstance(max_shard_size, str) and max_shard_size < 1:
            raise ValueError("nothing fits")
        split = split_torch_state_dict_into_shards(
            dict(state), filename_pattern=pattern, max_shard_size=max_shard_size
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f'max_shard_size is {max_shard_size!r}; give bytes or a text like "5GB".'
        ) from error
    for name, keys in split.filename_to_tensors.items():
        with replacing(make_folder(folder) / name) as beside:
            try:
                save_file(
                    {key: state[key].contiguous() for key in keys},
                    beside,
                    metadata={"format": "pt"},
                )
            except SafetensorError as error:
                raise InputError(f"{folder / name} cannot be written: {error}.") from error
    written = [*split.filename_to_tensors]
    if split.is_sharded:
        write_json(
            folder / index, {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        )
        written.append(index)
    remove_stale(folder, stem, variant, written)


def remove_stale(folder: Path, stem: str, variant: str | None, written: Collection[str]) -> None:
    """Remove the weights of this stem and variant that an earlier save left: they could be read
    instead.
    """
    single, index, shard = _names(stem, variant)
    for path in [*folder.iterdir()]:
        if path.name not in written and (
            path.name in (single, index) or shard.fullmatch(path.name)
        ):
            path.unlink()


def _names(stem: str, variant: str | None) -> tuple[str, str, re.Pattern[str]]:
    """Of weights in one file its name; of weights in shards that of their index, and what matches
    those of the shards, with their number and how many there are."""
    v = f".{variant}" if variant else ""
    shard = re.compile(rf"{re.escape(stem + v)}-(\d{{5}})-of-(\d{{5}})\.safetensors")
    return f"{stem}{v}.safetensors", f"{stem}.safetensors.index{v}.json", shard


def _indexed_files(index: Path) -> list[Path]:
    """The shards that an index names."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"{index} has no weight_map of keys and files. Download or save it again."
        )
    names = sorted(set(map(str, weight_map.values())))
    if strangers := [name for name in names if not is_plain_name(name)]:
        raise CheckpointError(
            f"{index} points to {strangers[0]!r}, outside its own folder; such an index is refused."
        )
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise CheckpointError(
            f"{index} names files that are missing: {', '.join(absent)}. Download them as well."
        )
    return [index.parent / name for name in names]
