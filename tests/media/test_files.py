from pathlib import Path

import pytest

from filmstrip.errors import FilmstripError
from filmstrip.media.files import written_beside


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with written_beside(target) as part:
        part.write_text("all")
        assert part.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "all"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("folder", [False, True])
def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, interruption: type[BaseException], folder: bool
) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def write(part: Path) -> None:
        if folder:
            part.mkdir()
            part = part / "first"
        part.write_text("half")
        raise interruption

    with pytest.raises(interruption), written_beside(target) as part:
        write(part)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    target.mkdir()
    with written_beside(target) as part:
        part.mkdir()
        (part / "first").write_text("x")
    assert [file.name for file in target.iterdir()] == ["first"]


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with written_beside(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_the_system_refuses_becomes_a_sentence(tmp_path: Path) -> None:
    def write() -> None:
        with written_beside(tmp_path / "clip.mp4") as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(FilmstripError, match=r"clip.mp4 could not be written: No space left on device. Free some"):
        write()
    assert list(tmp_path.iterdir()) == []
