"""The files of a job: their names, numbers, and what they replace."""

from pathlib import Path

import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.output_files import choose_outputs, refuse_inputs_as_outputs


def test_several_videos_are_numbered(tmp_path: Path) -> None:
    output = str(tmp_path / "a.mp4")
    assert choose_outputs(output, 1, 9, 32, 32).value == (output,)
    assert choose_outputs(output, 2, 9, 32, 32).value == (
        str(tmp_path / "a-0001.mp4"),
        str(tmp_path / "a-0002.mp4"),
    )


def test_the_default_name_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("out.mp4", "out-2.mp4", "out-3.mp4"):
        (path,) = choose_outputs(None, 1, 9, 32, 32).value
        assert path == expected
        Path(path).touch()
    (tmp_path / "out-4-0002.mp4").touch()
    assert choose_outputs(None, 2, 9, 32, 32).value == ("out-0001.mp4", "out-0002.mp4")


def test_replacing_a_file_gives_a_message(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    chosen = choose_outputs(str(tmp_path / "a.mp4"), 1, 9, 32, 32)
    assert chosen.adjustments == (f"Replacing {tmp_path / 'a.mp4'}.",)


def test_a_file_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    clip = str(tmp_path / "clip.mp4")
    refuse_inputs_as_outputs([str(tmp_path / "out.mp4")], [clip, "https://example.org/clip.mp4"])
    with pytest.raises(InputError, match="is an input of this video"):
        refuse_inputs_as_outputs([str(tmp_path / "." / "clip.mp4")], [clip])
