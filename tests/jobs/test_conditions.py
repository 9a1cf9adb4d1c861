"""Pictures and clips are read and placed in the video, or refused with a message."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.conditions import Timeline, place_conditions, read_conditions
from filmstrip.jobs.inputs import MediaInput
from filmstrip.jobs.pipeline_calls import LoadedInput, join_clip
from filmstrip.jobs.request import ConditionRequest, GenerateRequest
from filmstrip.media.export import save_video


def image(file: str, frame: int = 0, strength: float = 1.0) -> ConditionRequest:
    return ConditionRequest("image", file, frame, strength)


def clip(file: str, frame: int = 0, strength: float = 1.0) -> ConditionRequest:
    return ConditionRequest("video", file, frame, strength)


def place(
    *conditions: ConditionRequest,
    num_frames: int = 17,
    snap: bool = True,
    extend: str | None = None,
    extend_before: str | None = None,
) -> Adjusted[tuple[MediaInput, ...]]:
    """Read and place conditions in a video of a model whose clips have 4 * k + 1 frames."""
    request = GenerateRequest(
        prompt="a", conditions=conditions, extend=extend, extend_before=extend_before
    )
    loaded = read_conditions(request)
    timeline = Timeline(num_frames, window=num_frames, stride=4, snap=snap)
    placed = place_conditions(loaded.value, timeline)
    return Adjusted(placed.value, (*loaded.adjustments, *placed.adjustments))


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


def brightness_of(frames: Sequence[PIL.Image.Image]) -> list[int]:
    """One pixel of each frame, divided by 10: the index of the frame in clip.webp."""
    return [int(np.asarray(frame)[9, 9, 0]) // 10 for frame in frames]


def indices_of_used_frames(item: MediaInput) -> list[int]:
    return brightness_of(LoadedInput(item, item.file.read()).used_frames)


def test_a_negative_frame_counts_from_the_end() -> None:
    placed = place(image("a.png"), image("a.png", 5), image("a.png", -1, 0.5))
    assert [(item.frame_index, item.strength) for item in placed.value] == [
        (0, 1),
        (5, 1),
        (16, 0.5),
    ]
    assert [str(item) for item in placed.value] == ["a.png@0:1", "a.png@5:1", "a.png@16:0.5"]
    assert placed.adjustments == ()


def test_a_clip_is_moved_to_the_grid_and_cut_or_refused() -> None:
    placed = place(clip("clip.webp", 6, 0.5))
    (item,) = placed.value
    assert (item.frame_index, item.strength, indices_of_used_frames(item)) == (
        8,
        0.5,
        list(range(9)),
    )
    assert placed.adjustments == (
        "--video clip.webp@6 does not begin at a multiple of 4: using 8.",
        "--video clip.webp@6 has 20 frames, of which the first 9 can be used (4 * k + 1): the "
        "others are cut.",
    )
    with pytest.raises(InputError, match="multiple of 4, which this model needs; the nearest is 8"):
        place(clip("clip.webp", 6), snap=False)
    with pytest.raises(
        InputError, match=r"the first 17 can be used .* Cut it to these, or leave out --no-snap"
    ):
        place(clip("clip.webp"), snap=False)


def test_a_clip_is_extended_from_its_last_or_to_its_first_frames() -> None:
    brighter = np.arange(50, 57, dtype=np.uint8)[:, None, None, None]
    save_video(np.broadcast_to(brighter, (7, 32, 64, 3)), "next.webp", 10, quality=10)
    placed = place(extend="clip.webp", extend_before="next.webp", num_frames=21)
    first, last = placed.value
    assert (first.frame_index, indices_of_used_frames(first)) == (0, list(range(15, 20)))
    assert (last.frame_index, indices_of_used_frames(last)) == (16, [5] * 5)
    assert [(item.role, str(item)) for item in placed.value] == [
        ("extend", "clip.webp"),
        ("extend-before", "next.webp"),
    ]
    assert placed.adjustments == (
        "clip.webp: the last 5 of its 20 frames are kept at the start.",
        "next.webp: the first 5 of its 7 frames are kept at the end.",
        "11 frames are new, and the file has 38.",
    )
    video = np.full((21, 32, 64, 3), 200, np.uint8)
    for item in placed.value:
        video = join_clip(video, LoadedInput(item, item.file.read()), crop=True)
    joined = video[:, 9, 9, 0].tolist()
    assert joined[:15] == list(range(0, 150, 10))  # the first clip
    # a cross-fade from the clip to the video
    assert joined[15:20] == [158, 173, 185, 193, 198]
    assert joined[20:31] == [200] * 11
    assert joined[31:] == [175, 150, 126, 102, 78, 55, 56]  # a cross-fade to the second clip


@pytest.mark.parametrize(("crop", "edge"), [(True, (200, 10, 30)), (False, (0, 0, 255))])
def test_an_extended_clip_is_resized_to_the_size_of_the_video(
    crop: bool, edge: tuple[int, int, int]
) -> None:
    wide = PIL.Image.new("RGB", (96, 32), (0, 0, 255))
    wide.paste((200, 10, 30), (16, 0, 80, 32))
    wide.save("wide.png")
    (item,) = place(extend="wide.png", num_frames=1).value
    loaded = LoadedInput(item, [wide, wide])
    joined = join_clip(np.zeros((1, 32, 64, 3), np.float32), loaded, crop)
    assert tuple(joined[0, 9, 0]) == edge


def test_a_transparent_picture_is_put_on_white() -> None:
    placed = place(image("clear.png"))
    assert placed.adjustments == ("clear.png is transparent: it is put on white.",)
    (white,) = placed.value[0].file.read()
    assert white.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (image("nowhere.png"), "There is no picture nowhere.png."),
        (image("a.png:0.5"), "There is no picture a.png:0.5."),
        (image("text.png"), "text.png is not a picture"),
        (image("clip.webp"), "is animated"),
        (clip("text.png"), "text.png cannot be read as a video"),
        (clip("clip"), "clip is a folder"),
        (image("a.png", 17), "--image a.png@17: the video has the frames 0 to 16, or -17 to -1."),
        (image("a.png", -18), "--image a.png@-18: the video has the frames 0 to 16"),
        (image("line.png"), "line.png is 64x1: give a picture of at least 8x8."),
        (image("a.png", 0, 1.5), "--strength is 1.5, but it must be from 0 to 1."),
        (ConditionRequest("sound", "a.png"), "it must be 'image' or 'video'"),
    ],
)
def test_conditions_that_cannot_be_used_are_refused(
    condition: ConditionRequest, message: str
) -> None:
    with pytest.raises(InputError) as error:
        place(condition)
    assert message in str(error.value)


def test_two_conditions_of_the_same_frame_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"--video clip.webp@0 and --image a.png@3 both set frame 3\. "
    ):
        place(image("a.png", 3), clip("clip.webp"))
    with pytest.raises(InputError, match=r"--image a.png@3 and --image a.png@3 both set frame 3"):
        place(image("a.png", 0), image("a.png", 3), image("a.png", 3))


@pytest.mark.parametrize("name", ["a.png", "clip.webp"])
def test_a_file_that_is_missing_or_has_changed_is_refused(name: str) -> None:
    condition = image(name) if name == "a.png" else clip(name)
    (item,) = place(condition).value
    assert item.file.read()
    other = "square.png" if name == "a.png" else "a.png"
    Path(name).write_bytes(Path(other).read_bytes())
    with pytest.raises(InputError, match=f"{name} has changed since the job was planned. Plan"):
        item.file.read()
    Path(name).unlink()
    with pytest.raises(InputError, match=f"There is no (picture|video) {name}"):
        item.file.read()
