"""Pictures and clips that condition a video: reading them, and choosing their frames in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from filmstrip.errors import InputError
from filmstrip.jobs.adjusted import Adjusted
from filmstrip.jobs.inputs import (
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
class LoadedCondition:
    """A condition whose file was read, with the frame and the strength that the request names."""

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
class Timeline:
    """The frames of the video that conditions are placed in."""

    num_frames: int
    window: int  # frames that are denoised together; extended clips take about half of them
    stride: int  # clips have `stride * k + 1` frames, and begin at a multiple of `stride`
    snap: bool  # move or cut conditions that do not fit, rather than refuse them


def read_conditions(request: GenerateRequest) -> Adjusted[tuple[LoadedCondition, ...]]:
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
            conditions.append(_loaded_condition(condition, file, None))
        elif condition.option == "video":
            file, frame_rate = _read_clip(condition.file)
            conditions.append(_loaded_condition(condition, file, frame_rate))
        else:
            raise InputError(
                f"A condition's option is {condition.option!r}; it must be 'image' or 'video'."
            )
    for role, path in ((EXTEND, request.extend), (EXTEND_BEFORE, request.extend_before)):
        if path is not None:
            file, frame_rate = _read_clip(path)
            conditions.append(LoadedCondition(role, file, frame_rate=frame_rate))
    return Adjusted(tuple(conditions), tuple(adjustments))


def _loaded_condition(
    condition: ConditionRequest, file: MediaFile, frame_rate: float | None
) -> LoadedCondition:
    return LoadedCondition(condition.option, file, condition.frame, condition.strength, frame_rate)


def _read_clip(path: str) -> tuple[MediaFile, float | None]:
    from filmstrip.media.load import read_video

    frames, frame_rate = read_video(path)
    return describe(path, frames, is_picture=False), frame_rate


def place_conditions(
    conditions: Sequence[LoadedCondition], timeline: Timeline
) -> Adjusted[tuple[MediaInput, ...]]:
    """Choose the frames of each condition in the video.

    Args:
        conditions: from `read_conditions`.
        timeline: the video.

    Returns:
        The inputs of the job, in the order of `conditions`.

    Raises:
        InputError: a condition does not fit, or two set the same frame.
    """
    placed = [_place(condition, conditions, timeline) for condition in conditions]
    inputs = tuple(media_input.value for media_input in placed)
    _check_overlaps(conditions, inputs)
    adjustments: list[str] = []
    for media_input in placed:
        adjustments += media_input.adjustments
    extended = [item for item in inputs if item.is_extended]
    if extended:
        num_conditioned = sum(item.num_frames for item in extended)
        num_in_files = sum(item.file.num_frames or 1 for item in extended)
        num_new = timeline.num_frames - num_conditioned
        adjustments.append(f"{num_new} frames are new, and the file has {num_new + num_in_files}.")
    return Adjusted(inputs, tuple(adjustments))


def _place(
    condition: LoadedCondition, conditions: Sequence[LoadedCondition], timeline: Timeline
) -> Adjusted[MediaInput]:
    """Choose the frames of one condition."""
    frame_index = condition.frame
    if frame_index < 0:
        frame_index += timeline.num_frames
    if not 0 <= frame_index < timeline.num_frames:
        raise InputError(
            f"{condition}: the video has the frames 0 to {timeline.num_frames - 1}, or "
            f"-{timeline.num_frames} to -1."
        )
    if condition.is_extended:
        num_extended = sum(other.is_extended for other in conditions)
        most_frames = min(timeline.num_frames, timeline.window) // (1 + num_extended) + 1
        return _place_extended(condition, most_frames, timeline)
    if condition.num_frames > 1:
        return _place_clip(condition, frame_index, timeline)
    return Adjusted(
        MediaInput(
            condition.role,
            condition.file,
            frame_index=frame_index,
            strength=condition.strength,
        )
    )


def _place_clip(
    condition: LoadedCondition, frame_index: int, timeline: Timeline
) -> Adjusted[MediaInput]:
    """Place as many of a clip's first frames as fit, from the multiple of `timeline.stride` that is
    nearest to `frame_index`.
    """
    problem = f"{condition} does not begin at a multiple of {timeline.stride}"
    start = snap(frame_index, 0, timeline.stride, problem, timeline.snap)
    frames_left = timeline.num_frames - start.value
    kept = cut_clip(
        str(condition), condition.num_frames, frames_left, timeline.stride, timeline.snap
    )
    placed = MediaInput(
        condition.role,
        condition.file,
        stop=kept.value,
        frame_index=start.value,
        strength=condition.strength,
    )
    return Adjusted(placed, (*start.adjustments, *kept.adjustments))


def _place_extended(
    condition: LoadedCondition, most_frames: int, timeline: Timeline
) -> Adjusted[MediaInput]:
    """Place the last frames of a clip at the start of the video, or its first ones at the end."""
    from filmstrip.ltx.video_shape import round_down_frames

    num_frames = condition.num_frames
    count = round_down_frames(min(num_frames, most_frames), timeline.stride)
    if condition.role == EXTEND:
        start = num_frames - count
        frame_index = 0
        frames_used = "last"
        position = "start"
    else:
        start = 0
        frame_index = timeline.num_frames - count
        frames_used = "first"
        position = "end"
    placed = MediaInput(
        condition.role, condition.file, start=start, stop=start + count, frame_index=frame_index
    )
    sentence = (
        f"{condition.file.path}: the {frames_used} {count} of its {num_frames} frames are kept at "
        f"the {position}."
    )
    return Adjusted(placed, (sentence,))


def _check_overlaps(conditions: Sequence[LoadedCondition], inputs: Sequence[MediaInput]) -> None:
    """Refuse two conditions that set the same frame."""
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
            f"{first} and {second} both set frame {frame}. Give one of them another frame: "
            "FILE@FRAME, where -1 is the last."
        )
