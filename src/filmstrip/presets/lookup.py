"""Looking a name up in the tables of known checkpoints. Needs no torch."""

import difflib
from collections.abc import Collection, Mapping
from types import MappingProxyType

from filmstrip.presets import ltx, svd
from filmstrip.presets.base import ModelPreset
from filmstrip.presets.ltx import ExtraFile

# Every preset by name; of the two that are called "demo", LTX's.
PRESETS: Mapping[str, ModelPreset] = MappingProxyType(
    {preset.name: preset for preset in (*svd.PRESETS, *ltx.PRESETS)}
)


def find_preset(name: str) -> ModelPreset | None:
    """The preset of this name, or None."""
    return PRESETS.get(name)


def find_extra_file(name: str) -> ExtraFile | None:
    """The published file of this name that is used with other checkpoints, or None."""
    for file in ltx.EXTRA_FILES:
        if file.name == name:
            return file
    return None


def suggest_names(name: str, names: Collection[str] = PRESETS.keys()) -> str:
    """The end of an error message about an unknown name: which of `names` may have been meant."""
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return "`filmstrip models` lists the known ones."
