"""Loading pictures and videos from files and URLs."""

import http.server
import logging
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest

from filmstrip.errors import InputError
from filmstrip.media.export import save_video
from filmstrip.media.load import flatten, load_image, load_video
from tests.media.clips import plain, smooth


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in `tmp_path`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()


def save_picture(path: Path, mode: str = "RGB", **options: Any) -> Path:
    PIL.Image.fromarray(smooth(1)[0]).convert(mode).save(path, **options)
    return path


# Pictures


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff"])
def test_a_picture_loads_as_rgb(tmp_path: Path, name: str) -> None:
    path = save_picture(tmp_path / name)
    for image in (load_image(path), load_image(str(path)), load_image(PIL.Image.open(path))):
        assert (image.mode, image.size) == ("RGB", (48, 32))


def test_a_picture_is_rotated_by_its_exif_orientation(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # rotate clockwise by 90 degrees
    image = load_image(save_picture(tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(image), np.rot90(smooth(1)[0], -1))


def test_convert_method_receives_the_original_mode(tmp_path: Path) -> None:
    assert load_image(save_picture(tmp_path / "a.png", "L"), lambda image: image).mode == "L"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_flatten_composites_transparency(mode: str) -> None:
    image = PIL.Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image = image.convert(mode)
    left = (76, 76, 76) if mode == "LA" else (255, 0, 0)
    assert [flatten(image).getpixel((x, 0)) for x in (0, 1)] == [left, (255, 255, 255)]
    assert flatten(image, "#00ff00").getpixel((1, 0)) == (0, 255, 0)
    assert flatten(PIL.Image.new("L", (1, 1), 9)).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_flatten_scales_sixteen_bits_to_eight(mode: str) -> None:
    values = PIL.Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)
    flat = np.asarray(flatten(values.convert("I").convert(mode)))
    assert (flat == np.arange(256).reshape(16, 16, 1)).all()


def test_flatten_accepts_premultiplied_grey() -> None:
    assert flatten(PIL.Image.new("La", (1, 1), (0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_an_animation_is_refused_where_a_still_picture_is_needed(tmp_path: Path) -> None:
    for name in ("a.gif", "a.webp"):
        path = save_video(plain(3), tmp_path / name, 8)
        with pytest.raises(
            InputError, match=rf"{name} is animated \(3 frames\), and a still picture is needed"
        ):
            load_image(path)
    with PIL.Image.open(path) as picture:  # an open picture has a current frame
        picture.seek(2)
        assert load_image(picture).mode == "RGB"


def test_a_photograph_with_an_embedded_second_picture_is_still(tmp_path: Path) -> None:
    first, second = (PIL.Image.fromarray(frame) for frame in smooth(2))
    first.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[second])
    assert load_image(tmp_path / "phone.jpg").size == (48, 32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "missing.png",
            "There is no picture .*missing.png. Check the path; a URL starts with http",
        ),
        ("x" * 300, "There is no picture"),
        ("nul\0", "There is no picture"),
        ("folder", "is a folder. Give the file of one picture"),
        ("text.png", "text.png is not a picture that can be read"),
        ("empty.png", "empty.png is not a picture that can be read"),
        ("cut.png", "cut.png cannot be read: .* may be damaged"),
        ("clip.mp4", "clip.mp4 is not a picture that can be read. Give a PNG"),
    ],
)
def test_a_file_that_is_not_a_picture_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "cut.png")
    os.truncate(tmp_path / "cut.png", 2000)
    save_video(plain(2), tmp_path / "clip.mp4", 8)
    with pytest.raises(InputError, match=message):
        load_image(tmp_path / name)


@pytest.mark.parametrize("image", [None, 3, np.zeros((4, 4, 3)), b"a.png"])
def test_other_types_are_refused(image: Any) -> None:
    with pytest.raises(InputError, match=r"A picture must be a path or a URL, but this one is a"):
        load_image(image)
    with pytest.raises(InputError, match="A video must be a path or a URL, but this one is a"):
        load_video(image)


# Videos


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.gif", "a.webp"])
def test_a_video_loads_as_rgb_frames_with_its_rate(tmp_path: Path, name: str) -> None:
    path = save_video(plain(5), tmp_path / name, 12.5)
    frames, fps = load_video(str(path), return_fps=True)
    assert [(frame.mode, frame.size) for frame in frames] == [("RGB", (48, 32))] * 5
    assert fps == pytest.approx(12.5)
    assert len(load_video(path, lambda frames: frames[1:])) == 4


def test_a_picture_is_a_video_of_one_frame_without_a_rate(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.gif"):
        assert len(load_video(save_picture(tmp_path / name))) == 1
    with pytest.raises(InputError, match=r"a.png does not say how many frames a second"):
        load_video(tmp_path / "a.png", return_fps=True)


@pytest.mark.parametrize("colorspace", [1, 5])
@pytest.mark.parametrize("color_range", [1, 2])
def test_colours_are_decoded_by_the_tags_of_the_file(
    tmp_path: Path, colorspace: int, color_range: int
) -> None:
    clip = plain(8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "4"})
        stream.width = 48
        stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        for picture in clip:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(
                stream.encode(
                    frame.reformat(
                        format="yuv420p", dst_colorspace=colorspace, dst_color_range=color_range
                    )
                )
            )
        container.mux(stream.encode(None))
    result = np.stack([np.asarray(frame) for frame in load_video(tmp_path / "a.mp4")]).astype(int)
    assert np.abs(result - clip).max() <= 5


@pytest.mark.parametrize(
    ("matrix", "quarter_turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)]
)
def test_a_video_is_rotated_by_its_matrix(
    tmp_path: Path, matrix: tuple[int, int, int, int], quarter_turns: int
) -> None:
    """Phones store rotated frames and a matrix in the track header: (0, 1, -1, 0) is clockwise."""
    path = save_video(smooth(2), tmp_path / "a.mp4", 8, quality=9.5)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    for frame, expected in zip(load_video(path), smooth(2), strict=True):
        assert np.abs(np.asarray(frame).astype(int) - np.rot90(expected, quarter_turns)).mean() < 2


def test_a_video_that_ends_early_is_loaded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    path = save_video(noise, tmp_path / "a.mp4", 8)
    os.truncate(path, path.stat().st_size // 2)
    monkeypatch.setattr(logging.getLogger("filmstrip"), "propagate", True)
    with caplog.at_level("WARNING"):
        frames = load_video(path)
    assert 0 < len(frames) < 20
    assert f"Only {len(frames)} of the 20 frames" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.mp4", "There is no video .*missing.mp4"),
        ("text.mp4", "text.mp4 cannot be read as a video: Invalid data found"),
        ("empty.mp4", "empty.mp4 cannot be read as a video"),
        ("cut.mp4", "cut.mp4 has no video stream: it holds something else, or is damaged"),
        ("cut.gif", "cut.gif cannot be read"),
        ("sound.wav", "sound.wav has no video stream: it holds something else"),
        ("folder", "folder is a folder. Give the file of one video"),
    ],
)
def test_a_file_that_is_not_a_video_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    save_video(smooth(4), tmp_path / "cut.mp4", 8)
    os.truncate(tmp_path / "cut.mp4", 300)
    save_video(smooth(4), tmp_path / "cut.gif", 8)
    os.truncate(tmp_path / "cut.gif", 900)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(InputError, match=message):
        load_video(tmp_path / name)


# URLs


def test_pictures_and_videos_load_from_a_url(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture(tmp_path / "a b.png")
    save_video(plain(3), tmp_path / "a.mp4", 8)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(downloads))
    np.testing.assert_array_equal(np.asarray(load_image(f"{server}/a%20b.png")), smooth(1)[0])
    assert len(load_video(f"{server}/a.mp4?name=x.gif")) == 3
    assert list(downloads.iterdir()) == []


def test_a_url_without_a_picture_or_video_is_refused(tmp_path: Path, server: str) -> None:
    with pytest.raises(InputError, match=r"/none.png could not be fetched: HTTP Error 404"):
        load_image(f"{server}/none.png")
    with pytest.raises(InputError, match=r"could not be fetched: .*\. Check the address"):
        load_video("http://127.0.0.1:1/none.mp4")
    with pytest.raises(InputError, match="could not be fetched"):
        load_image("http://")
    (tmp_path / "page.html").write_text("<p>hello")
    with pytest.raises(InputError, match=r"^http://.*/page.html is not a picture"):
        load_image(f"{server}/page.html")
    with pytest.raises(InputError, match=r"^http://.*/page.html cannot be read as a video"):
        load_video(f"{server}/page.html")
