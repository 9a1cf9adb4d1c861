"""Which checkpoint `--model` means: a row of the table, a folder, or a repository of the Hub."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from filmstrip.errors import InputError
from filmstrip.ltx.presets import CALL_DEFAULTS, PRESETS, Preset
from filmstrip.weights.hub import Source

INDEX = "model_index.json"
DEMO_NOTICE = (
    "Using the small demo model that ships with filmstrip. For a real one: "
    'filmstrip generate "..." --model ltx-2b-0.9.5 -o out.mp4'
)
HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files are, and the settings to use when the user gives none."""

    name: str  # what --model takes
    location: str  # folder or Hub id
    revision: str | None  # of a Hub id, when one was asked for
    preset: Preset

    def folder(self) -> Path:
        """The folder with the model's JSON files, which are fetched alone if they are on the Hub and not cached.

        Raises:
            CheckpointError: The repository is out of reach and not cached.
        """
        return Source(self.location, revision=self.revision).fetch(
            lambda names: [name for name in names if name == INDEX or name.endswith("/config.json")]
        )

    def credit(self) -> str:
        """A line to print before the model is used: its licence, or where that stands."""
        if self.preset.name == "demo":
            return DEMO_NOTICE
        if Path(self.location).is_dir():
            return ""
        if self.preset.name:
            return f"The weights of {self.location} come under: {self.preset.licence} ({self.preset.licence_url})"
        return f"The weights of {self.location} have their own licence: https://huggingface.co/{self.location}"


def commit(folder: Path) -> str | None:
    """The commit of a folder in the Hub's cache; None for a folder of one's own."""
    return folder.name if folder.parent.name == "snapshots" else None


def find(model: str | None) -> Checkpoint:
    """The checkpoint that the value of `--model` means; None is the demo model.

    Raises:
        InputError: It is neither a known name, nor a folder, nor in the form of a Hub id.
    """
    rows = {preset.name: preset for preset in PRESETS}
    model = model if model is not None else "demo"
    if model in rows:
        return Checkpoint(model, rows[model].repo or _demo_folder(), None, rows[model])
    path = Path(model).expanduser()
    if model and path.is_dir():
        return Checkpoint(model, str(path), None, CALL_DEFAULTS)
    if path.is_file():
        raise InputError(f"--model {model} is a file: give the folder that holds model_index.json.")
    if hub_id := HUB_ID.fullmatch(model):
        preset = next((row for row in PRESETS if row.repo == hub_id["repo"]), CALL_DEFAULTS)
        return Checkpoint(model, hub_id["repo"], hub_id["revision"], preset)
    raise InputError(_unknown(model, rows))


def _demo_folder() -> str:
    from filmstrip import demo

    return str(demo.path())


def _unknown(model: str, names: dict[str, Preset]) -> str:
    if model.startswith((".", "/", "~")):
        return f"--model {model}: there is no such folder."
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`filmstrip models` lists the known ones."
    return f"--model {model!r} is no known model, no folder and no Hub id (owner/name): {hint}"
