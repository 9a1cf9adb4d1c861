"""The fields that all presets have. Imports no torch, so that reading a table is fast."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Published weights with a name: their repository and their licence."""

    name: str
    about: str
    repo: str | None = None  # Hub id; None: they come with the package
    licence: str = ""
    licence_url: str = ""
    download_gb: float = 0  # all files that loading needs, from all repositories

    @property
    def credit(self) -> str:
        """A sentence that names the licence."""
        return f"The weights of {self.name} are licensed under: {self.licence} ({self.licence_url})"


@dataclass(frozen=True, kw_only=True)
class ModelPreset(PublishedWeights):
    """A checkpoint that makes videos, and the default size and length of its videos."""

    width: int
    height: int
    frames: int
    one_size: bool = False  # trained for this width, height and length only
    fps: float
