"""The recipe of a video: what made it, as a dict that goes to JSON, kept inside the file.

Where each format keeps it: mp4, mov and mkv in the `comment` tag (muxers drop tags with other
names), gif in its comment block, webp in the EXIF user comment, a folder of frames in
`recipe.json`. Everywhere it is the JSON text `{"filmstrip": recipe}`, so that a comment of another
program is not taken for a recipe.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from filmstrip.errors import InputError

MARK = "filmstrip"
FOLDER_FILE = "recipe.json"
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
EXIF_ASCII = b"ASCII\0\0\0"  # the character code that opens a user comment


def to_text(recipe: Mapping[str, Any]) -> str:
    """The text that is kept in the file, readable in any script; a lone surrogate becomes its JSON
    escape.

    What has no form in JSON is an InputError.
    """
    try:
        text = json.dumps({MARK: dict(recipe)}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The recipe cannot be written as JSON: {error}. Use strings, numbers, lists and dicts."
        ) from None
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_ascii(text: str) -> bytes:
    """The same JSON in ASCII, for formats whose comments know nothing else."""
    return json.dumps(json.loads(text)).encode("ascii")


def to_exif(text: str) -> bytes:
    """An EXIF block with `text` as its user comment."""
    exif = PIL.Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = EXIF_ASCII + to_ascii(text)
    return exif.tobytes()


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Read back the recipe of a video or folder of frames that filmstrip wrote.

    An InputError says that there is no such file, that it is no video, or that it has no recipe.
    """
    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, false for impossible names
        raise InputError(f"There is no file {path}. Check the name.")
    text = _comment(path)
    try:
        recipe = json.loads(text)[MARK]
    except (ValueError, KeyError, TypeError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict):
        raise InputError(
            f"{path} has no recipe: it was not written by filmstrip, or with --no-recipe, or a "
            "program that "
            "converted it dropped the comment."
        )
    return recipe


def _comment(path: Path) -> str:
    """The comment of a file or folder; empty when it has none."""
    from filmstrip.media.load import is_picture, open_picture, open_video

    if path.is_dir():
        file = path / FOLDER_FILE
        return file.read_text("utf-8", "replace") if file.is_file() else ""
    if not is_picture(path):
        with open_video(path) as container:
            return container.metadata.get("comment") or container.metadata.get("COMMENT") or ""
    with open_picture(path) as picture:
        comment = picture.info.get("comment") or picture.getexif().get_ifd(EXIF_IFD).get(
            USER_COMMENT, b""
        )
    return (
        comment
        if isinstance(comment, str)
        else bytes(comment).removeprefix(EXIF_ASCII).decode("utf-8", "replace")
    )
