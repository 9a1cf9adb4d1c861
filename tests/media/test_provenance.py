"""Provenance is stored in every format and read back."""

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.media.export import save_video
from filmstrip.media.provenance import read_provenance, to_text
from tests.media.clips import plain

NAMES = ("a.mp4", "a.mov", "a.mkv", "a.gif", "a.webp", "frames")
PROVENANCE: dict[str, Any] = {
    "prompt": "a red circle",
    "seed": 7,
    "guidance": 3.5,
    "sizes": [1, 2],
    "model": None,
    "ok": True,
}
PROVENANCES = {
    "plain": PROVENANCE,
    "empty": {},
    "unicode": {"prompt": "猫が走る é ü 🐈 \u202e right to left"},
    "control characters": {"prompt": "a\0b\n\r\t\x1b\u2028"},
    "lone surrogate": {"prompt": "undecodable \udc80 byte"},
    "markup": {"prompt": "<x:xmpmeta> & \"quotes\" 'and' \\ back;slashes=#"},
    "10 kB": {"prompt": "word 猫 " * 1250},
    "100 kB": {"prompt": "x" * 100_000},
}


@pytest.mark.parametrize("provenance", PROVENANCES)
@pytest.mark.parametrize("name", NAMES)
def test_provenance_is_read_back_from_every_format(
    tmp_path: Path, name: str, provenance: str
) -> None:
    path = save_video(plain(2), tmp_path / name, 8, provenance=PROVENANCES[provenance])
    assert read_provenance(path) == PROVENANCES[provenance]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prompt=st.text(st.characters(), max_size=40),
    name=st.sampled_from(["a.mp4", "a.mov", "a.gif", "a.webp"]),
)
def test_any_text_is_read_back(tmp_path: Path, prompt: str, name: str) -> None:
    save_video(plain(1, 16, 16), tmp_path / name, 8, provenance={"prompt": prompt})
    assert read_provenance(tmp_path / name) == {"prompt": prompt}


def test_the_mp4_comment_is_unescaped_json(tmp_path: Path) -> None:
    path = save_video(plain(2), tmp_path / "a.mp4", 8, provenance={"prompt": "猫"})
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == '{"filmstrip": {"prompt": "猫"}}'


def test_a_renamed_file_is_read_by_its_content(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.gif", "a.webp"):
        path = save_video(plain(2), tmp_path / name, 8, provenance=PROVENANCE)
        assert read_provenance(shutil.move(path, tmp_path / "renamed.bin")) == PROVENANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_video_without_provenance_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="has no provenance: it was not written by filmstrip"):
        read_provenance(save_video(plain(2), tmp_path / name, 8))


@pytest.mark.parametrize(
    "comment",
    [
        "holiday",
        '{"prompt": "of another program"}',
        "[1]",
        "3",
        '{"filmstrip": 3}',
        "{",
        "[" * 9999,
    ],
)
def test_the_comment_of_another_program_is_not_provenance(tmp_path: Path, comment: str) -> None:
    picture = PIL.Image.new("RGB", (8, 8))
    picture.save(tmp_path / "a.gif", comment=comment.encode())
    (tmp_path / "provenance.json").write_text(comment)
    for path in (tmp_path / "a.gif", tmp_path):
        with pytest.raises(InputError, match="has no provenance"):
            read_provenance(path)


def test_files_that_are_not_videos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("text.mp4", "empty.mp4", "cut.png"):
        with pytest.raises(InputError, match=rf"{name} (cannot be read|is not a picture)"):
            read_provenance(tmp_path / name)
    for name in ("missing.mp4", "nul\0.mp4", "x" * 300):
        with pytest.raises(InputError, match="There is no file"):
            read_provenance(tmp_path / name)


@pytest.mark.parametrize(
    "value",
    [Path("a"), float("nan"), np.float32(1), {1, 2}, object()],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_does_not_have_are_refused_before_writing(
    tmp_path: Path, value: object
) -> None:
    with pytest.raises(InputError, match="The provenance cannot be written as JSON"):
        save_video(plain(2), tmp_path / "a.mp4", 8, provenance={"value": value})
    assert list(tmp_path.iterdir()) == []


def test_the_text_is_valid_json() -> None:
    for provenance in PROVENANCES.values():
        text = to_text(provenance)
        assert json.loads(text) == {"filmstrip": provenance}
        text.encode("utf-8")
