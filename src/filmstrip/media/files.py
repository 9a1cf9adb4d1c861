"""Files that are complete or absent."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filmstrip.errors import FilmstripError


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, and move it to `path` when the block ends well.

    The block may create a file or a folder there. Whatever interrupts it (an error, Ctrl-C), the temporary
    path is removed and `path` is what it was before. Missing parents are made. A folder replaces an empty
    folder only.

    Raises:
        FilmstripError: the operating system refused to write.
    """
    path = path.resolve()
    part = path.parent / f".filmstrip-{secrets.token_hex(6)}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FilmstripError(
            f"{path} could not be written: {reason}. Free some space or name another place."
        ) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        elif part.exists():
            part.unlink()
