"""What every row of a family's table of known checkpoints has."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """Something that has a name here: where it is, and its licence."""

    name: str
    about: str
    repo: str | None = None  # Hub id; None: it ships with the package
    licence: str = ""
    licence_url: str = ""
    download_gb: float = 0  # all files that are read, of other repositories too

    @property
    def credit(self) -> str:
        """Under which licence it comes."""
        return f"The weights of {self.name} come under: {self.licence} ({self.licence_url})"


@dataclass(frozen=True, kw_only=True)
class KnownModel(Published):
    """One known checkpoint, and the size and length to use when none are given."""

    width: int
    height: int
    frames: int
    one_size: bool = False  # trained for these sizes alone
    fps: float
