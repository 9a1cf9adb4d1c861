"""The files of presets: in the Hub's cache, or downloaded. Importing it needs no torch."""

from pathlib import Path

from filmstrip import demo
from filmstrip.errors import CheckpointError
from filmstrip.presets.base import PublishedWeights
from filmstrip.presets.ltx import ExtraFile, LTXPreset
from filmstrip.weights.hub import CheckpointLocation, HubOptions, fetch_all
from filmstrip.weights.pipeline_index import PipelineIndex, component_files, fetch_pipeline

# What is read of the repository of a preset's text encoder, which is another pipeline's.
TEXT_ENCODER_INDEX = PipelineIndex(
    class_name="",
    components={
        "text_encoder": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "T5Tokenizer"),
    },
)
TEXT_ENCODER_FILES = tuple(f"{name}/*" for name in TEXT_ENCODER_INDEX.components)


def fetch(weights: PublishedWeights, hub: HubOptions) -> Path:
    """The local folder of a row's repository, after downloading what is needed and not cached.

    Raises:
        CheckpointError: It names what cannot be had, and the commands that download it.
    """
    if isinstance(weights, LTXPreset):
        return fetch_ltx(weights, hub)[0]
    if isinstance(weights, ExtraFile):
        location = CheckpointLocation(weights.repo or "", files=(weights.file,), **hub)
        return location.fetch(lambda names: [weights.file])
    return fetch_pipeline(CheckpointLocation(weights.repo or "", **hub))


def fetch_ltx(preset: LTXPreset, hub: HubOptions) -> tuple[Path, Path]:
    """The local folders of a preset's own files and of its text encoder, as `fetch`.

    The revision in `hub` is that of the preset's own repository. The demo is one folder.
    """
    if preset.repo is None:
        return demo.path(), demo.path()
    own = CheckpointLocation(preset.repo, files=preset.files, **hub)
    latest: HubOptions = {**hub, "revision": None}
    text_encoder = CheckpointLocation(preset.text_encoder, files=TEXT_ENCODER_FILES, **latest)
    own_folder, text_folder = fetch_all(
        [
            (own, lambda names: list(preset.files)),
            (text_encoder, lambda names: component_files(names, TEXT_ENCODER_INDEX)),
        ]
    )
    return own_folder, text_folder


def locate(weights: PublishedWeights, hub: HubOptions) -> Path:
    """The folder in the Hub's cache that a row's repository has, or will have.

    It downloads no file.

    Raises:
        CheckpointError: The Hub is out of reach; or nothing may be downloaded, and what is needed
            is not cached.
    """
    files = weights.files if isinstance(weights, LTXPreset) else ()
    location = CheckpointLocation(weights.repo or "", files=files, **hub)
    if location.offline:
        return fetch(weights, hub)
    return location.fetch(lambda names: [])


def is_cached(weights: PublishedWeights, hub: HubOptions) -> bool:
    """Whether a row's files are all in the Hub's cache: it can be loaded without the network."""
    offline: HubOptions = {**hub, "local_files_only": True}
    try:
        fetch(weights, offline)
    except CheckpointError:
        return False
    return True
