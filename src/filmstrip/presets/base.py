"""What every row of the tables of known checkpoints has. Needs no torch, so tables are fast."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """Weights that have a name here: where they are, and their licence."""

    name: str
    about: str
    repo: str | None = None  # Hub id; None: they come with the package
    licence: str = ""
    licence_url: str = ""
    download_gb: float = 0  # all files that are read, those of other repositories too

    @property
    def credit(self) -> str:
        """A sentence that names the licence."""
        return f"The weights of {self.name} come under: {self.licence} ({self.licence_url})"


@dataclass(frozen=True, kw_only=True)
class ModelPreset(PublishedWeights):
    """A checkpoint that makes videos, and the shape of its videos when a call gives none."""

    width: int
    height: int
    frames: int
    one_size: bool = False  # trained for this width and height alone
    fps: float
