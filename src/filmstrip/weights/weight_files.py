"""The names of weight files: one safetensors file, or numbered shards with an index.

The names are those of diffusers and transformers. For the stem "diffusion_pytorch_model" and the
variant "fp16" they are diffusion_pytorch_model.fp16.safetensors, or
diffusion_pytorch_model.fp16-00001-of-00002.safetensors and so on with
diffusion_pytorch_model.safetensors.index.fp16.json. Needs no torch.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from filmstrip.errors import CheckpointError
from filmstrip.logging import get_logger

logger = get_logger(__name__)

PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")


@dataclass(frozen=True)
class WeightFileNames:
    """The names of the weight files of a stem and a variant."""

    single: str  # the file, if there are no shards
    index: str  # the index of the shards
    shard: re.Pattern[str]  # a shard; its groups are its number and the number of shards


def weight_file_names(stem: str, variant: str | None = None) -> WeightFileNames:
    """The names for a stem, such as "model", and a variant, such as "fp16"."""
    suffix = f".{variant}" if variant else ""
    return WeightFileNames(
        single=f"{stem}{suffix}.safetensors",
        index=f"{stem}.safetensors.index{suffix}.json",
        shard=re.compile(rf"{re.escape(stem + suffix)}-(\d{{5}})-of-(\d{{5}})\.safetensors"),
    )


def weight_files(names: Collection[str], stem: str, variant: str | None = None) -> list[str]:
    """The weight files of a folder: one file, or an index and its shards.

    Args:
        names: The names of all files in the folder.
        stem: "diffusion_pytorch_model" for diffusers, "model" for transformers.
        variant: Such as "fp16".

    Returns:
        The names, the index first; an empty list if there are no such weights.

    Raises:
        CheckpointError: There is an index, but shards are missing.
    """
    expected = weight_file_names(stem, variant)
    if expected.index not in names:
        return [expected.single] if expected.single in names else []
    shards = []
    numbers = set()
    count = 0
    for name in sorted(names):
        match = expected.shard.fullmatch(name)
        if match is not None:
            shards.append(name)
            numbers.add(int(match[1]))
            count = max(count, int(match[2]))
    missing = sorted({*range(1, count + 1)} - numbers)
    if missing:
        listed = ", ".join(map(str, missing))
        raise CheckpointError(
            f"There is an index {expected.index}, but shards {listed} of {count} are missing."
        )
    if not shards:
        raise CheckpointError(f"There is an index {expected.index}, but its shards are missing.")
    return [expected.index, *shards]


def variants(names: Collection[str], stem: str) -> list[str]:
    """The variants of the weights in a folder, from the names of its files."""
    pattern = re.compile(rf"{re.escape(stem)}\.([^.]+?)(-\d{{5}}-of-\d{{5}})?\.safetensors")
    matches = [pattern.fullmatch(name) for name in names]
    return sorted({match[1] for match in matches if match})


def missing_weights_message(
    folder: Path | str, names: Collection[str], stem: str, variant: str | None
) -> str:
    """The error message for a folder without these weights, with what it has instead."""
    expected = weight_file_names(stem, variant).single
    # The first words are those of diffusers: scripts that try another variant look for them.
    pickle_name = expected.removesuffix("safetensors") + "bin"
    message = f"Error no file named {pickle_name} found in directory {folder}, nor {expected}."
    others = [
        other
        for other in (None, *variants(names, stem))
        if other != variant and weight_files(names, stem, other)
    ]
    if others:
        arguments = " or ".join(f"variant={other!r}" for other in others)
        return f"{message} It has weights of another variant: pass {arguments}."
    pickles = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    if pickles:
        return (
            f"{message} It has {', '.join(pickles)}: a pickle can run code when it is read and is "
            "refused. Convert it to safetensors, for example with "
            "https://huggingface.co/spaces/safetensors/convert."
        )
    return f"{message} Check the path and the subfolder, or download the weights."


def warn_of_pickles(safe_serialization: bool) -> None:
    """Warn that `safe_serialization=False`, which in diffusers asks for pickles, is ignored."""
    if not safe_serialization:
        logger.warning(
            "safe_serialization is False, which asks for pickles; safetensors are written instead."
        )
