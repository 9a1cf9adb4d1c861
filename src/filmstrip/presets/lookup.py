"""Looking up presets by name. Imports no torch."""

import difflib
from collections.abc import Collection, Mapping
from types import MappingProxyType

from filmstrip.presets import ltx, svd
from filmstrip.presets.base import ModelPreset
from filmstrip.presets.ltx import ExtraFile

# Every preset by name. There are two of the name "demo"; this one is LTX's.
PRESETS: Mapping[str, ModelPreset] = MappingProxyType(
    {preset.name: preset for preset in (*svd.PRESETS, *ltx.PRESETS)}
)


def find_preset(name: str) -> ModelPreset | None:
    """The preset of this name, or None."""
    return PRESETS.get(name)


def find_extra_file(name: str) -> ExtraFile | None:
    """The extra file of this name, or None."""
    for file in ltx.EXTRA_FILES:
        if file.name == name:
            return file
    return None


def suggest_names(name: str, names: Collection[str] = PRESETS.keys()) -> str:
    """The end of an error message about an unknown name, with those of `names` that are similar."""
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if matches:
        return f"did you mean {' or '.join(matches)}?"
    return "`filmstrip models` lists the known ones."
