"""Pictures and clips that a video shall show: what `--image`, `--video`, `--extend` and
`--extend-before` name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from filmstrip.cli import plan
from filmstrip.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FORM = re.compile(r"(?P<file>.+)@(?P<frame>-?\d+)(:(?P<strength>[^:/\\]*))?")
SMALLEST = 8  # pixels a side, of a picture
BACKGROUND = "white"  # of transparent pictures


@dataclass(frozen=True)
class Asked:
    """What an option asks for: a file, the frame of the video at which it begins, and how strongly
    it is held.
    """

    option: str
    file: str
    frame: int = 0
    strength: float = 1.0
    frames: tuple["Image", ...] = ()  # of the file
    rate: float | None = None  # in frames a second, if it is a clip that says so

    def __str__(self) -> str:
        return f"{self.option} {self.file}@{self.frame}"

    @property
    def continued(self) -> bool:
        """Whether the video goes on from this clip, or leads up to it."""
        return self.option.startswith("--extend")


@dataclass
class Held:
    """The conditions of a call, and the clips that it continues."""

    conditions: list[Any] = field(default_factory=list)  # LTXVideoCondition
    written: list[dict[str, str]] = field(
        default_factory=list
    )  # options and their values, for the recipe
    before: tuple[tuple["Image", ...], int] = (
        (),
        0,
    )  # the frames of a clip, of which the last so many are held
    after: tuple[tuple["Image", ...], int] = ((), 0)  # or the first

    def join(self, made: Any, crop: bool) -> Any:
        """The frames `(T, H, W, 3)` that were made, with the clips, cropped to their size or
        stretched, around them.

        Where both show the same, one fades into the other.
        """
        import numpy as np
        from PIL import ImageOps

        from filmstrip.media.frames import to_uint8_frames

        for (clip, shared), step in ((self.before, 1), (self.after, -1)):
            if clip:
                made = to_uint8_frames(made)[::step]
                size = made.shape[2], made.shape[1]
                given = to_uint8_frames(
                    [ImageOps.fit(one, size) if crop else one.resize(size) for one in clip[::step]]
                )
                share = np.linspace(0, 1, shared + 2)[1:-1, None, None, None]
                both = given[-shared:] + share * (made[:shared].astype(float) - given[-shared:])
                made = np.concatenate(
                    [given[:-shared], both.round().astype(np.uint8), made[shared:]]
                )[::step]
        return made


def parse(option: str, text: str) -> Asked:
    """Read FILE, FILE@FRAME or FILE@FRAME:STRENGTH, where a file that is called just so is meant as
    it stands.

    Raises:
        InputError: the strength is no number from 0 to 1.
    """
    found = None if os.path.exists(text) else FORM.fullmatch(text)
    if found is None:
        return Asked(option, text)
    try:
        strength = float(1 if found["strength"] is None else found["strength"])
        plan.within("strength", strength, 0, 1)
    except (ValueError, InputError):
        said = "the strength, after the colon, is a number from 0 (not held) to 1 (as in the file)"
        raise InputError(f"{option} {text}: {said}.") from None
    return Asked(option, found["file"], int(found["frame"]), strength)


def load(given: Mapping[str, list[str] | str | None], notes: list[str]) -> list[Asked]:
    """Read the files that are given by option: one to continue, or several of the form of `parse`.

    Raises:
        InputError: a file cannot be read, or is asked for in another form.
    """
    from filmstrip.media.load import read_video

    asked = list[Asked]()
    for option, files in given.items():
        asked += (
            [Asked(option, files)]
            if isinstance(files, str)
            else [parse(option, text) for text in files or ()]
        )
    loaded = []
    for one in asked:
        frames, rate = (
            ([picture(one.file, notes)], None) if one.option == "--image" else read_video(one.file)
        )
        loaded.append(replace(one, frames=tuple(frames), rate=rate))
    return loaded


def picture(source: str, notes: list[str]) -> "Image":
    """The upright picture of a file or URL as RGB; an `InputError` if it cannot be read or is too
    small.
    """
    from filmstrip.media.load import flatten, load_image

    found = load_image(source, convert_method=lambda upright: upright)
    if min(found.size) < SMALLEST:
        raise InputError(
            f"{source} is {found.width}x{found.height}: give a picture of at least "
            f"{SMALLEST}x{SMALLEST}."
        )
    if found.has_transparency_data:
        notes.append(f"{source} is transparent: it is put on {BACKGROUND}.")
    return flatten(found, BACKGROUND)


def hold(
    asked: list[Asked], frames: int, window: int, stride: int, snap: bool, notes: list[str]
) -> Held:
    """Find the places in a video of so many frames for what was loaded.

    Args:
        window: frames that are made at once; about half of them may be of a clip that is continued.
        stride: clips have `stride` * k + 1 frames, and begin at a multiple of it.
        snap: move what does not fit, with a note, rather than refuse it.

    Raises:
        InputError: something does not fit, or two of them hold the same frame.
    """
    from filmstrip.ltx.pipelines.conditions import LTXVideoCondition
    from filmstrip.ltx.video_shape import round_down_frames

    held, spans = Held(), list[tuple[int, int, str]]()
    most, new, written = (
        min(frames, window) // (1 + sum(one.continued for one in asked)) + 1,
        frames,
        frames,
    )
    for one in asked:
        at, given, file = one.frame + (frames if one.frame < 0 else 0), len(one.frames), one.file
        if not 0 <= at < frames:
            raise InputError(
                f"{one}: the video has the frames 0 to {frames - 1}, or -{frames} to -1."
            )
        kept, value = slice(1), ""
        if one.continued:
            count, value, onwards = (
                round_down_frames(min(given, most), stride),
                file,
                one.option == "--extend",
            )
            new, written = new - count, written + given - count
            if onwards:
                kept, held.before = slice(given - count, given), (one.frames, count)
            else:
                at, kept, held.after = frames - count, slice(count), (one.frames, count)
            which, where = ("last", "start") if onwards else ("first", "end")
            notes.append(
                f"{file}: the {which} {count} of its {given} frames are held at the {where}."
            )
        elif given > 1:
            at = plan.snapped(
                at, 0, stride, f"{one} does not begin at a multiple of {stride}", snap, notes
            )
            kept = slice(plan.cut(str(one), given, frames - at, stride, snap, notes))
        shown = list(one.frames[kept])
        what: dict[str, Any] = {"video": shown} if len(shown) > 1 else {"image": shown[0]}
        held.conditions.append(LTXVideoCondition(**what, frame_index=at, strength=one.strength))
        held.written.append(
            {one.option.removeprefix("--"): value or f"{file}@{at}:{one.strength:g}"}
        )
        spans.append((at, len(shown), str(one)))
    for (before, count, first), (at, _, second) in pairwise(sorted(spans)):
        if at < before + count:
            remedy = "Give one of them another frame: FILE@FRAME, where -1 is the last."
            raise InputError(f"{first} and {second} both hold frame {at}. {remedy}")
    if held.before[1] or held.after[1]:
        notes.append(f"{new} frames are new, and the file has {written}.")
    return held
