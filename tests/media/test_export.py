"""Writing videos, animations and folders of frames."""

import json
import math
import os
import resource
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip.errors import FilmstripError, InputError
from filmstrip.media import export
from filmstrip.media.export import check_writable, crf, export_to_gif, export_to_video, save_video
from filmstrip.media.load import load_video
from filmstrip.media.provenance import PROVENANCE_FILE
from tests.media.clips import plain, smooth

VIDEO_NAMES = ("a.mp4", "a.mov", "a.mkv")


def read_frames(path: str | Path) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in load_video(path)]).astype(int)


def psnr(result: np.ndarray, expected: np.ndarray) -> float:
    return 10 * math.log10(255**2 / float(((result - expected) ** 2).mean()))


# Contents of the file


@pytest.mark.parametrize("name", VIDEO_NAMES)
def test_writing_a_video_prints_nothing(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    save_video(smooth(3), tmp_path / name, 8)
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")


@pytest.mark.parametrize("name", VIDEO_NAMES)
def test_a_video_is_h264_in_420_tagged_bt709(tmp_path: Path, name: str) -> None:
    path = save_video(smooth(), tmp_path / name, 24)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
        assert (context.width, context.height, stream.average_rate) == (48, 32, 24)
        assert (
            context.colorspace,
            context.color_primaries,
            context.color_trc,
            context.color_range,
        ) == (1, 1, 1, 1)
        assert len(list(container.decode(stream))) == 8


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_the_index_is_before_the_frames(tmp_path: Path, name: str) -> None:
    content = save_video(smooth(), tmp_path / name, 24).read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("name", VIDEO_NAMES)
def test_colours_survive_a_round_trip(tmp_path: Path, name: str) -> None:
    clip = plain(8)
    result = read_frames(save_video(clip, tmp_path / name, 8, quality=9))
    assert np.abs(result - clip).max() <= 4
    assert np.abs((result - clip).mean(axis=(1, 2))).max() <= 3


def test_a_smooth_clip_keeps_its_mean_colour(tmp_path: Path) -> None:
    clip = smooth(6, 64, 96)
    result = read_frames(save_video(clip, tmp_path / "a.mp4", 8, quality=9))
    assert psnr(result, clip) > 44
    assert np.abs((result - clip).mean(axis=(0, 1, 2))).max() < 0.25


def test_the_colour_matrix_is_the_tagged_one(tmp_path: Path) -> None:
    """Luma by the weights of BT.709; those of BT.601 are up to 24 levels off for these colours."""
    clip = plain(8)
    path = save_video(clip, tmp_path / "a.mp4", 8, quality=9)
    expected = 16 + clip[:, 0, 0] @ np.array([0.2126, 0.7152, 0.0722]) * 219 / 255
    with av.open(str(path)) as container:
        luma = [frame.to_ndarray()[:32].mean() for frame in container.decode(video=0)]
    np.testing.assert_allclose(luma, expected, atol=1.5)


@pytest.mark.parametrize(
    "fps", [1, 8, 10.0, 23.976, 29.97, Fraction(24000, 1001), 0.5, 120, np.float32(12.5)]
)
def test_the_frame_rate_may_be_any_number(tmp_path: Path, fps: Any) -> None:
    path = save_video(plain(6), tmp_path / "a.mp4", fps)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(float(fps), rel=1e-5)
        assert float(stream.duration * stream.time_base) == pytest.approx(6 / float(fps), rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (31, 47), (32, 47), (31, 48)])
@pytest.mark.parametrize("name", VIDEO_NAMES)
def test_an_odd_height_or_width_repeats_the_last_row_or_column(
    tmp_path: Path, size: tuple[int, int], name: str
) -> None:
    height, width = size
    clip = smooth(3, height, width)
    result = read_frames(save_video(clip, tmp_path / name, 8, quality=9.8))
    assert result.shape == (3, height + height % 2, width + width % 2, 3)
    assert np.abs(result[:, :height, :width] - clip).mean() < 3
    if height % 2:
        assert np.abs(result[:, -1] - result[:, -2]).mean() < 3


# export_to_video: diffusers' arguments


@pytest.mark.parametrize(
    ("quality", "expected"), [(0, 51), (1, 45), (5, 25), (5.0, 25), (7, 15), (8.5, 7), (10, 0)]
)
def test_quality_is_the_crf_of_imageio(quality: float, expected: int) -> None:
    assert crf(quality) == {"crf": str(expected)}


def test_quality_and_bitrate_set_the_size(tmp_path: Path) -> None:
    clip = (np.random.default_rng(0).random((8, 16, 16, 3)).repeat(4, 1).repeat(4, 2) * 255).astype(
        np.uint8
    )

    def size(**options: Any) -> int:
        return os.path.getsize(export_to_video(clip, tmp_path / "a.mp4", **options))

    assert size(quality=1) < size() < size(quality=9)
    assert size() == pytest.approx(size(quality=5.0), rel=0.02)
    assert size(quality=None) == pytest.approx(size(quality=5.5), rel=0.1)  # both are CRF 22 to 23
    assert size(bitrate=20_000) < size(bitrate="400k") < size(bitrate=4_000_000, quality=None)


@pytest.mark.parametrize(
    ("size", "block", "expected"),
    [
        ((32, 48), 16, (32, 48)),
        ((33, 50), 16, (48, 64)),
        ((33, 50), 8, (40, 56)),
        ((33, 50), 2, (34, 50)),
        ((33, 51), 1, (34, 52)),
        ((33, 51), None, (34, 52)),
        ((33, 51), 5, (40, 60)),
    ],
)
def test_sizes_are_scaled_up_to_a_multiple_of_the_macro_block(
    tmp_path: Path, size: tuple[int, int], block: int | None, expected: tuple[int, int]
) -> None:
    result = read_frames(
        export_to_video(smooth(2, *size), tmp_path / "a.mp4", quality=9, macro_block_size=block)
    )
    assert result.shape[1:3] == expected


def test_a_macro_block_scales_the_picture_and_does_not_pad_it(tmp_path: Path) -> None:
    clip = smooth(2, 34, 50)
    result = read_frames(export_to_video(clip, tmp_path / "a.mp4", quality=9))
    scaled = [
        np.asarray(PIL.Image.fromarray(frame).resize((64, 48), PIL.Image.Resampling.BICUBIC))
        for frame in clip
    ]
    assert psnr(result, np.stack(scaled)) > 38


def test_pil_arrays_and_tensors_give_the_same_video(tmp_path: Path) -> None:
    clip = smooth(4)
    floats = clip.astype(np.float32) / 255
    forms: list[Any] = [
        clip,
        [PIL.Image.fromarray(frame) for frame in clip],
        floats,
        list(floats),
        torch.from_numpy(floats).permute(0, 3, 1, 2),
    ]
    results = [read_frames(export_to_video(form, tmp_path / "a.mp4", quality=9)) for form in forms]
    for result in results[1:]:
        # libx264 itself varies a little from run to run.
        assert np.abs(result - results[0]).max() <= 6


def test_without_a_path_a_temporary_file_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for write, suffix in ((export_to_video, ".mp4"), (export_to_gif, ".gif")):
        path = write(plain(3))
        assert isinstance(path, str)
        assert path.endswith(suffix)
        assert len(load_video(path)) == 3


def test_the_path_is_returned_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert export_to_video(plain(2), "new/a.mp4") == os.path.join("new", "a.mp4")
    assert export_to_gif(plain(2), Path("a.gif")) == "a.gif"
    assert save_video(plain(2), "b.mp4", 8) == Path("b.mp4")


# Animations and frames


@pytest.mark.parametrize("fps", [8, 24, 30, 23.976, 1])
@pytest.mark.parametrize(("name", "tick"), [("a.gif", 0.01), ("a.webp", 0.001)])
def test_an_animation_has_the_duration_of_its_frames(
    tmp_path: Path, name: str, tick: float, fps: float
) -> None:
    frames, rate = load_video(save_video(plain(8), tmp_path / name, fps), return_fps=True)
    assert len(frames) == 8
    assert 8 / rate == pytest.approx(8 / fps, abs=tick)
    with PIL.Image.open(tmp_path / name) as picture:
        assert picture.info["loop"] == 0


def test_a_gif_keeps_plain_colours_and_a_webp_of_quality_10_is_lossless(
    tmp_path: Path,
) -> None:
    np.testing.assert_array_equal(
        read_frames(save_video(plain(8), tmp_path / "a.gif", 8)), plain(8)
    )
    np.testing.assert_array_equal(
        read_frames(save_video(smooth(8), tmp_path / "a.webp", 8, quality=10)), smooth(8)
    )
    assert (
        psnr(read_frames(save_video(smooth(8, 64, 96), tmp_path / "b.webp", 8)), smooth(8, 64, 96))
        > 32
    )
    assert (
        psnr(read_frames(save_video(smooth(8, 64, 96), tmp_path / "b.gif", 8)), smooth(8, 64, 96))
        > 30
    )


def test_a_folder_holds_numbered_pngs_and_the_provenance(tmp_path: Path) -> None:
    path = save_video(smooth(3), tmp_path / "frames", 8, provenance={"fps": 8})
    assert sorted(file.name for file in path.iterdir()) == [
        *(f"frame_0000{i}.png" for i in range(3)),
        PROVENANCE_FILE,
    ]
    assert json.loads((path / PROVENANCE_FILE).read_text()) == {"filmstrip": {"fps": 8}}
    for index, frame in enumerate(smooth(3)):
        np.testing.assert_array_equal(
            np.asarray(PIL.Image.open(path / f"frame_0000{index}.png")), frame
        )


# Failed writes


class FailingFrames(list[Any]):
    """Two frames, of which reading the second raises an error."""

    def __init__(self, error: BaseException) -> None:
        good = PIL.Image.new("RGB", (16, 16))
        bad = PIL.Image.new("RGB", (16, 16))
        bad.convert = self.fail  # type: ignore[method-assign]
        self.error = error
        super().__init__([good, bad])

    def fail(self, mode: str) -> None:
        raise self.error


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.gif", "a.webp", "frames"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("from a frame")])
def test_an_interrupted_write_leaves_no_file(
    tmp_path: Path, name: str, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        save_video(FailingFrames(error), tmp_path / name, 8)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    save_video(plain(3), tmp_path / "a.mp4", 8)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        export_to_video(FailingFrames(KeyboardInterrupt()), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.webp", "frames"])
def test_a_full_disk_is_an_input_error(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # bytes that a file may have
    try:
        with pytest.raises(
            FilmstripError, match=rf"{name} cannot be written: File too large. Free some space"
        ):
            save_video(noise, tmp_path / name, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps=0 must be a number of frames"),
        ({"fps": -3.0}, "fps=-3.0 must be"),
        ({"fps": float("nan")}, "fps=nan must be"),
        ({"fps": float("inf")}, "fps=inf must be"),
        ({"fps": "8"}, "fps='8' must be"),
        ({"fps": None}, "fps=None must be"),
        ({"quality": 11}, "quality=11 must be a number from 0"),
        ({"quality": "best"}, "quality='best' must be"),
        ({"bitrate": 0}, "bitrate=0 must be"),
        ({"bitrate": "fast"}, "bitrate='fast' must be"),
        ({"macro_block_size": -2}, "macro_block_size=-2 must be"),
        ({"macro_block_size": 1.5}, "macro_block_size=1.5 must be"),
        ({"output_video_path": "a.avi"}, "must end in one of .mp4"),
        ({"output_video_path": "a"}, "must end in one of .mp4"),
        ({"video_frames": []}, "no frames"),
    ],
)
def test_invalid_arguments_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"video_frames": plain(2), "output_video_path": "a.mp4"} | options
    arguments["output_video_path"] = tmp_path / arguments["output_video_path"]
    with pytest.raises(InputError, match=message):
        export_to_video(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["a.mp4", "new/deep/a.gif", "frames", "empty", "old.mp4", "a.MP4"])
def test_a_writable_path_is_accepted_and_nothing_is_written(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old.mp4").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    check_writable(tmp_path / path, 25, 128, 128)
    assert sorted(tmp_path.rglob("*")) == before
    save_video(plain(2), tmp_path / path, 8)
    assert (tmp_path / path).exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.txt", "ends in .txt, which is not a format that can be written. Use .mp4"),
        ("folder.mp4", "is a folder, and a file is to be written there"),
        ("full", "is not empty"),
        ("file", "is a file, and a folder of frames is to be written"),
        ("file/a.mp4", "file is not a folder"),
        ("file/deep/a.mp4", "file is not a folder"),
        ("n" * 300 + ".mp4", "cannot be written: File name too long"),
        ("nul\0.mp4", "cannot be written"),
        ("pipe.mp4", "neither a file nor a folder"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=message):
        check_writable(tmp_path / path, 25, 128, 128)
    with pytest.raises(FilmstripError):
        save_video(plain(2), tmp_path / path, 8)


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(export.tempfile, "TemporaryFile", refuse)
    with pytest.raises(
        InputError, match=r"a.mp4 cannot be written: .*: Permission denied. Name another path"
    ):
        check_writable(tmp_path / "a.mp4", 25, 128, 128)


def test_too_little_space_is_refused_with_both_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000))
    check_writable(tmp_path / "a.mp4", 25, 128, 128)
    with pytest.raises(
        InputError, match=r"may need up to 59 MB \(161 frames of 704x512\), and .* has 3 MB free"
    ):
        check_writable(tmp_path / "a.mp4", 161, 512, 704)


def test_noise_needs_no_more_space_than_the_estimate(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 128, 128, 3), np.uint8)
    for name in (*VIDEO_NAMES, "a.gif", "a.webp", "frames"):
        path = save_video(noise, tmp_path / name, 8)
        size = (
            sum(file.stat().st_size for file in path.iterdir())
            if path.is_dir()
            else path.stat().st_size
        )
        assert (
            size
            <= export.format_of(Path(name)).bytes_per_pixel * noise.size / 3 + export.HEADER_BYTES
        )


def test_the_default_quality_of_save_video_is_7(tmp_path: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    default = save_video(clip, tmp_path / "default.mp4", 8).stat().st_size
    same = save_video(clip, tmp_path / "same.mp4", 8, quality=7).stat().st_size
    assert default == pytest.approx(same, rel=0.01)


def test_frames_of_export_to_gif_last_whole_hundredths_of_a_second(tmp_path: Path) -> None:
    path = export_to_gif(plain(3), tmp_path / "a.gif", fps=24)
    with PIL.Image.open(path) as picture:
        assert picture.info["duration"] == 40  # 1000 // 24 is 41
