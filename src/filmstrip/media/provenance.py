"""The provenance of a video: the settings that made it, stored in the file as JSON.

| format | stored in |
| --- | --- |
| mp4, mov, mkv | the `comment` tag (muxers drop tags with other names) |
| gif | the comment block |
| webp | the EXIF user comment |
| folder of frames | `provenance.json` |

The text is `{"filmstrip": provenance}` everywhere, so that a comment that another program wrote is
not mistaken for it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from filmstrip.errors import InputError

KEY = "filmstrip"
PROVENANCE_FILE = "provenance.json"
EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
EXIF_ASCII = b"ASCII\0\0\0"  # the character code at the start of a user comment


def to_text(provenance: Mapping[str, Any]) -> str:
    """Convert a provenance to the JSON text that is stored in the file.

    Characters are not escaped, except lone surrogates.

    Raises:
        InputError: a value cannot be written as JSON.
    """
    try:
        text = json.dumps({KEY: dict(provenance)}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The provenance cannot be written as JSON: {error}. Use strings, numbers, lists and "
            "dicts."
        ) from None
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_ascii(text: str) -> bytes:
    """Escape the JSON text to ASCII, for formats whose comments hold nothing else."""
    return json.dumps(json.loads(text)).encode("ascii")


def to_exif(text: str) -> bytes:
    """Make an EXIF block with the JSON text as its user comment."""
    exif = PIL.Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = EXIF_ASCII + to_ascii(text)
    return exif.tobytes()


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Read the provenance of a video or folder of frames that filmstrip wrote.

    Raises:
        InputError: there is no such file, it is not a video, or it has no provenance.
    """
    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, false for impossible names
        raise InputError(f"There is no file {path}. Check the name.")
    text = _read_comment(path)
    try:
        provenance = json.loads(text)[KEY]
    except (ValueError, KeyError, TypeError, RecursionError):
        provenance = None
    if not isinstance(provenance, dict):
        raise InputError(
            f"{path} has no provenance: it was not written by filmstrip, or written with "
            "--no-provenance, or a program that converted it dropped the comment."
        )
    return provenance


def _read_comment(path: Path) -> str:
    """The comment of a file or folder; empty if it has none."""
    from filmstrip.media.load import is_picture, open_picture, open_video

    if path.is_dir():
        file = path / PROVENANCE_FILE
        return file.read_text("utf-8", "replace") if file.is_file() else ""
    if not is_picture(path):
        with open_video(path) as container:
            return container.metadata.get("comment") or container.metadata.get("COMMENT") or ""
    with open_picture(path) as picture:
        comment = picture.info.get("comment")
        if not comment:
            comment = picture.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    if isinstance(comment, str):
        return comment
    return bytes(comment).removeprefix(EXIF_ASCII).decode("utf-8", "replace")
