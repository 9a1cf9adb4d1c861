"""Loading and saving the components of a pipeline folder."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from filmstrip.config import Configurable
from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath, make_folder, replacing_files, write_json
from filmstrip.logging import get_logger
from filmstrip.registry import COMPONENT_CLASSES, OLDER_NAMES, TRANSFORMERS_STEM, ComponentClass
from filmstrip.weights.device_and_dtype import as_dtype
from filmstrip.weights.hub import list_files
from filmstrip.weights.pipeline_index import (
    INDEX_NAME,
    PipelineIndex,
    choose_variants,
    component_classes,
    files_by_component,
)

logger = get_logger(__name__)

# A dtype for all components, or one for each, with "default" for the rest.
Dtypes: TypeAlias = torch.dtype | str | Mapping[str, torch.dtype | str] | None


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
    """Load a pipeline's components from its local folder, models in evaluation mode.

    Args:
        folder, index: What `fetch_pipeline` and `read_index` returned.
        expected: The components that the pipeline takes; others in the index are left alone.
        passed: Components that the caller made, or None to leave one out. They are not loaded.
        dtype: The dtype of the models' floating-point weights, or one per component, with
            "default" for the rest (float32).
        variant: Read weights of this variant where a component has it, and plain ones, with a
            warning, where not.
        device: Where to put the models; the CPU by default.

    Returns:
        The components by name; None for those that the index has as null.

    Raises:
        InputError: No component has weights of the variant, or the dtype is none.
        CheckpointError: A component is missing, damaged or refused.
    """
    unexpected = index.components.keys() - set(expected)
    classes = component_classes(index, skip={*passed, *unexpected})
    dtypes = _dtypes_by_component(dtype, classes, expected)
    files = files_by_component(list_files(folder), classes)
    chosen_variants = choose_variants(files, classes, variant)
    components = {
        name: passed.get(name) for name in expected if name in {**index.components, **passed}
    }
    for name, component_class in classes.items():
        components[name] = _load_component(
            folder / name,
            component_class,
            dtypes[name],
            chosen_variants.get(name),
            device or torch.device("cpu"),
        )
        logger.info("Loaded %s as %s from %s.", name, component_class.name, folder / name)
    return components


def save_components(
    save_directory: AnyPath,
    class_name: str,
    components: Mapping[str, object],
    *,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write a pipeline folder that `load_components` and diffusers can read; its index last.

    Args:
        class_name: The pipeline's class.
        components: The components by name; None for those that the pipeline does not have.
        variant, max_shard_size: As in `Model.save_pretrained`.

    Raises:
        InputError: A component cannot be saved, or the folder cannot be written.
    """
    components = {
        name: getattr(component, "_orig_mod", component)  # the module inside a compiled one
        for name, component in components.items()
    }
    entries = {name: _index_entry(name, component) for name, component in components.items()}
    folder = make_folder(save_directory)
    for name, component in components.items():
        if component is not None:
            _save_component(folder / name, component, variant, max_shard_size)
    write_json(folder / INDEX_NAME, {"_class_name": class_name, **entries})


def _dtypes_by_component(
    dtype: Dtypes, names: Collection[str], expected: Collection[str]
) -> dict[str, torch.dtype | None]:
    """The dtype of each component in `names`."""
    if not isinstance(dtype, Mapping):
        return dict.fromkeys(names, as_dtype(dtype))
    unknown = sorted(set(dtype) - {*expected, "default"})
    if unknown:
        logger.warning(
            "There is no component %s, for which dtype has an entry.", ", ".join(unknown)
        )
    default = dtype.get("default", torch.float32)
    return {name: as_dtype(dtype.get(name, default)) for name in names}


def _load_component(
    folder: Path,
    component_class: ComponentClass,
    dtype: torch.dtype | None,
    variant: str | None,
    device: torch.device,
) -> object:
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}, which {INDEX_NAME} beside it names.")
    if component_class.module == "transformers":
        return _load_transformers_component(folder, component_class, dtype, variant, device)
    if component_class.stem is None:
        return component_class.load().from_folder(folder)
    return component_class.load().from_folder(folder, dtype=dtype, variant=variant, device=device)


def _load_transformers_component(
    folder: Path,
    component_class: ComponentClass,
    dtype: torch.dtype | None,
    variant: str | None,
    device: torch.device,
) -> object:
    if component_class.stem:
        # Refuses pickles and damaged files with filmstrip's messages.
        from filmstrip.weights.safetensors_files import SafetensorsSource

        SafetensorsSource.from_folder(folder, component_class.stem, variant)
    try:
        with _quiet_transformers():
            loader = component_class.load().from_pretrained
            if component_class.stem is None:
                return loader(str(folder), local_files_only=True)
            model, loading_info = loader(
                str(folder),
                local_files_only=True,
                dtype=dtype,
                variant=variant,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # damaged files raise any exception in transformers
        raise CheckpointError(
            f"{folder} cannot be loaded as {component_class.name}: {type(error).__name__}: {error}"
        ) from error
    # transformers leaves random weights in the model for these.
    unloaded = sorted(map(str, [*loading_info["missing_keys"], *loading_info["mismatched_keys"]]))
    if unloaded:
        raise CheckpointError(
            f"The weights in {folder} lack, or have in another shape: {', '.join(unloaded[:5])}."
        )
    return model.to(device)


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide transformers' progress bars, and its warnings on which of its classes are the default
    ones.
    """
    from transformers.utils import logging

    bars_enabled = logging.is_progress_bar_enabled()
    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars_enabled:
            logging.enable_progress_bar()


def _index_entry(name: str, component: object) -> tuple[str, str] | tuple[None, None]:
    """The library and class by which an index names a component."""
    if component is None:
        return None, None
    component_type = type(component)
    for library_and_class, row in COMPONENT_CLASSES.items():
        if (row.module, row.name) == (component_type.__module__, component_type.__name__):
            return library_and_class
    library = component_type.__module__.split(".")[0]
    if library == "filmstrip" or not hasattr(component, "save_pretrained"):
        raise InputError(
            f"{name} is a {component_type.__module__}.{component_type.__name__}, which cannot be "
            "saved in a pipeline."
        )
    class_name = component_type.__name__
    if getattr(component, "is_fast", True):
        class_name = OLDER_NAMES.get(class_name, class_name)
    return library, class_name


def _save_component(
    folder: Path, component: Any, variant: str | None, max_shard_size: int | str | None
) -> None:
    options: dict[str, Any] = {}
    if isinstance(component, nn.Module):
        options["variant"] = variant
        if max_shard_size is not None:
            options["max_shard_size"] = max_shard_size
    if isinstance(component, Configurable):
        component.save_pretrained(folder, **options)
        return
    with replacing_files(make_folder(folder)) as temporary, _quiet_transformers():
        component.save_pretrained(temporary, **options)
        written = [path.name for path in temporary.iterdir()]
    if isinstance(component, nn.Module):
        from filmstrip.weights.safetensors_files import remove_stale

        remove_stale(folder, TRANSFORMERS_STEM, variant, written)
