"""Finding the files of presets in the Hub's cache, and downloading them. Imports no torch."""

from pathlib import Path

from filmstrip import demo
from filmstrip.errors import CheckpointError
from filmstrip.presets.base import PublishedWeights
from filmstrip.presets.ltx import ExtraFile, LTXPreset
from filmstrip.weights.hub import CheckpointLocation, HubOptions, fetch_all
from filmstrip.weights.pipeline_index import PipelineIndex, component_files, fetch_pipeline

# The components to read from the text encoder's repository, which has another pipeline.
TEXT_ENCODER_INDEX = PipelineIndex(
    class_name="",
    components={
        "text_encoder": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "T5Tokenizer"),
    },
)
TEXT_ENCODER_FILES = tuple(f"{name}/*" for name in TEXT_ENCODER_INDEX.components)


def fetch(weights: PublishedWeights, hub: HubOptions) -> Path:
    """Download the files of a preset or extra file that are not cached.

    Args:
        weights: A row of a table.
        hub: How to reach the Hub.

    Returns:
        The local folder of its repository.

    Raises:
        CheckpointError: Files are missing and cannot be downloaded. The message has the commands
            that download them.
    """
    if isinstance(weights, LTXPreset):
        return fetch_ltx(weights, hub)[0]
    if isinstance(weights, ExtraFile):
        location = CheckpointLocation(weights.repo or "", files=(weights.file,), **hub)
        return location.fetch(lambda names: [weights.file])
    return fetch_pipeline(CheckpointLocation(weights.repo or "", **hub))


def fetch_ltx(preset: LTXPreset, hub: HubOptions) -> tuple[Path, Path]:
    """As `fetch`, for an LTX preset: its own files and those of its text encoder.

    Args:
        preset: A row of `presets.ltx`.
        hub: How to reach the Hub. `revision` is that of the preset's repository.

    Returns:
        The local folders of the preset and of its text encoder. For the demo they are the same.

    Raises:
        CheckpointError: As `fetch`.
    """
    if preset.repo is None:
        return demo.path(), demo.path()
    checkpoint = CheckpointLocation(preset.repo, files=preset.files, **hub)
    latest: HubOptions = {**hub, "revision": None}
    text_encoder = CheckpointLocation(preset.text_encoder, files=TEXT_ENCODER_FILES, **latest)
    folder, text_encoder_folder = fetch_all(
        [
            (checkpoint, lambda names: list(preset.files)),
            (text_encoder, lambda names: component_files(names, TEXT_ENCODER_INDEX)),
        ]
    )
    return folder, text_encoder_folder


def locate(weights: PublishedWeights, hub: HubOptions) -> Path:
    """The folder of a preset's repository in the Hub's cache. No file is downloaded to it.

    Args:
        weights: A row of a table.
        hub: How to reach the Hub.

    Raises:
        CheckpointError: The Hub cannot be reached; or, in offline mode, files are not cached.
    """
    files = weights.files if isinstance(weights, LTXPreset) else ()
    location = CheckpointLocation(weights.repo or "", files=files, **hub)
    if location.offline:
        return fetch(weights, hub)
    return location.fetch(lambda names: [])


def is_cached(weights: PublishedWeights, hub: HubOptions) -> bool:
    """Whether all files of a preset or extra file are in the Hub's cache."""
    offline: HubOptions = {**hub, "local_files_only": True}
    try:
        fetch(weights, offline)
    except CheckpointError:
        return False
    return True
