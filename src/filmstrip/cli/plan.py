"""What a command is about to do, decided and checked before any work: the parts every family
shares.
"""

import itertools
import math
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filmstrip.cli.checkpoint import Checkpoint
from filmstrip.cli.display import duration, entries
from filmstrip.cli.families import RECIPE_PIPELINE, P
from filmstrip.errors import InputError
from filmstrip.svd.limits import MOTION_BUCKET_RANGE

MAX_SEED = 2**63 - 1
ALIASES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
LIMITS: dict[str, tuple[float, float]] = {  # of what a preset or an option sets, both ends included
    **dict.fromkeys(("width", "height", "frames", "steps"), (1, math.inf)),
    **dict.fromkeys(("guidance", "guidance_min", "guidance_max", "noise_aug"), (0, math.inf)),
    "motion": MOTION_BUCKET_RANGE,
    "seconds": (0.001, math.inf),
    "fps": (0.1, 1000),
    "count": (1, 9999),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before work."""

    command: str
    model: str  # what --model takes to get the same weights
    source: str  # folder or Hub id
    revision: str | None
    pipeline: str  # class name, importable from filmstrip
    side: str  # whose numbers: the drop-in class's or the authors'
    steps: int  # of one video
    credit: str  # a line on the model: what it is, its licence
    device: str
    dtype: str
    seeds: tuple[int, ...]
    outputs: tuple[Path, ...]
    fps: float
    recipe: bool  # whether to write into the file what is needed to make it again
    changes: Mapping[str, Any]  # to the authors' recipe
    upscale: bool = False  # to twice the size of the call
    call: Mapping[str, Any]  # arguments of the pipeline's call, all but the generator
    notes: tuple[str, ...]  # a sentence for each thing that is not as asked

    def headline(self) -> str:
        """The plan in a line."""
        seeds = (
            f"seed {self.seeds[0]}"
            if len(self.seeds) == 1
            else f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        )
        steps = f"{plural(self.steps, 'step')}, " if self.steps else ""
        return f"{self.model}: {self.shape()}, {steps}{seeds}, {self.device} {self.dtype}"

    def shape(self) -> str:
        """Size and length of each video."""
        width, height, frames = (self.call[name] for name in ("width", "height", "num_frames"))
        size = f"{width}x{height}" + (
            f" upscaled to {2 * width}x{2 * height}" if self.upscale else ""
        )
        return (
            f"{size}, {plural(frames, 'frame')} ({duration(frames / self.fps)} at {self.fps:g} fps)"
        )

    def as_text(self) -> str:
        """The plan for reading, an entry a line."""
        shown = {**self.as_dict(), **self.call, **self.changes}
        hidden = ("call", "changes", "credit", "notes")
        return entries({name: value for name, value in shown.items() if name not in hidden})

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON can write it."""
        return asdict(self) | {"outputs": [str(path) for path in self.outputs]}


def decide(
    chosen: Checkpoint[P],
    folder: Path,
    call: Mapping[str, Any],
    notes: list[str],
    *,
    steps: int,
    changes: Mapping[str, Any] = MappingProxyType({}),
    upscale: bool = False,
    seeds: tuple[int, ...],
    asked: tuple[str, str],
    output: Path | None,
    recipe: bool,
) -> Plan:
    """The plan for a call of the checkpoint's pipeline; `asked` are device and type as the user
    gave them.

    Raises:
        InputError: the device or the type is not there, or an output cannot be written.
    """
    where, preset = device(asked[0]), chosen.preset
    pipeline = chosen.family.pipeline if chosen.recipe is None else RECIPE_PIPELINE
    drop_in = f"drop-in numbers (as diffusers' {pipeline})"
    size = (preset.width, preset.height, preset.frames)
    if (
        preset.one_size
        and (call["width"], call["height"], call.get("window", call["num_frames"])) != size
    ):
        trained = "{}x{} and {} frames".format(*size)
        notes.append(
            f"The {preset.name} model is trained for {trained} only; other sizes look worse."
        )
    paths = outputs(output, len(seeds), call["num_frames"], call["height"], call["width"], notes)
    return Plan(
        command=chosen.family.command,
        model=chosen.name,
        source=chosen.location,
        revision=chosen.commit(folder),
        pipeline=pipeline,
        side=drop_in
        if chosen.recipe is None
        else f"the authors' numbers (the recipe of {chosen.name})",
        steps=steps,
        credit=chosen.credit,
        device=where,
        dtype=dtype(asked[1], where),
        seeds=seeds,
        outputs=paths,
        fps=call["frame_rate"] if "frame_rate" in call else call["fps"],
        recipe=recipe,
        changes=dict(changes),
        upscale=upscale,
        call=call,
        notes=tuple(notes),
    )


def plural(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def settings(preset: P, **asked: Any) -> P:
    """The preset, with what the user asked for in its place.

    Raises:
        InputError: a number beyond its limits.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, str):
            within(name, value, *LIMITS[name])
    fps = given.get("fps", preset.fps)
    return replace(preset, **given | {"fps": int(fps) if fps == int(fps) else fps})


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises:
    InputError: `value` is not a finite number from `low` to `high`.
    """
    if not low <= value <= high or value == math.inf:
        said = f"{value:g}" if isinstance(value, float) else value
        bounds = f"{low:g} or more" if high == math.inf else f"from {low} to {high}"
        raise InputError(f"--{name.replace('_', '-')} is {said}, but it must be {bounds}.")


def side(name: str, asked: int, multiple: int, snap: bool, notes: list[str]) -> int:
    """The multiple of `multiple` nearest to `asked` pixels, with a note; refused when `snap` is
    off.
    """
    return snapped(
        asked, multiple, multiple, f"--{name} {asked} is not a multiple of {multiple}", snap, notes
    )


def frame_count(
    frames: int, seconds: float | None, fps: float, stride: int, snap: bool, notes: list[str]
) -> int:
    """The `stride` * k + 1 nearest to `frames`, or to `seconds` where they are given; as `side`."""
    said = f"--frames {frames}"
    if seconds is not None:
        within("seconds", seconds, *LIMITS["seconds"])
        frames = max(1, round(seconds * fps))
        said = f"--seconds {seconds:g} at {fps:g} fps ({frames} frames)"
    return snapped(frames, 1, stride, f"{said} is not {stride} * k + 1", snap, notes)


def snapped(asked: int, first: int, step: int, problem: str, snap: bool, notes: list[str]) -> int:
    """The `first` + `step` * k nearest to `asked`, with a note of the problem; refused when `snap`
    is off.
    """
    nearest = first + max(0, math.floor((asked - first) / step + 0.5)) * step
    if nearest != asked and not snap:
        raise InputError(
            f"{problem}, which this model needs; the nearest is {nearest}. Use that, or leave out "
            "--no-snap."
        )
    if nearest != asked:
        notes.append(f"{problem}: using {nearest}.")
    return nearest


def cut(said: str, given: int, room: int, stride: int, snap: bool, notes: list[str]) -> int:
    """How many of a clip's first `given` frames are used: `stride` * k + 1, no more than `room`; as
    `side`.
    """
    from filmstrip.ltx.video_shape import round_down_frames

    kept = round_down_frames(min(given, room), stride)
    problem = (
        f"{said} has {plural(given, 'frame')}, of which the first {kept} can be used "
        f"({stride} * k + 1)"
    )
    if kept < given and not snap:
        raise InputError(f"{problem}. Cut it to these, or leave out --no-snap.")
    if kept < given:
        notes.append(f"{problem}: the others are cut.")
    return kept


def odd_sides(width: int, height: int, output: Path | None, snap: bool, notes: list[str]) -> None:
    """Note what a video file makes of odd sides, which H.264 in 4:2:0 cannot have; refused when
    `snap` is off.
    """
    from filmstrip.media.export import MOVFLAGS

    suffix = ".mp4" if output is None else output.suffix.lower()
    if suffix in MOVFLAGS and (width % 2 or height % 2):
        even = f"{width + width % 2}x{height + height % 2}"
        problem = (
            f"{width}x{height} has an odd side, and {suffix} files (H.264, 4:2:0) have even ones"
        )
        if not snap:
            raise InputError(f"{problem}. Use {even}, another format, or leave out --no-snap.")
        notes.append(f"{problem}: the last line is written twice, {even}.")


def seeds(first: int | None, count: int) -> tuple[int, ...]:
    """`count` seeds that follow each other, from `first` or from a random one."""
    within("count", count, *LIMITS["count"])
    first = random.SystemRandom().randrange(2**32) if first is None else first
    within("seed", first, 0, MAX_SEED - count + 1)
    return tuple(range(first, first + count))


def outputs(
    output: Path | None, count: int, frames: int, height: int, width: int, notes: list[str]
) -> tuple[Path, ...]:
    """The files to write, one a video, which can be written; without `output`, new ones in this
    folder.
    """
    from filmstrip.media.export import check_writable

    paths = _numbered(output, count) if output is not None else _unused(count)
    for path in paths:
        check_writable(path, frames, height, width)
    replaced = ", ".join(str(path) for path in paths if path.is_file())
    if replaced:
        notes.append(f"Replacing {replaced}.")
    return paths


def _numbered(output: Path, count: int) -> tuple[Path, ...]:
    if count == 1:
        return (output,)
    return tuple(
        output.with_name(f"{output.stem}-{number:04d}{output.suffix}")
        for number in range(1, count + 1)
    )


def _unused(count: int) -> tuple[Path, ...]:
    """`out.mp4`, or `out-2.mp4`, ...: the first name under which nothing exists."""
    names = (f"out-{number}.mp4" if number > 1 else "out.mp4" for number in itertools.count(1))
    candidates = (_numbered(Path(name), count) for name in names)
    return next(paths for paths in candidates if not any(path.exists() for path in paths))


def device(asked: str) -> str:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; an `InputError` when it is not
    there.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", asked):
        raise InputError(f"--device {asked} is not known: use auto, cpu, cuda, cuda:N or mps.")
    kind, _, index = asked.partition(":")
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        return next(name for name, there in available.items() if there)
    if not available[kind]:
        raise InputError(
            f"--device {asked}: torch {torch.__version__} finds no {kind} device here. Use "
            "--device cpu."
        )
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise InputError(
            f"--device {asked}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0."
        )
    return asked


def dtype(asked: str, device: str) -> str:
    """The precision to use; an `InputError` when the device cannot work in it."""
    import torch

    bfloat16_works = not device.startswith("cuda") or torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    if asked == "auto":
        return "float32" if device == "cpu" else "bfloat16" if bfloat16_works else "float16"
    chosen = ALIASES.get(asked, asked)
    if chosen not in ALIASES.values():
        raise InputError(f"--dtype {asked} is not known: use auto, float32, bfloat16 or float16.")
    if chosen == "float16" and device == "cpu":
        raise InputError(
            "--dtype float16 does not work on the CPU: use float32 (exact) or bfloat16 (half the "
            "memory)."
        )
    if chosen == "bfloat16" and not bfloat16_works:
        raise InputError(
            f"--dtype bfloat16: {torch.cuda.get_device_name(device)} cannot compute in it. Use "
            "float16."
        )
    return chosen
