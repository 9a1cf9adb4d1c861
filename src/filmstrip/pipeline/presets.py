"""What every row of a family's table of known checkpoints has."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """One known checkpoint: where it is, its licence, and the size and length to use when none are given."""

    name: str
    about: str
    repo: str | None = None  # Hub id of the diffusers folder; None: it ships with the package
    licence: str = ""
    licence_url: str = ""
    download_gb: int | None = None  # all files that are read; None: not known
    width: int
    height: int
    frames: int
    one_size: bool = False  # trained for these sizes alone
    fps: float
    steps: int
