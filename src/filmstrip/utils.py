"""The names that scripts import from `diffusers.utils`: logging, loading and exporting."""

from typing import TYPE_CHECKING, Any

from filmstrip import logging
from filmstrip.registry import public

if TYPE_CHECKING:
    from filmstrip.media.export import export_to_gif, export_to_video
    from filmstrip.media.load import load_image, load_video

__all__ = ["export_to_gif", "export_to_video", "load_image", "load_video", "logging"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return public(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
