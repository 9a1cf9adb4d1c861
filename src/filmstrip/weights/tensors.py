"""Weights on disk: one safetensors file, or numbered shards with an index, of one variant.

The names are those of diffusers and transformers. For the stem "diffusion_pytorch_model" and the variant "fp16" they
are diffusion_pytorch_model.fp16.safetensors, or diffusion_pytorch_model.fp16-00001-of-00002.safetensors and so on
with diffusion_pytorch_model.safetensors.index.fp16.json. The older order of shard number and variant is read too.
"""

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights.files import is_plain_name, make_folder, read_json, replacing, write_json

PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


@dataclass(frozen=True)
class Stored:
    """What a file's header says of one tensor."""

    file: Path
    key: str  # its name there
    shape: tuple[int, ...]
    dtype: str  # safetensors' name: F32, BF16, I64 …

    @property
    def is_floating_point(self) -> bool:
        """Whether its numbers are floating-point ones, of any width."""
        return self.dtype.startswith(("F", "BF"))


def weight_files(names: Collection[str], stem: str, variant: str | None = None) -> list[str]:
    """Which of a folder's file names hold the weights, the index first where there is one; none: an empty list.

    Raises:
        CheckpointError: There is an index, but not every numbered shard.
    """
    index = next((name for name in _index_names(stem, variant) if name in names), None)
    if index is None:
        single = f"{stem}{_dotted(variant)}.safetensors"
        return [single] if single in names else []
    shards = _shards(names, stem, variant)
    counts = {count for _, count in shards.values()}
    absent = sorted({n for count in counts for n in range(1, count + 1)} - {n for n, _ in shards.values()})
    if absent or not shards:
        which = f"shards {', '.join(map(str, absent))} of {max(counts)}" if shards else "its shards"
        raise CheckpointError(f"There is an index {index}, but {which} are missing.")
    return [index, *sorted(shards)]


def variants(names: Collection[str], stem: str) -> list[str]:
    """The variants of which a folder has weights, by its file names."""
    found = (re.fullmatch(rf"{re.escape(stem)}\.([^.]+?)(-\d{{5}}-of-\d{{5}})?\.safetensors", name) for name in names)
    return sorted({match[1] for match in found if match})


def absence(folder: Path | str, names: Collection[str], stem: str, variant: str | None) -> str:
    """The sentence for a folder without the wanted weights: what it has instead, and what to do."""
    wanted = f"{stem}{_dotted(variant)}.safetensors"
    # Scripts that fall back on another variant look for the first words, which are diffusers'.
    text = f"Error no file named {stem}{_dotted(variant)}.bin found in directory {folder}, nor {wanted}."
    there = [v for v in (None, *variants(names, stem)) if v != variant and weight_files(names, stem, v)]
    others = [f"variant={v!r}" for v in there]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if others:
        return f"{text} It has weights of another variant: pass {' or '.join(others)}."
    if pickles:
        return (
            f"{text} It has {', '.join(pickles)}: a pickle can run code when it is read and is refused. Convert it to "
            "safetensors, for example with https://huggingface.co/spaces/safetensors/convert."
        )
    return f"{text} Check the path and the subfolder, or download the weights."


def read_headers(folder: Path, stem: str, variant: str | None = None) -> dict[str, Stored]:
    """What the weights in a folder consist of, by key. No tensor is read.

    Raises:
        CheckpointError: There are no such weights, only pickles or another variant; a file is damaged; an index
            names a file that is absent or lies elsewhere.
    """
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    index = next((folder / name for name in _index_names(stem, variant) if name in names), None)
    single = f"{stem}{_dotted(variant)}.safetensors"
    if index is None and single not in names:
        raise CheckpointError(absence(folder, names, stem, variant))
    stored: dict[str, Stored] = {}
    for file in _indexed_files(index) if index else [folder / single]:
        stored |= read_header(file)[0]
    return stored


def read_header(file: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """What one file consists of, by key, and its metadata. No tensor is read.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    stored: dict[str, Stored] = {}
    with open_tensors(file) as tensors:
        for key in tensors.keys():  # noqa: SIM118 (not a mapping)
            view = tensors.get_slice(key)
            stored[key] = Stored(file, key, tuple(view.get_shape()), view.get_dtype())
        return stored, tensors.metadata() or {}


@contextlib.contextmanager
def open_tensors(file: Path, device: torch.device | str = "cpu") -> Iterator[Any]:
    """Open a safetensors file to read its tensors, one by one, onto a device.

    Raises:
        CheckpointError: The file is missing or damaged, there or in the block.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt", device=str(device)) as tensors:
            yield tensors
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {file}.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file} is not a whole safetensors file ({error}). It may have been cut off: download or copy it again."
        ) from error


def write_tensors(
    folder: Path, state: Mapping[str, torch.Tensor], stem: str, variant: str | None, max_shard_size: int | str
) -> None:
    """Write tensors to one file, or to shards of at most `max_shard_size` (bytes, or "10GB") and an index.

    Raises:
        InputError: `max_shard_size` cannot be understood, or the folder cannot be written.
    """
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    pattern = f"{stem}{_dotted(variant)}{{suffix}}.safetensors"
    try:
        if not isinstance(max_shard_size, str) and max_shard_size < 1:
            raise ValueError("nothing fits")
        split = split_torch_state_dict_into_shards(dict(state), filename_pattern=pattern, max_shard_size=max_shard_size)
    except (TypeError, ValueError) as error:
        raise InputError(f'max_shard_size is {max_shard_size!r}; give bytes or a text like "5GB".') from error
    make_folder(folder)
    for name, keys in split.filename_to_tensors.items():
        with replacing(folder / name) as beside:
            try:
                save_file({key: state[key].contiguous() for key in keys}, beside, metadata={"format": "pt"})
            except SafetensorError as error:
                raise InputError(f"{folder / name} cannot be written: {error}.") from error
    index = _index_names(stem, variant)[0]
    written = [*split.filename_to_tensors]
    if split.is_sharded:
        write_json(folder / index, {"metadata": split.metadata, "weight_map": split.tensor_to_filename})
        written.append(index)
    remove_stale(folder, stem, variant, written)


def remove_stale(folder: Path, stem: str, variant: str | None, written: Collection[str]) -> None:
    """Remove the weights of this stem and variant that an earlier save left: they could be read instead."""
    names = {path.name for path in folder.iterdir()}
    single = f"{stem}{_dotted(variant)}.safetensors"
    for name in {*_shards(names, stem, variant), *_index_names(stem, variant), single} - {*written}:
        (folder / name).unlink(missing_ok=True)


def _dotted(variant: str | None) -> str:
    return f".{variant}" if variant else ""


def _index_names(stem: str, variant: str | None) -> tuple[str, str]:
    """The name of the index, and its older form: the same where there is no variant."""
    v = _dotted(variant)
    return f"{stem}.safetensors.index{v}.json", f"{stem}.safetensors{v}.index.json"


def _shards(names: Collection[str], stem: str, variant: str | None) -> dict[str, tuple[int, int]]:
    """Those of the names that are shards, with their number and how many there are."""
    v, number = re.escape(_dotted(variant)), r"-(\d{5})-of-(\d{5})"
    pattern = re.compile(rf"{re.escape(stem)}(?:{v}{number}|{number}{v})\.safetensors")
    matches = {name: match for name in names if (match := pattern.fullmatch(name))}
    return {name: (int(m[1] or m[3]), int(m[2] or m[4])) for name, m in matches.items()}


def _indexed_files(index: Path) -> list[Path]:
    """The shards that an index names."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map of keys and files. Download or save it again.")
    names = sorted(set(map(str, weight_map.values())))
    for name in names:
        if not is_plain_name(name):
            raise CheckpointError(f"{index} points to {name!r}, outside its own folder; such an index is refused.")
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise CheckpointError(f"{index} names files that are missing: {', '.join(absent)}. Download them as well.")
    return [index.parent / name for name in names]
