"""Presets are checkpoints with a name: tables (`ltx`, `svd`), `lookup`, `download` and `load`."""

from filmstrip.presets.download import fetch as fetch, is_cached as is_cached, locate as locate
from filmstrip.presets.load import load as load
from filmstrip.presets.lookup import (
    PRESETS as PRESETS,
    find_extra_file as find_extra_file,
    find_preset as find_preset,
    suggest_names as suggest_names,
)
