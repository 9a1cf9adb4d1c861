"""Which checkpoint `--model` means: a preset, a folder, or a repository of the Hub."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import read_json
from filmstrip.jobs.families import FAMILIES, RECIPE_PIPELINE, UPSAMPLER, Family, P
from filmstrip.ltx.recipes import Recipe
from filmstrip.presets import locate, ltx as ltx, suggest_names
from filmstrip.weights.hub import REPO_ID, CheckpointLocation, HubOptions
from filmstrip.weights.pipeline_index import INDEX_NAME

CONFIG_FILES = ("/config.json", "/scheduler_config.json")
HUB_ID = re.compile(rf"(?P<repo>{REPO_ID})(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Checkpoint(Generic[P]):
    """A model: where its files are, and the settings to use where the request has none."""

    name: str  # what --model takes, without a revision
    location: str  # folder or Hub id
    revision: str | None  # of a Hub id, if the request names one
    preset: P
    family: Family[P]

    @property
    def recipe(self) -> Recipe | None:
        """How the authors make videos with it; None for folders and Hub ids that are no preset."""
        return self.preset.recipe if isinstance(self.preset, ltx.LTXPreset) else None

    @property
    def pipeline(self) -> str:
        """The name of the pipeline class that makes the videos."""
        return self.family.pipeline if self.recipe is None else RECIPE_PIPELINE

    @property
    def numerics(self) -> str:
        """Whose numbers the videos have: the drop-in class's or the authors'."""
        if self.recipe is None:
            return f"drop-in numbers (as diffusers' {self.pipeline})"
        return f"the authors' numbers (the recipe of {self.name})"

    @property
    def credit(self) -> str:
        """A line to print before the model is used: its licence, or where to read it."""
        if self.preset.name == "demo":
            return (
                "Using the small demo model that ships with filmstrip. For a real one: "
                f"{self.family.example}"
            )
        if Path(self.location).is_dir():
            return ""
        if self.preset.name:
            return self.preset.credit
        page = f"https://huggingface.co/{self.location}"
        return f"The weights of {self.location} have their own licence: {page}"

    def commit(self, folder: Path) -> str | None:
        """The commit of a Hub repository.

        Args:
            folder: the snapshot of the repository in the Hub's cache.

        Returns:
            The commit's hash; None if the checkpoint is a local folder.
        """
        return None if Path(self.location).is_dir() else folder.name

    def folder(self) -> Path:
        """The folder with the model's JSON files.

        For a Hub id, JSON files that are not cached are downloaded, but no weights. For a preset
        with the authors' single files nothing is downloaded; see `presets.locate`.

        Raises:
            CheckpointError: the Hub cannot be reached and the files are not cached, the folder has
                no pipeline, or it has a pipeline of another family.
        """
        if self.recipe is not None and not Path(self.location).is_dir():
            return locate(self.preset, HubOptions(revision=self.revision))
        location = CheckpointLocation(self.location, revision=self.revision)
        folder = location.fetch(_json_files)
        if not (folder / INDEX_NAME).is_file():
            raise CheckpointError(
                f"{folder} has no {INDEX_NAME}, so it is not a model folder in diffusers' layout."
            )
        self._check_pipeline(folder)
        return folder

    def _check_pipeline(self, folder: Path) -> None:
        """Refuse the folder of a pipeline with components of other classes."""
        family = self.family
        pipeline = read_json(folder / INDEX_NAME).get("_class_name")
        if pipeline in family.folder_pipelines:
            return
        if len(family.folder_pipelines) > 1:
            needed = f"one of {', '.join(family.folder_pipelines)}"
        else:
            needed = f"a {family.folder_pipelines[0]}"
        other_tasks = [other.task for other in FAMILIES if pipeline in other.folder_pipelines]
        hint = f" `filmstrip {other_tasks[0]}` takes it." if other_tasks else ""
        raise CheckpointError(
            f"{folder} holds a {pipeline}, but {family.task} needs {needed}.{hint}"
        )


def find_checkpoint(model: str | None, family: Family[P]) -> Checkpoint[P]:
    """Find the checkpoint that the value of `--model` names.

    Args:
        model: a preset's name, a folder, or a Hub id, `owner/name` or `owner/name@revision`. None:
            the demo model.
        family: the models to choose from.

    Raises:
        InputError: it is neither a preset, nor a folder, nor in the form of a Hub id.
    """
    from filmstrip import demo

    presets = {preset.name: preset for preset in family.presets}
    model = "demo" if model is None else model
    name, _, revision = model.partition("@")
    preset = presets.get(name)
    if preset is not None and (not revision or preset.repo):
        location = preset.repo or str(demo.path(family.demo))
        return Checkpoint(name, location, revision or None, preset, family)
    path = Path(model).expanduser()
    if model and path.is_dir():
        return Checkpoint(model, str(path), None, family.defaults, family)
    if path.is_file():
        raise InputError(f"--model {model} is a file: give the folder that holds {INDEX_NAME}.")
    hub_id = HUB_ID.fullmatch(model)
    if hub_id:
        repo = hub_id["repo"]
        return Checkpoint(repo, repo, hub_id["revision"], family.defaults, family)
    raise InputError(_unknown_model(model, presets))


def check_upsampler(checkpoint: Checkpoint[ltx.LTXPreset]) -> None:
    """Check that a model has a latent upsampler that doubles width and height.

    Raises:
        InputError: it has none, or one that makes more frames.
    """
    if checkpoint.preset.upscaler:
        return
    folder = None if checkpoint.preset.file else checkpoint.folder()
    if folder is None or not read_json(folder / INDEX_NAME).get(UPSAMPLER, [None])[0]:
        raise InputError(
            f"The model {checkpoint.name} has no latent upsampler, which makes videos larger. Use "
            f"one that has, such as ltx-2b-0.9.8-distilled, or a folder with a {UPSAMPLER}."
        )
    config = read_json(folder / UPSAMPLER / "config.json")
    if not config.get("spatial_upsample", True) or config.get("temporal_upsample", False):
        raise InputError(
            f"The {UPSAMPLER} of {folder} makes more frames; one that doubles width and height "
            "alone is needed."
        )


def _json_files(names: list[str]) -> list[str]:
    return [name for name in names if name == INDEX_NAME or name.endswith(CONFIG_FILES)]


def _unknown_model(model: str, names: Collection[str]) -> str:
    """The sentence that refuses a value of `--model`."""
    if model.startswith((".", "/", "~")):
        return f"--model {model}: there is no such folder."
    tasks = {preset.name: family.task for family in FAMILIES for preset in family.presets}
    if model in tasks:
        return f"--model {model} is a model for `filmstrip {tasks[model]}`."
    return (
        f"--model {model!r} is no known model, no folder and no Hub id (owner/name): "
        f"{suggest_names(model, names)}"
    )
