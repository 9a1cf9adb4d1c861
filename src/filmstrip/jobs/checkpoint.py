"""Which checkpoint `--model` means: a row of the table, a folder, or a repository of the Hub."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from filmstrip.cli.families import FAMILIES, Family, P
from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import read_json
from filmstrip.ltx.recipes import Recipe
from filmstrip.presets import locate, ltx as ltx, near
from filmstrip.weights.hub import HubOptions, Source

INDEX = "model_index.json"
CONFIGS = ("/config.json", "/scheduler_config.json")
HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Checkpoint(Generic[P]):
    """Where a model's files are, and the settings to use when the user gives none."""

    name: str  # what --model takes, without a revision
    location: str  # folder or Hub id
    revision: str | None  # of a Hub id, when one was asked for
    preset: P
    family: Family[P]

    @property
    def recipe(self) -> Recipe | None:
        """How the authors make videos with it; None: diffusers' way."""
        return self.preset.recipe if isinstance(self.preset, ltx.Preset) else None

    def commit(self, folder: Path) -> str | None:
        """The commit of the `folder` of a repository; None for a folder of one's own."""
        return None if Path(self.location).is_dir() else folder.name

    def folder(self) -> Path:
        """The folder with the model's JSON files, which are fetched alone if they are on the Hub
        and not cached.

        Of a preset of the authors' files nothing is fetched; see `presets.locate`.

        Raises:
            CheckpointError: it is out of reach and not cached, no model's, or one of another
                family.
        """
        if self.recipe is not None and not Path(self.location).is_dir():
            return locate(self.preset, HubOptions(revision=self.revision))
        folder = Source(self.location, revision=self.revision).fetch(
            lambda names: [name for name in names if name == INDEX or name.endswith(CONFIGS)]
        )
        if not (folder / INDEX).is_file():
            raise CheckpointError(
                f"{folder} has no {INDEX}, so it is not a model folder in diffusers' layout."
            )
        kind, family = read_json(folder / INDEX).get("_class_name"), self.family
        if kind not in family.folders:
            needed = (
                f"one of {', '.join(family.folders)}"
                if len(family.folders) > 1
                else f"a {family.folders[0]}"
            )
            others = [other.command for other in FAMILIES if kind in other.folders]
            hint = f" `filmstrip {others[0]}` takes it." if others else ""
            raise CheckpointError(
                f"{folder} holds a {kind}, but {family.command} needs {needed}.{hint}"
            )
        return folder

    @property
    def credit(self) -> str:
        """A line to print before the model is used: its licence, or where that stands."""
        if self.preset.name == "demo":
            return (
                "Using the small demo model that ships with filmstrip. For a real one: "
                f"{self.family.example}"
            )
        if Path(self.location).is_dir():
            return ""
        if self.preset.name:
            return self.preset.credit
        return f"The weights of {self.location} have their own licence: https://huggingface.co/{self.location}"


def find(model: str | None, family: Family[P]) -> Checkpoint[P]:
    """The checkpoint of a family that the value of `--model` means; None is the demo model.

    Raises:
        InputError: It is neither a known name, nor a folder, nor in the form of a Hub id.
    """
    from filmstrip import demo

    rows = {preset.name: preset for preset in family.presets}
    model = model if model is not None else "demo"
    name, _, revision = model.partition("@")
    if name in rows and (not revision or rows[name].repo):
        return Checkpoint(
            name,
            rows[name].repo or str(demo.path(family.embedded)),
            revision or None,
            rows[name],
            family,
        )
    path = Path(model).expanduser()
    if model and path.is_dir():
        return Checkpoint(model, str(path), None, family.defaults, family)
    if path.is_file():
        raise InputError(f"--model {model} is a file: give the folder that holds model_index.json.")
    if hub_id := HUB_ID.fullmatch(model):
        return Checkpoint(
            hub_id["repo"], hub_id["repo"], hub_id["revision"], family.defaults, family
        )
    raise InputError(_unknown(model, rows))


def _unknown(model: str, names: Collection[str]) -> str:
    if model.startswith((".", "/", "~")):
        return f"--model {model}: there is no such folder."
    others = {row.name: family.command for family in FAMILIES for row in family.presets}
    if model in others:
        return f"--model {model} is a model for `filmstrip {others[model]}`."
    return (
        f"--model {model!r} is no known model, no folder and no Hub id (owner/name): "
        f"{near(model, names)}"
    )
