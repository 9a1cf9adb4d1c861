"""Pictures and clips that a video shall show: what `--image`, `--video`, `--extend` and `--extend-before` name."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filmstrip.cli import plan
from filmstrip.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FORM = re.compile(r"(?P<file>.+)@(?P<frame>-?\d+)(:(?P<strength>[^:/\\]*))?")
SMALLEST = 8  # pixels a side, of what is used of a picture
BACKGROUND = "white"  # of transparent pictures


@dataclass(frozen=True)
class Asked:
    """What an option asks for: a file, the frame of the video at which it begins, and how strongly it is held."""

    option: str
    file: str
    frame: int = 0
    strength: float = 1.0

    def __str__(self) -> str:
        return f"{self.option} {self.file}@{self.frame}"


@dataclass(frozen=True)
class Room:
    """The video that pictures and clips must fit into."""

    width: int
    height: int
    frames: int
    stride: int  # clips have stride * k + 1 frames and begin at a multiple of it
    crops: bool  # a picture of another shape loses its edges; else it is stretched
    snap: bool = True  # move what does not fit, and say so, rather than refuse it


@dataclass
class Held:
    """The conditions of a call, and the rest of the clips that it continues."""

    conditions: list[Any] = field(default_factory=list)  # LTXVideoCondition
    before: list["Image"] = field(default_factory=list)  # in the video's size
    after: list["Image"] = field(default_factory=list)
    written: list[dict[str, str]] = field(default_factory=list)  # options and their values, for the recipe
    spans: list[tuple[int, int, Asked]] = field(default_factory=list)  # first and last frame of each

    def add(self, asked: Asked, frames: list["Image"], value: str) -> None:
        """Hold frames of the video; an `InputError` if another condition holds one of them."""
        from filmstrip.ltx.conditions import LTXVideoCondition

        first, last = asked.frame, asked.frame + len(frames) - 1
        for begin, end, other in self.spans:
            if first <= end and begin <= last:
                both = f"{other} and {asked} both hold frame {max(first, begin)}"
                raise InputError(f"{both}. Give one of them another frame: FILE@FRAME, where -1 is the last.")
        self.spans.append((first, last, asked))
        self.written.append({asked.option.removeprefix("--"): value})
        shown: dict[str, Any] = {"video": frames} if len(frames) > 1 else {"image": frames[0]}
        self.conditions.append(LTXVideoCondition(**shown, frame_index=first, strength=asked.strength))


def parse(option: str, text: str) -> Asked:
    """Read FILE, FILE@FRAME or FILE@FRAME:STRENGTH, where a file that is called just so is meant as it stands.

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


def read(
    images: list[str], videos: list[str], clips: Mapping[str, tuple[str, list["Image"]]], room: Room, notes: list[str]
) -> Held:
    """Read what `--image` and `--video` name, and fit it and the clips to continue into the video.

    Args:
        clips: the file and the frames of `--extend` and of `--extend-before`, by option.

    Raises:
        InputError: a file cannot be read or does not fit, or two of them hold the same frame.
    """
    held = Held()
    for asked in (*(parse("--image", text) for text in images), *(parse("--video", text) for text in videos)):
        _hold(asked, room, held, notes)
    for option, (file, frames) in clips.items():
        _extend(option, file, frames, room, held, notes)
    return held


def picture(source: str, width: int, height: int, crops: bool, notes: list[str]) -> "Image":
    """The upright picture of a file or URL as RGB, with notes on what is done to it.

    Raises:
        InputError: it cannot be read, or is too small.
    """
    from filmstrip.media.load import flatten, load_image

    found = load_image(source, convert_method=lambda upright: upright)
    if found.has_transparency_data:
        notes.append(f"{source} is transparent: it is put on {BACKGROUND}.")
    _note_shape(found, source, width, height, crops, notes)
    return flatten(found, BACKGROUND)


def _hold(asked: Asked, room: Room, held: Held, notes: list[str]) -> None:
    """Hold the picture of `--image` or the clip of `--video`."""
    from filmstrip.ltx.inputs import whole_frames
    from filmstrip.media.load import read_video

    frame = asked.frame + (room.frames if asked.frame < 0 else 0)
    if not 0 <= frame < room.frames:
        raise InputError(f"{asked}: the video has the frames 0 to {room.frames - 1}, or -{room.frames} to -1.")
    if asked.option == "--image":
        frames = [picture(asked.file, room.width, room.height, room.crops, notes)]
    else:
        frames = read_video(asked.file)[0]
        _note_shape(frames[0], asked.file, room.width, room.height, room.crops, notes)
    if len(frames) > 1:
        problem = f"{asked} does not begin at a multiple of {room.stride}"
        frame = plan.snapped(frame, 0, room.stride, problem, room.snap, notes)
        kept = whole_frames(min(len(frames), room.frames - frame), room.stride)
        problem = f"{asked} has {len(frames)} frames, of which {kept} fit ({room.stride} * k + 1)"
        if kept < len(frames) and not room.snap:
            raise InputError(f"{problem}. Cut it to that, or leave out --no-snap.")
        if kept < len(frames):
            notes.append(f"{problem}: the later ones are cut.")
        frames = frames[:kept]
    placed = Asked(asked.option, asked.file, frame, asked.strength)
    held.add(placed, [_shaped(one, room) for one in frames], f"{asked.file}@{frame}:{asked.strength:g}")


def _extend(option: str, file: str, frames: list["Image"], room: Room, held: Held, notes: list[str]) -> None:
    """Hold the last frames of a clip at the start of the video, or with `--extend-before` its first ones at the end.

    They are about half of the video at most.
    """
    from PIL import ImageOps

    from filmstrip.ltx.inputs import whole_frames

    _note_shape(frames[0], file, room.width, room.height, room.crops, notes)
    count, size = whole_frames(min(len(frames), room.frames // 2 + 1), room.stride), (room.width, room.height)
    made, after = room.frames - count, option == "--extend"
    part, rest = (frames[-count:], frames[:-count]) if after else (frames[:count], frames[count:])
    held.add(Asked(option, file, 0 if after else made), [_shaped(one, room) for one in part], file)
    kept = held.before if after else held.after
    kept += [ImageOps.fit(one, size) if room.crops else one.resize(size) for one in rest]
    which, where = ("last", "after") if after else ("first", "before")
    notes.append(f"{file}: {made} new frames come {where} its {len(frames)}, the {which} {count} of which are held.")


def _shaped(frame: "Image", room: Room) -> "Image":
    """What is used of a frame, so that the pipeline finds nothing to warn of."""
    from filmstrip.ltx.picture import middle

    if not room.crops:
        return frame.resize((room.width, room.height), 1)  # Lanczos, as the video processor does
    used = middle(frame.width, frame.height, room.width / room.height)
    # A pixel more on each side: the pipeline crops to the last one.
    left, top = (max((have - use) // 2 - 1, 0) for have, use in zip(frame.size, used, strict=True))
    return frame.crop((left, top, frame.width - left, frame.height - top))


def _note_shape(found: "Image", source: str, width: int, height: int, crops: bool, notes: list[str]) -> None:
    """Note what happens to a picture of another shape than the video; refuse one of a few pixels."""
    from filmstrip.ltx.inputs import Clip, has_other_shape
    from filmstrip.ltx.picture import middle

    used = middle(found.width, found.height, width / height)
    if min(used) < SMALLEST:
        raise InputError(f"{source} is {found.width}x{found.height}: too small for a video of {width}x{height}.")
    if has_other_shape(found.height, found.width, Clip(height, width, 1, 1)):
        done = "cropped to its middle, {}x{}".format(*used) if crops else f"stretched to {width}x{height}"
        remedy = "crop it first, or give --width and --height in its shape"
        notes.append(f"{source} is {found.width}x{found.height} and will be {done}: {remedy}.")
