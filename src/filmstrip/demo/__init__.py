"""The embedded checkpoints: a small model of each family, and a picture to animate.

`tools/train_demo` in the source repository trains them.
"""

from pathlib import Path

from filmstrip.errors import CheckpointError


def path(model: str = "ltx") -> Path:
    """The folder of an embedded checkpoint, in diffusers' layout.

    Args:
        model: "ltx" or "svd".

    Raises:
        CheckpointError: it is missing from this installation.
    """
    folder = Path(__file__).parent / model
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"The embedded demo model is missing from {folder}. Install filmstrip from a release "
            f"or a full clone, or train it with `python -m tools.train_demo {model}`."
        )
    return folder
