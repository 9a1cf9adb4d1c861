"""The errors that filmstrip raises on purpose. Each message is a sentence with the value, the place
and the remedy.
"""


class FilmstripError(Exception):
    """Base of every error that filmstrip raises on purpose."""


class InputError(FilmstripError, ValueError):
    """An argument that cannot be used: wrong value, type, shape or combination."""


class CheckpointError(FilmstripError, OSError):
    """A checkpoint that cannot be loaded: missing, damaged, of another model, or in a format that
    is refused.
    """
