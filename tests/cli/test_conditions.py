"""What `--image`, `--video` and `--extend` name is read, fitted into the video and said; or refused
in a sentence.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from filmstrip.cli.conditions import Asked, Held, hold, load, parse
from filmstrip.errors import InputError
from filmstrip.media.export import save_video


def fit(
    frames: int = 17, snap: bool = True, notes: list[str] | None = None, **options: Any
) -> Held:
    """What the options make of a video of so many frames, by a model whose clips have 4 * k + 1."""
    notes = [] if notes is None else notes
    given = {"--" + name.replace("_", "-"): value for name, value in options.items()}
    return hold(load(given, notes), frames, frames, 4, snap, notes)


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
    save_video(
        np.broadcast_to(grey[:, None, None, None], (20, 32, 64, 3)), "clip.webp", 10, quality=10
    )


def greys(frames: Iterable[PIL.Image.Image]) -> list[int]:
    return [int(np.asarray(frame)[9, 9, 0]) // 10 for frame in frames]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("a.png", ("a.png", 0, 1.0)),
        ("a.png@96", ("a.png", 96, 1.0)),
        ("a.png@-1:0.8", ("a.png", -1, 0.8)),
        ("me@home.png@3:.5", ("me@home.png", 3, 0.5)),
        (
            "https://me:secret@example.org:80/a@2x.png",
            ("https://me:secret@example.org:80/a@2x.png", 0, 1.0),
        ),
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


@pytest.mark.parametrize(
    "text", ["a.png@0:", "a.png@0:1.1", "a.png@0:-1", "a.png@0:much", "a.png@0:nan"]
)
def test_a_strength_is_a_number_from_0_to_1(text: str) -> None:
    with pytest.raises(
        InputError, match=f"--image {text}: the strength, after the colon, is a number from 0"
    ):
        parse("--image", text)


def test_pictures_are_held_at_frames_that_may_count_from_the_end() -> None:
    notes = list[str]()
    held = fit(notes=notes, image=["a.png", "a.png@5", "a.png@-1:0.5"])
    assert [(one.frame_index, one.strength) for one in held.conditions] == [
        (0, 1),
        (5, 1),
        (16, 0.5),
    ]
    assert held.written == [
        {"image": "a.png@0:1"},
        {"image": "a.png@5:1"},
        {"image": "a.png@16:0.5"},
    ]
    assert notes == []


def test_a_clip_is_moved_to_the_grid_and_cut_to_what_fits_aloud_or_refused() -> None:
    notes = list[str]()
    (one,) = fit(notes=notes, video=["clip.webp@6:0.5"]).conditions
    assert (one.frame_index, one.strength, greys(one.video)) == (8, 0.5, list(range(9)))
    assert notes == [
        "--video clip.webp@6 does not begin at a multiple of 4: using 8.",
        "--video clip.webp@6 has 20 frames, of which the first 9 can be used (4 * k + 1): the "
        "others are cut.",
    ]
    with pytest.raises(InputError, match="multiple of 4, which this model needs; the nearest is 8"):
        fit(snap=False, video=["clip.webp@6"])
    with pytest.raises(
        InputError, match=r"the first 17 can be used .* Cut it to these, or leave out --no-snap"
    ):
        fit(snap=False, video=["clip.webp"])


def test_a_clip_is_continued_from_its_last_frames_and_led_up_to() -> None:
    brighter = np.arange(50, 57, dtype=np.uint8)[:, None, None, None]
    save_video(np.broadcast_to(brighter, (7, 32, 64, 3)), "next.webp", 10, quality=10)
    notes = list[str]()
    held = fit(notes=notes, extend="clip.webp", extend_before="next.webp", frames=21)
    first, last = held.conditions
    assert (first.frame_index, greys(first.video)) == (0, list(range(15, 20)))
    assert (last.frame_index, greys(last.video)) == (16, [5] * 5)
    assert held.written == [{"extend": "clip.webp"}, {"extend-before": "next.webp"}]
    assert notes == [
        "clip.webp: the last 5 of its 20 frames are held at the start.",
        "next.webp: the first 5 of its 7 frames are held at the end.",
        "11 frames are new, and the file has 38.",
    ]
    joined = held.join(np.full((21, 32, 64, 3), 200, np.uint8), crop=True)[:, 9, 9, 0].tolist()
    assert joined[:15] == list(range(0, 150, 10))  # the clip before
    assert joined[15:20] == [
        158,
        173,
        185,
        193,
        198,
    ]  # from its last frames to those that were made
    assert joined[20:31] == [200] * 11
    assert joined[31:] == [175, 150, 126, 102, 78, 55, 56]  # and into the clip after


@pytest.mark.parametrize(("crop", "edge"), [(True, (200, 10, 30)), (False, (0, 0, 255))])
def test_a_clip_of_another_shape_is_joined_in_the_shape_of_the_video(
    crop: bool, edge: tuple[int, int, int]
) -> None:
    wide = PIL.Image.new("RGB", (96, 32), (0, 0, 255))
    wide.paste((200, 10, 30), (16, 0, 80, 32))
    held = Held(before=((wide, wide), 1))
    assert tuple(held.join(np.zeros((1, 32, 64, 3), np.float32), crop)[0, 9, 0]) == edge


def test_a_transparent_picture_is_put_on_white_aloud() -> None:
    notes = list[str]()
    (white,) = fit(notes=notes, image=["clear.png"]).conditions
    assert notes == ["clear.png is transparent: it is put on white."]
    assert white.image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("image", "nowhere.png@0", "There is no picture nowhere.png."),
        ("image", "a.png:0.5", "There is no picture a.png:0.5."),
        ("image", "text.png", "text.png is not a picture"),
        ("image", "clip.webp", "is animated"),
        ("video", "text.png", "text.png cannot be read as a video"),
        ("video", "clip", "clip is a folder"),
        ("image", "a.png@17", "--image a.png@17: the video has the frames 0 to 16, or -17 to -1."),
        ("image", "a.png@-18", "--image a.png@-18: the video has the frames 0 to 16"),
        ("image", "line.png", "line.png is 64x1: give a picture of at least 8x8."),
    ],
)
def test_what_cannot_be_used_is_refused(option: str, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        fit(**{option: [text]})
    assert sentence in str(refused.value)


def test_two_conditions_cannot_hold_one_frame() -> None:
    with pytest.raises(
        InputError, match=r"--video clip.webp@0 and --image a.png@3 both hold frame 3\. "
    ):
        fit(image=["a.png@3"], video=["clip.webp"])
