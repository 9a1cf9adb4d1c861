"""The embedded models: one of each family, small, and a picture to animate.

`tools/train_demo` of the source repository trained them.
"""

from pathlib import Path

from filmstrip.errors import CheckpointError


def path(model: str = "ltx") -> Path:
    """The folder of an embedded checkpoint, "ltx" or "svd", in diffusers' layout.

    Raises:
        CheckpointError: if this installation came without it.
    """
    folder = Path(__file__).parent / model
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"The embedded demo model is missing from {folder}. Install filmstrip from a release "
            f"or a full clone, or train it with `python -m tools.train_demo {model}`."
        )
    return folder
