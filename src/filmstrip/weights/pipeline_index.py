"""The index of a pipeline folder, `model_index.json`, and which files of the folder it needs.

Classes come from `registry.COMPONENT_CLASSES`. A checkpoint that names another class is refused,
and no code of a checkpoint is run. Needs no torch.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from filmstrip.errors import CheckpointError, FilmstripError, InputError
from filmstrip.files import is_plain_name, read_json
from filmstrip.logging import get_logger
from filmstrip.registry import COMPONENT_CLASSES, ComponentClass
from filmstrip.weights.hub import CheckpointLocation, list_files
from filmstrip.weights.weight_files import missing_weights_message, variants, weight_files

logger = get_logger(__name__)

INDEX_NAME = "model_index.json"
# The suffixes of a component's files beside its weights: configs and tokenizers.
SMALL_FILE_SUFFIXES = (".json", ".txt", ".model")


@dataclass(frozen=True)
class PipelineIndex:
    """The contents of a `model_index.json`."""

    class_name: str
    # The library and the class of each component; None: the pipeline does not have it.
    components: Mapping[str, tuple[str, str] | None]


def read_index(folder: Path) -> PipelineIndex:
    """Read the `model_index.json` of a pipeline folder.

    Raises:
        CheckpointError: It is missing or damaged, or an entry is refused.
    """
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
        if name.startswith("_") or not isinstance(value, list):
            continue  # an option of the pipeline
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


def fetch_pipeline(
    location: CheckpointLocation, skip: Collection[str] = (), variant: str | None = None
) -> Path:
    """Download the files of a pipeline that are needed and not cached.

    Args:
        location: The folder or repository.
        skip: Components that are not needed.
        variant: The variant of the weights to download, where a component has it.

    Returns:
        The local folder of the pipeline.

    Raises:
        InputError: No component has weights of the variant.
        CheckpointError: As `CheckpointLocation.fetch`, or a component is refused.
    """
    index = read_index(location.fetch(lambda names: [INDEX_NAME]))
    return location.fetch(lambda names: [INDEX_NAME, *component_files(names, index, skip, variant)])


def component_files(
    names: Collection[str],
    index: PipelineIndex,
    skip: Collection[str] = (),
    variant: str | None = None,
) -> list[str]:
    """The files of a pipeline that are needed, besides its index.

    Args:
        names: All files of the folder or repository.
        index: The index of the pipeline.
        skip, variant: As in `fetch_pipeline`.

    Raises:
        InputError: No component has weights of the variant.
        CheckpointError: A component has no files, or is refused.
    """
    classes = component_classes(index, skip)
    files = files_by_component(names, classes)
    chosen_variants = choose_variants(files, classes, variant)
    needed = []
    for name, component_class in classes.items():
        component = [
            file
            for file in files[name]
            if file.endswith(SMALL_FILE_SUFFIXES) and ".safetensors" not in file
        ]
        if not component:
            raise CheckpointError(f"There are no files for the component {name}.")
        stem = component_class.stem
        if stem:
            weights = weight_files(files[name], stem, chosen_variants[name])
            if not weights:
                raise CheckpointError(missing_weights_message(name, files[name], stem, None))
            component += weights
        needed += [f"{name}/{file}" for file in component]
    return needed


def is_complete(folder: Path) -> bool:
    """Whether a local pipeline folder has every file that is needed to load one of its variants."""
    try:
        index = read_index(folder)
        classes = component_classes(index)
    except CheckpointError:
        return False
    names = list_files(folder)
    files = files_by_component(names, classes)
    for variant in (None, *_all_variants(files, classes)):
        with contextlib.suppress(FilmstripError):
            component_files(names, index, (), variant)
            return True
    return False


def component_classes(
    index: PipelineIndex, skip: Collection[str] = ()
) -> dict[str, ComponentClass]:
    """The class of each component in the index, except those in `skip`.

    Raises:
        CheckpointError: A class is none of `COMPONENT_CLASSES`.
    """
    classes = {}
    for name, library_and_class in index.components.items():
        if library_and_class is None or name in skip:
            continue
        if library_and_class not in COMPONENT_CLASSES:
            known = ", ".join(sorted(".".join(key) for key in COMPONENT_CLASSES))
            raise CheckpointError(
                f"The component {name} is of the class {'.'.join(library_and_class)}, which is "
                f"none of those that filmstrip loads ({known}). Make the component yourself and "
                f"pass it as {name}=."
            )
        classes[name] = COMPONENT_CLASSES[library_and_class]
    return classes


def files_by_component(names: Collection[str], components: Collection[str]) -> dict[str, list[str]]:
    """The files of each component's folder, relative to it."""
    files: dict[str, list[str]] = {}
    for component in components:
        prefix = f"{component}/"
        files[component] = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return files


def choose_variants(
    files: Mapping[str, Collection[str]],
    classes: Mapping[str, ComponentClass],
    variant: str | None,
) -> dict[str, str | None]:
    """Choose the variant to read of each component that has weights.

    Returns:
        `variant` for components with files of it, else None.

    Raises:
        InputError: No component has files of the variant.
    """
    chosen: dict[str, str | None] = {}
    for name, component_class in classes.items():
        if component_class.stem:
            has_variant = weight_files(files[name], component_class.stem, variant)
            chosen[name] = variant if has_variant else None
    if variant is None or not chosen:
        return chosen
    if not any(chosen.values()):
        available = ", ".join(_all_variants(files, classes)) or "there is none"
        raise InputError(
            f"You are trying to load the model files of the `variant={variant}`, but no such "
            "modeling files are "
            f"available. Leave out variant=, or use one that is there ({available})."
        )
    without_variant = [name for name, choice in chosen.items() if choice is None]
    if without_variant:
        logger.warning(
            "There are no weights of the variant %s for %s; the plain ones are read.",
            variant,
            ", ".join(without_variant),
        )
    return chosen


def _all_variants(
    files: Mapping[str, Collection[str]], classes: Mapping[str, ComponentClass]
) -> list[str]:
    """The variants that at least one component has."""
    all_variants: set[str] = set()
    for name, component_class in classes.items():
        if component_class.stem:
            all_variants.update(variants(files[name], component_class.stem))
    return sorted(all_variants)
