"""Files are complete or absent."""

import pytest

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import make_folder, read_json, replacing, replacing_files, write_json


def test_a_file_is_replaced_when_writing_succeeds(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def write(path, text, error=None):
    with replacing(path) as temporary:
        temporary.write_text(text)
        if error:
            raise error


def write_inside(folder, text, error=None):
    with replacing_files(folder) as temporary:
        (temporary / "new").write_text(text)
        if error:
            raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_file_is_unchanged_if_writing_fails(error, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(error):
        write(file, "half", error)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_replaces_an_empty_one(tmp_path):
    (tmp_path / "frames").mkdir()
    with replacing(tmp_path / "frames") as temporary:
        temporary.mkdir()
        (temporary / "first").write_text("x")
    assert [path.name for path in tmp_path.rglob("*")] == ["frames", "first"]


def test_a_link_points_to_the_replaced_file(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_files_move_into_their_folder_together(tmp_path):
    folder = make_folder(tmp_path / "folder")
    (folder / "kept").write_text("kept")
    with pytest.raises(RuntimeError):
        write_inside(folder, "half", RuntimeError)
    assert [path.name for path in folder.iterdir()] == ["kept"]
    write_inside(folder, "whole")
    assert sorted(path.name for path in folder.iterdir()) == ["kept", "new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_path_that_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"absent/a.txt cannot be written: No such file"):
        write(tmp_path / "absent" / "a.txt", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is a file"):
        make_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"below cannot be made: Not a directory"):
        make_folder(tmp_path / "file" / "below")


def test_json_is_written_sorted_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1], "a": None})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": null,\n  "b": [\n    1\n  ]\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [1]}
    with pytest.raises(CheckpointError, match=f"{tmp_path} cannot be read: Is a directory"):
        read_json(tmp_path)
