"""The exceptions of filmstrip. Each message names the value, where it came from and the remedy."""


class FilmstripError(Exception):
    """Base of the exceptions that filmstrip raises on purpose."""


class InputError(FilmstripError, ValueError):
    """An argument that cannot be used: its value, type, shape or combination is wrong."""


class CheckpointError(FilmstripError, OSError):
    """A checkpoint that cannot be loaded: missing, damaged, of another model, or refused format."""
