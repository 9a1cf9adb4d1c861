"""What `--image`, `--video` and `--extend` name is read, fitted into the video and said; or refused in a sentence."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from filmstrip.cli.conditions import Asked, Room, parse, read
from filmstrip.errors import InputError
from filmstrip.ltx.picture import prepare_picture
from filmstrip.media.export import save_video

ROOM = Room(width=64, height=32, frames=17, stride=4, crops=True)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PIL.Image.new("RGB", (64, 32), (200, 10, 30)).save("a.png")
    PIL.Image.new("RGB", (64, 64), (0, 0, 255)).save("square.png")
    PIL.Image.new("RGBA", (64, 32), (0, 0, 0, 0)).save("clear.png")
    PIL.Image.new("RGB", (64, 1)).save("line.png")
    Path("text.png").write_text("hello")
    grey = np.arange(0, 200, 10, dtype=np.uint8)  # 20 frames, each brighter than the one before
    save_video(np.broadcast_to(grey[:, None, None, None], (20, 32, 64, 3)), "clip", 10)
    save_video(np.broadcast_to(grey[:, None, None, None], (20, 32, 64, 3)), "clip.webp", 10, quality=10)


def greys(frames: list[PIL.Image.Image]) -> list[int]:
    return [int(np.asarray(frame)[9, 9, 0]) // 10 for frame in frames]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("a.png", ("a.png", 0, 1.0)),
        ("a.png@96", ("a.png", 96, 1.0)),
        ("a.png@-1:0.8", ("a.png", -1, 0.8)),
        ("me@home.png@3:.5", ("me@home.png", 3, 0.5)),
        ("https://me:secret@example.org:80/a@2x.png", ("https://me:secret@example.org:80/a@2x.png", 0, 1.0)),
        ("https://example.org:80/a.png?at=1:2@8", ("https://example.org:80/a.png?at=1:2", 8, 1.0)),
        (r"C:\pictures\a.png", (r"C:\pictures\a.png", 0, 1.0)),
        (r"C:\pictures\a.png@8:1", (r"C:\pictures\a.png", 8, 1.0)),
        ("odd@4", ("odd@4", 0, 1.0)),
        ("odd@4@8", ("odd@4", 8, 1.0)),
    ],
)
def test_a_frame_and_a_strength_follow_the_file(text: str, asked: tuple[str, int, float]) -> None:
    Path("odd@4").touch()
    assert parse("--image", text) == Asked("--image", *asked)


@pytest.mark.parametrize("text", ["a.png@0:", "a.png@0:1.1", "a.png@0:-1", "a.png@0:much", "a.png@0:nan"])
def test_a_strength_is_a_number_from_0_to_1(text: str) -> None:
    with pytest.raises(InputError, match=f"--image {text}: the strength, after the colon, is a number from 0"):
        parse("--image", text)


def test_pictures_are_held_at_frames_that_may_count_from_the_end() -> None:
    notes = list[str]()
    held = read(["a.png", "a.png@5", "a.png@-1:0.5"], [], {}, ROOM, notes)
    assert [(one.frame_index, one.strength) for one in held.conditions] == [(0, 1), (5, 1), (16, 0.5)]
    assert held.written == [{"image": "a.png@0:1"}, {"image": "a.png@5:1"}, {"image": "a.png@16:0.5"}]
    assert notes == []


def test_a_clip_is_moved_to_the_grid_and_cut_to_what_fits_aloud_or_refused() -> None:
    notes = list[str]()
    (one,) = read([], ["clip.webp@6:0.5"], {}, ROOM, notes).conditions
    assert (one.frame_index, one.strength, greys(one.video)) == (8, 0.5, list(range(9)))
    assert notes == [
        "--video clip.webp@6 does not begin at a multiple of 4: using 8.",
        "--video clip.webp@6 has 20 frames, of which 9 fit (4 * k + 1): the later ones are cut.",
    ]
    strict = Room(64, 32, 17, 4, crops=True, snap=False)
    with pytest.raises(InputError, match="multiple of 4, which this model needs; the nearest is 8"):
        read([], ["clip.webp@6"], {}, strict, [])
    with pytest.raises(InputError, match=r"20 frames, of which 17 fit .* Cut it to that, or leave out --no-snap"):
        read([], ["clip.webp"], {}, strict, [])


def test_a_clip_is_continued_from_its_last_frames_or_led_up_to() -> None:
    notes = list[str]()
    frames = [PIL.Image.new("RGB", (64, 32), (10 * i,) * 3) for i in range(20)]
    clips = {"--extend": ("clip.webp", frames), "--extend-before": ("next.webp", frames[:7])}
    held = read([], [], clips, ROOM, notes)
    first, last = held.conditions
    assert (first.frame_index, greys(first.video)) == (0, list(range(11, 20)))
    assert (last.frame_index, greys(last.video)) == (12, list(range(5)))
    assert (greys(held.before), greys(held.after)) == (list(range(11)), [5, 6])
    assert held.written == [{"extend": "clip.webp"}, {"extend-before": "next.webp"}]
    assert notes == [
        "clip.webp: 8 new frames come after its 20, the last 9 of which are held.",
        "next.webp: 12 new frames come before its 7, the first 5 of which are held.",
    ]


def test_what_is_done_to_a_picture_is_said() -> None:
    notes = list[str]()
    read(["square.png"], [], {}, ROOM, notes)
    (stretched,) = read(["square.png"], [], {}, Room(64, 32, 17, 4, crops=False), notes).conditions
    (white,) = read(["clear.png"], [], {}, ROOM, notes).conditions
    remedy = "crop it first, or give --width and --height in its shape."
    assert notes == [
        f"square.png is 64x64 and will be cropped to its middle, 64x32: {remedy}",
        f"square.png is 64x64 and will be stretched to 64x32: {remedy}",
        "clear.png is transparent: it is put on white.",
    ]
    assert stretched.image.size == (64, 32)
    assert white.image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("size", [(100, 57), (101, 33), (40, 91), (64, 32), (63, 32)])
def test_a_picture_that_is_cropped_before_gives_the_same_pixels(size: tuple[int, int]) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
    noise.save("noise.png")
    (one,) = read(["noise.png"], [], {}, ROOM, []).conditions
    assert prepare_picture(one.image, 32, 64, crf=0).equal(prepare_picture(noise, 32, 64, crf=0))


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("--image", "nowhere.png@0", "There is no picture nowhere.png."),
        ("--image", "a.png:0.5", "There is no picture a.png:0.5."),
        ("--image", "text.png", "text.png is no picture"),
        ("--image", "clip.webp", "is animated"),
        ("--video", "text.png", "text.png cannot be read as a video"),
        ("--video", "clip", "clip is a folder"),
        ("--image", "a.png@17", "--image a.png@17: the video has the frames 0 to 16, or -17 to -1."),
        ("--image", "a.png@-18", "--image a.png@-18: the video has the frames 0 to 16"),
        ("--image", "line.png", "line.png is 64x1: too small for a video of 64x32."),
    ],
)
def test_what_cannot_be_used_is_refused(option: str, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read([text] if option == "--image" else [], [text] if option == "--video" else [], {}, ROOM, [])
    assert sentence in str(refused.value)


def test_two_conditions_cannot_hold_one_frame() -> None:
    with pytest.raises(InputError, match=r"--image a.png@3 and --video clip.webp@0 both hold frame 3\. "):
        read(["a.png@3"], ["clip.webp"], {}, ROOM, [])
