"""What diffusers' users import from `diffusers.utils`: the logger, loading and exporting."""

import importlib
from typing import TYPE_CHECKING, Any

from filmstrip import logging

if TYPE_CHECKING:
    from filmstrip.media.export import export_to_gif as export_to_gif
    from filmstrip.media.export import export_to_video as export_to_video
    from filmstrip.media.load import load_image as load_image
    from filmstrip.media.load import load_video as load_video

__all__ = ["export_to_gif", "export_to_video", "load_image", "load_video", "logging"]

HOMES = {
    "export_to_gif": "filmstrip.media.export",
    "export_to_video": "filmstrip.media.export",
    "load_image": "filmstrip.media.load",
    "load_video": "filmstrip.media.load",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
