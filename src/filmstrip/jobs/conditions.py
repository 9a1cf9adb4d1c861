"""Pictures and clips that a video shows: read, and placed in the video."""

from collections.abc import Sequence
from dataclasses import dataclass

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.media_input import (
    EXTEND,
    EXTEND_BEFORE,
    MediaFile,
    MediaInput,
    describe,
    read_picture,
)
from filmstrip.jobs.request import ConditionRequest, GenerateRequest
from filmstrip.jobs.settings import check_range
from filmstrip.jobs.sizes import cut_clip, snap


@dataclass(frozen=True)
class ReadCondition:
    """A picture or clip that was read, and the place in the video that the request names."""

    role: str
    file: MediaFile
    frame: int = 0
    strength: float = 1.0
    frame_rate: float | None = None  # of a clip that has one

    def __str__(self) -> str:
        return f"--{self.role} {self.file.path}@{self.frame}"

    @property
    def is_extended(self) -> bool:
        """Whether the video continues this clip, or leads up to it."""
        return self.role in (EXTEND, EXTEND_BEFORE)

    @property
    def num_frames(self) -> int:
        """How many frames the file has."""
        return self.file.num_frames or 1


@dataclass(frozen=True)
class Room:
    """The video that conditions are placed in."""

    num_frames: int
    window: int  # frames that are made at once; about half of them may be of an extended clip
    stride: int  # clips have `stride * k + 1` frames, and begin at a multiple of it
    snap: bool  # move what does not fit, rather than refuse it


def read_conditions(request: GenerateRequest) -> Adjusted[tuple[ReadCondition, ...]]:
    """Read the pictures and clips of a request.

    Raises:
        InputError: a file cannot be read, or a strength is not from 0 to 1.
    """
    conditions = []
    adjustments: list[str] = []
    for condition in request.conditions:
        check_range("strength", condition.strength)
        if condition.option == "image":
            picture = read_picture(condition.file)
            adjustments += picture.adjustments
            file = describe(condition.file, [picture.value], is_picture=True)
            conditions.append(_read_condition(condition, file, None))
        elif condition.option == "video":
            file, frame_rate = _read_clip(condition.file)
            conditions.append(_read_condition(condition, file, frame_rate))
        else:
            raise InputError(
                f"A condition's option is {condition.option!r}; it must be 'image' or 'video'."
            )
    for role, path in ((EXTEND, request.extend), (EXTEND_BEFORE, request.extend_before)):
        if path is not None:
            file, frame_rate = _read_clip(path)
            conditions.append(ReadCondition(role, file, frame_rate=frame_rate))
    return Adjusted(tuple(conditions), tuple(adjustments))


def _read_condition(
    condition: ConditionRequest, file: MediaFile, frame_rate: float | None
) -> ReadCondition:
    return ReadCondition(condition.option, file, condition.frame, condition.strength, frame_rate)


def _read_clip(path: str) -> tuple[MediaFile, float | None]:
    from filmstrip.media.load import read_video

    frames, frame_rate = read_video(path)
    return describe(path, frames, is_picture=False), frame_rate


def place_conditions(
    conditions: Sequence[ReadCondition], room: Room
) -> Adjusted[tuple[MediaInput, ...]]:
    """Find the place of each condition in the video.

    Raises:
        InputError: one does not fit, or two hold the same frame.
    """
    placed = [_place(condition, conditions, room) for condition in conditions]
    inputs = tuple(one.value for one in placed)
    _check_overlaps(conditions, inputs)
    adjustments = [sentence for one in placed for sentence in one.adjustments]
    extended = [item for item in inputs if item.is_extended]
    if extended:
        num_held = sum(item.num_frames for item in extended)
        in_files = sum(item.file.num_frames or 1 for item in extended)
        new = room.num_frames - num_held
        adjustments.append(f"{new} frames are new, and the file has {new + in_files}.")
    return Adjusted(inputs, tuple(adjustments))


def _place(
    condition: ReadCondition, conditions: Sequence[ReadCondition], room: Room
) -> Adjusted[MediaInput]:
    """Find the place of one of the conditions."""
    frame_index = condition.frame
    if frame_index < 0:
        frame_index += room.num_frames
    if not 0 <= frame_index < room.num_frames:
        raise InputError(
            f"{condition}: the video has the frames 0 to {room.num_frames - 1}, or "
            f"-{room.num_frames} to -1."
        )
    if condition.is_extended:
        num_extended = sum(other.is_extended for other in conditions)
        most_frames = min(room.num_frames, room.window) // (1 + num_extended) + 1
        return _place_extended(condition, most_frames, room)
    if condition.num_frames > 1:
        return _place_clip(condition, frame_index, room)
    return Adjusted(
        MediaInput(
            condition.role,
            condition.file,
            frame_index=frame_index,
            strength=condition.strength,
        )
    )


def _place_clip(condition: ReadCondition, frame_index: int, room: Room) -> Adjusted[MediaInput]:
    """Place as many of a clip's first frames as fit, at the multiple of `room.stride` nearest to
    a frame of the video.
    """
    problem = f"{condition} does not begin at a multiple of {room.stride}"
    start = snap(frame_index, 0, room.stride, problem, room.snap)
    frames_left = room.num_frames - start.value
    kept = cut_clip(str(condition), condition.num_frames, frames_left, room.stride, room.snap)
    placed = MediaInput(
        condition.role,
        condition.file,
        stop=kept.value,
        frame_index=start.value,
        strength=condition.strength,
    )
    return Adjusted(placed, (*start.adjustments, *kept.adjustments))


def _place_extended(condition: ReadCondition, most_frames: int, room: Room) -> Adjusted[MediaInput]:
    """Hold the last frames of a clip at the start of the video, or the first ones at its end."""
    from filmstrip.ltx.video_shape import round_down_frames

    num_frames = condition.num_frames
    count = round_down_frames(min(num_frames, most_frames), room.stride)
    if condition.role == EXTEND:
        start = num_frames - count
        frame_index = 0
        which, end = "last", "start"
    else:
        start = 0
        frame_index = room.num_frames - count
        which, end = "first", "end"
    placed = MediaInput(
        condition.role, condition.file, start=start, stop=start + count, frame_index=frame_index
    )
    sentence = (
        f"{condition.file.path}: the {which} {count} of its {num_frames} frames are held at the "
        f"{end}."
    )
    return Adjusted(placed, (sentence,))


def _check_overlaps(conditions: Sequence[ReadCondition], inputs: Sequence[MediaInput]) -> None:
    """Refuse two conditions that hold the same frame."""
    from filmstrip.ltx.pipelines.conditions import find_overlaps

    spans = [(placed.frame_index, placed.num_frames) for placed in inputs]
    for frame in find_overlaps(spans):
        first, second, *_ = (
            str(condition)
            for (start, count), condition in sorted(
                zip(spans, conditions, strict=True), key=lambda pair: pair[0]
            )
            if start <= frame < start + count
        )
        raise InputError(
            f"{first} and {second} both hold frame {frame}. Give one of them another frame: "
            "FILE@FRAME, where -1 is the last."
        )
