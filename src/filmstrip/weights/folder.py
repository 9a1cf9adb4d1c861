"""The folder of a whole pipeline: `model_index.json`, which names each component's class, and a
folder for each.

Classes come from a fixed table. What a checkpoint names beyond it is refused, and nothing in a
checkpoint is run.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from filmstrip.config import Configurable
from filmstrip.errors import CheckpointError, FilmstripError, InputError
from filmstrip.files import (
    AnyPath,
    is_plain_name,
    make_folder,
    read_json,
    replacing_files,
    write_json,
)
from filmstrip.logging import get_logger
from filmstrip.registry import COMPONENT_CLASSES, OLDER_NAMES, ComponentClass
from filmstrip.weights.hub import Source, list_files
from filmstrip.weights.model import as_dtype
from filmstrip.weights.tensors import absence, read_headers, remove_stale, variants, weight_files

logger = get_logger(__name__)

INDEX_NAME = "model_index.json"
SMALL_FILES = (
    ".json",
    ".txt",
    ".model",
)  # what a component has beside its weights: configs and tokenizers

Dtypes = torch.dtype | str | Mapping[str, torch.dtype | str] | None


@dataclass(frozen=True)
class PipelineIndex:
    """What a `model_index.json` says."""

    class_name: str
    components: Mapping[
        str, tuple[str, str] | None
    ]  # library and class; None: the pipeline goes without


def read_index(folder: Path) -> PipelineIndex:
    """Read a pipeline folder's `model_index.json`; a CheckpointError says what is wrong with it."""
    file = folder / INDEX_NAME
    content = read_json(file)
    class_name = content.get("_class_name")
    if not isinstance(class_name, str):
        raise CheckpointError(
            f"{file} gives the pipeline's class as {class_name!r}; it must be a name. "
            "Pipelines with code of their own are refused."
        )
    components: dict[str, tuple[str, str] | None] = {}
    for name, value in content.items():
        if name.startswith("_") or not isinstance(
            value, list
        ):  # a list is a component, all else an option
            continue
        if len(value) != 2 or not all(part is None or isinstance(part, str) for part in value):
            raise CheckpointError(
                f"{file} gives {name} as {str(value)[:80]}; it must be a library and a class."
            )
        if not is_plain_name(name):
            raise CheckpointError(
                f"{file} names a component {name!r}, outside its own folder; it is refused."
            )
        components[name] = (value[0], value[1]) if all(value) else None
    return PipelineIndex(class_name, components)


def fetch_pipeline(source: Source, skip: Collection[str] = (), variant: str | None = None) -> Path:
    """The local folder of a pipeline, after downloading, from a repository, just the files that are
    needed.

    Components to `skip` are passed by hand, or left out. Weights are of the variant where a
    component has it; errors are those of `Source.fetch` and `load_components`.
    """
    index = read_index(source.fetch(lambda names: [INDEX_NAME]))
    return source.fetch(lambda names: [INDEX_NAME, *component_files(names, index, skip, variant)])


def load_components(
    folder: Path,
    index: PipelineIndex,
    expected: Collection[str],
    passed: Mapping[str, object],
    *,
    dtype: Dtypes = None,
    variant: str | None = None,
    device: torch.device | None = None,
) -> dict[str, object]:
    """Load a pipeline's components from its local folder, models in evaluation mode; None for null
    ones.

    Args:
        folder, index: What `fetch_pipeline` and `read_index` returned.
        expected: The components that the pipeline takes; others in the index are left alone.
        passed: Components made by hand, or None for those to go without. They are not loaded.
        dtype: Type of the models' floating-point weights, or one per component, with "default" for
            the rest (float32).
        variant: Read weights of this variant where a component has it, and plain ones, with a
            warning, where not.
        device: Where to put the models; the CPU by default.

    Raises:
        InputError: No component has weights of the variant, or the type is none.
        CheckpointError: A component is missing, damaged or refused.
    """
    rows = _rows(index, skip={*passed, *(index.components.keys() - {*expected})})
    dtypes = _dtypes(dtype, rows, expected)
    chosen = _chosen_variants(_inside(list_files(folder), rows), rows, variant)
    components = {
        name: passed.get(name) for name in expected if name in {**index.components, **passed}
    }
    for name, row in rows.items():
        place = folder / name
        components[name] = _load_component(
            place, row, dtypes[name], chosen.get(name), device or torch.device("cpu")
        )
        logger.info("Loaded %s as %s from %s.", name, row.name, place)
    return components


def is_complete(folder: Path) -> bool:
    """Whether a local pipeline folder has every file that loading it takes, in some variant."""
    with contextlib.suppress(CheckpointError):
        index, names = read_index(folder), list_files(folder)
        rows = _rows(index)
        for variant in (None, *_all_variants(_inside(names, rows), rows)):
            with contextlib.suppress(FilmstripError):
                component_files(names, index, (), variant)
                return True
    return False


def save_components(
    save_directory: AnyPath,
    class_name: str,
    components: Mapping[str, object],
    *,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a pipeline folder that `load_components`, and diffusers, read. Its index comes last.

    A component may be None, to go without. `variant` and `max_shard_size` are those of
    `Model.save_pretrained`. An InputError says that a component cannot be saved, or the folder not
    be written.
    """
    components = {
        name: getattr(component, "_orig_mod", component) for name, component in components.items()
    }
    tags = {name: _tag(name, component) for name, component in components.items()}
    folder = make_folder(save_directory)
    for name, component in components.items():
        if component is not None:
            _save_component(folder / name, component, variant, max_shard_size)
    write_json(folder / INDEX_NAME, {"_class_name": class_name, **tags})


def _rows(index: PipelineIndex, skip: Collection[str] = ()) -> dict[str, ComponentClass]:
    """The row of the table for each component that is there and not to be skipped."""
    tags = {
        name: tag for name, tag in index.components.items() if tag is not None and name not in skip
    }
    for name, tag in tags.items():
        if tag not in COMPONENT_CLASSES:
            known = ", ".join(sorted(".".join(key) for key in COMPONENT_CLASSES))
            raise CheckpointError(
                f"The component {name} is of the class {'.'.join(tag)}, which is none of those "
                "that are loaded "
                f"({known}). A checkpoint cannot have others imported; make it by hand and pass it "
                f"as {name}=."
            )
    return {name: COMPONENT_CLASSES[tag] for name, tag in tags.items()}


def _inside(names: Collection[str], components: Collection[str]) -> dict[str, list[str]]:
    """The files of each component's folder, relative to it."""
    return {
        one: [file.removeprefix(f"{one}/") for file in names if file.startswith(f"{one}/")]
        for one in components
    }


def component_files(
    names: Collection[str],
    index: PipelineIndex,
    skip: Collection[str] = (),
    variant: str | None = None,
) -> list[str]:
    """Which of a pipeline's files to download, besides its index; arguments are those of
    `fetch_pipeline`.
    """
    rows = _rows(index, skip)
    inside = _inside(names, rows)
    chosen = _chosen_variants(inside, rows, variant)
    needed = []
    for name, row in rows.items():
        files = [
            file
            for file in inside[name]
            if file.endswith(SMALL_FILES) and ".safetensors" not in file
        ]
        if not files:
            raise CheckpointError(f"There are no files for the component {name}.")
        if row.stem:
            weights = weight_files(inside[name], row.stem, chosen[name])
            if not weights:
                raise CheckpointError(absence(name, inside[name], row.stem, None))
            files += weights
        needed += [f"{name}/{file}" for file in files]
    return needed


def _chosen_variants(
    inside: Mapping[str, Collection[str]], rows: Mapping[str, ComponentClass], variant: str | None
) -> dict[str, str | None]:
    """The variant to read for each component that has weights: the one asked for, where there are
    files of it.
    """
    stems = {name: row.stem for name, row in rows.items() if row.stem}
    chosen = {
        name: variant if weight_files(inside[name], stem, variant) else None
        for name, stem in stems.items()
    }
    if variant is None or not chosen:
        return chosen
    if not any(chosen.values()):
        there = ", ".join(_all_variants(inside, rows)) or "there is none"
        raise InputError(
            f"You are trying to load the model files of the `variant={variant}`, but no such "
            "modeling files are "
            f"available. Leave out variant=, or use one that is there ({there})."
        )
    if without := ", ".join(name for name, found in chosen.items() if found is None):
        logger.warning(
            "There are no weights of the variant %s for %s; the plain ones are read.",
            variant,
            without,
        )
    return chosen


def _all_variants(
    inside: Mapping[str, Collection[str]], rows: Mapping[str, ComponentClass]
) -> list[str]:
    return sorted(
        {
            variant
            for name, row in rows.items()
            if row.stem
            for variant in variants(inside[name], row.stem)
        }
    )


def _dtypes(
    dtype: Dtypes, names: Collection[str], expected: Collection[str]
) -> dict[str, torch.dtype | None]:
    """The type for each of the components."""
    if not isinstance(dtype, Mapping):
        return dict.fromkeys(names, as_dtype(dtype))
    if strangers := sorted({*dtype} - {*expected, "default"}):
        logger.warning(
            "There is no component %s, for which dtype has an entry.", ", ".join(strangers)
        )
    return {name: as_dtype(dtype.get(name, dtype.get("default", torch.float32))) for name in names}


def _load_component(
    folder: Path,
    row: ComponentClass,
    dtype: torch.dtype | None,
    variant: str | None,
    device: torch.device,
) -> object:
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}, which {INDEX_NAME} beside it names.")
    if row.module != "transformers":
        weights: dict[str, Any] = (
            {"dtype": dtype, "variant": variant, "device": device} if row.stem else {}
        )
        return row.load().from_folder(folder, **weights)
    if row.stem:
        read_headers(
            folder, row.stem, variant
        )  # which refuses pickles and damaged files, with our sentences
        weights = {
            "dtype": dtype,
            "variant": variant,
            "use_safetensors": True,
            "output_loading_info": True,
        }
    try:
        with _quiet_transformers():
            kind = row.load()
            if row.stem is None:
                return kind.from_pretrained(str(folder), local_files_only=True)
            model, found = kind.from_pretrained(str(folder), local_files_only=True, **weights)
    except Exception as error:  # what damaged files do inside transformers cannot be foreseen
        raise CheckpointError(
            f"{folder} cannot be loaded as {row.name}: {type(error).__name__}: {error}"
        ) from error
    # With these, transformers would go on with random weights.
    if wrong := sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]])):
        raise CheckpointError(
            f"The weights in {folder} lack, or have in another shape: {', '.join(wrong[:5])}."
        )
    return model.to(device)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' own progress bars away, and its words on which of its classes are the
    default ones.
    """
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _tag(name: str, component: object) -> tuple[str, str] | tuple[None, None]:
    """The library and class by which an index names a component."""
    if component is None:
        return None, None
    kind = type(component)
    for tag, row in COMPONENT_CLASSES.items():
        if (row.module, row.name) == (kind.__module__, kind.__name__):
            return tag
    library = kind.__module__.split(".")[0]
    if library == "filmstrip" or not hasattr(component, "save_pretrained"):
        raise InputError(
            f"{name} is a {kind.__module__}.{kind.__name__}, which cannot be saved in a pipeline."
        )
    fast = getattr(component, "is_fast", True)
    return library, OLDER_NAMES.get(kind.__name__, kind.__name__) if fast else kind.__name__


def _save_component(
    folder: Path, component: Any, variant: str | None, max_shard_size: int | str | None
) -> None:
    sizes = {} if max_shard_size is None else {"max_shard_size": max_shard_size}
    weights = {"variant": variant, **sizes} if isinstance(component, nn.Module) else {}
    if isinstance(component, Configurable):
        component.save_pretrained(folder, **weights)
        return
    with replacing_files(make_folder(folder)) as beside, _quiet_transformers():
        component.save_pretrained(beside, **weights)
        written = [path.name for path in beside.iterdir()]
    if weights:
        remove_stale(folder, "model", variant, written)
