"""What a command is about to do, decided and checked before any work: the parts every family shares."""

import itertools
import math
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from filmstrip.cli.checkpoint import Checkpoint, commit
from filmstrip.cli.display import duration
from filmstrip.cli.families import P
from filmstrip.errors import InputError
from filmstrip.pipeline.presets import KnownModel

T = TypeVar("T")
MAX_SEED = 2**63 - 1
MAX_COUNT = 9999
MIN_FPS, MAX_FPS = 0.1, 1000
DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
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
    credit: str  # a line on the model: what it is, its licence
    device: str
    dtype: str
    seeds: tuple[int, ...]
    outputs: tuple[Path, ...]
    fps: float
    recipe: bool
    call: Mapping[str, Any]  # arguments of the pipeline's call, all but the generator
    notes: tuple[str, ...]  # a sentence for each thing that is not as asked

    def headline(self) -> str:
        """The plan in a line."""
        steps = self.call.get("num_inference_steps") or len(self.call["timesteps"])
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        return f"{self.model}: {self.shape()}, {plural(steps, 'step')}, {seeds}, {self.device} {self.dtype}"

    def shape(self) -> str:
        """Size and length of each video."""
        width, height, frames = (self.call[name] for name in ("width", "height", "num_frames"))
        return f"{width}x{height}, {plural(frames, 'frame')} ({duration(frames / self.fps)} at {self.fps:g} fps)"

    def as_text(self) -> str:
        """The plan for reading, an entry a line."""
        entries = {
            name.replace("_", " "): ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            for name, value in {**self.as_dict(), **self.call}.items()
            if name not in ("call", "credit", "notes") and value not in (None, "")
        }
        width = max(map(len, entries)) + 2
        return "\n".join(f"{name:<{width}}{value}" for name, value in entries.items())

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON can write it."""
        return asdict(self) | {"outputs": [str(path) for path in self.outputs]}


def decide(
    chosen: Checkpoint[P],
    folder: Path,
    call: Mapping[str, Any],
    notes: list[str],
    *,
    fps: float,
    seeds: tuple[int, ...],
    asked: tuple[str, str],
    output: Path | None,
    recipe: bool,
) -> Plan:
    """The plan for a call of the family's pipeline; `asked` are device and type as the user gave them.

    Raises:
        InputError: the device or the type is not there, or an output cannot be written.
    """
    where = device(asked[0])
    paths = outputs(output, len(seeds), call["num_frames"], call["height"], call["width"], notes)
    return Plan(
        command=chosen.family.command,
        model=chosen.name,
        source=chosen.location,
        revision=commit(folder),
        pipeline=chosen.family.pipeline,
        side=f"drop-in numbers (as diffusers' {chosen.family.pipeline})",
        credit=chosen.credit(),
        device=where,
        dtype=dtype(asked[1], where),
        seeds=seeds,
        outputs=paths,
        fps=fps,
        recipe=recipe,
        call=call,
        notes=tuple(notes),
    )


def one_size(preset: KnownModel, call: Mapping[str, Any], notes: list[str]) -> None:
    """Note that a model which was trained for one size makes another."""
    size = (preset.width, preset.height, preset.frames)
    if preset.one_size and (call["width"], call["height"], call["num_frames"]) != size:
        trained = "{}x{} and {} frames".format(*size)
        notes.append(f"The {preset.name} model is trained for {trained} only; other sizes look worse.")


def plural(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def given(value: T | None, default: T) -> T:
    """What the user gave, or the model's default."""
    return default if value is None else value


def not_empty(name: str, text: str) -> str:
    """`text`, or an `InputError` when it says nothing."""
    if not text.strip():
        raise InputError(f"The {name} is empty: say what the video should show.")
    return text


def positive(name: str, value: float) -> float:
    """`value`, or an `InputError` when it is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"--{name} is {value:g}, but it must be above 0.")
    return value


def rate(fps: float) -> float:
    """`fps`, or an `InputError` when no file can hold it."""
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"--fps is {fps:g}, but it must be from {MIN_FPS:g} to {MAX_FPS:g} frames per second.")
    return fps


def at_least_zero(name: str, value: float) -> float:
    """`value`, or an `InputError` when it is not a finite number from 0 up."""
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"--{name} is {value:g}, but it must be 0 or more.")
    return value


def within(name: str, value: int, bounds: tuple[int, int]) -> int:
    """`value`, or an `InputError` when it is not within the bounds, both included."""
    if not bounds[0] <= value <= bounds[1]:
        raise InputError(f"--{name} is {value}, but it must be from {bounds[0]} to {bounds[1]}.")
    return value


def side(name: str, asked: int, multiple: int, snap: bool, notes: list[str]) -> int:
    """The multiple of `multiple` nearest to `asked` pixels, with a note; refused when `snap` is off."""
    positive(name, asked)
    nearest = max(1, math.floor(asked / multiple + 0.5)) * multiple
    if nearest != asked:
        _note_or_refuse(f"--{name} {asked} is not a multiple of {multiple}", str(nearest), snap, notes)
    return nearest


def _snap_frames(asked: int, stride: int, snap: bool, notes: list[str], origin: str | None = None) -> int:
    """The `stride` * k + 1 nearest to `asked` frames; `origin` is how the user asked, if not by --frames."""
    positive("frames", asked)
    nearest = math.floor((asked - 1) / stride + 0.5) * stride + 1
    if nearest != asked:
        said = origin or f"--frames {asked}"
        _note_or_refuse(f"{said} is not {stride} * k + 1 frames", f"{nearest} frames", snap, notes)
    return nearest


def frame_count(
    frames: int | None,
    seconds: float | None,
    default: int,
    fps: float,
    stride: int,
    snap: bool,
    notes: list[str],
) -> int:
    """How many frames the video has, from whichever of --frames and --seconds was given."""
    if frames is not None and seconds is not None:
        raise InputError(f"--frames {frames} and --seconds {seconds:g} both set the length: give one of them.")
    if seconds is None:
        return _snap_frames(default if frames is None else frames, stride, snap, notes)
    asked = max(1, round(positive("seconds", seconds) * fps))
    return _snap_frames(asked, stride, snap, notes, f"--seconds {seconds:g} at {fps:g} fps ({asked} frames)")


def _note_or_refuse(problem: str, nearest: str, snap: bool, notes: list[str]) -> None:
    if not snap:
        raise InputError(
            f"{problem}, which this model needs; the nearest is {nearest}. Use that, or leave out --no-snap."
        )
    notes.append(f"{problem}: using {nearest}.")


def seeds(first: int | None, count: int) -> tuple[int, ...]:
    """`count` seeds that follow each other, from `first` or from a random one."""
    if not 1 <= count <= MAX_COUNT:
        raise InputError(f"--count is {count}, but it must be from 1 to {MAX_COUNT}.")
    first = random.SystemRandom().randrange(2**32) if first is None else first
    if not 0 <= first <= MAX_SEED - count + 1:
        raise InputError(f"--seed is {first}, but it must be from 0 to {MAX_SEED - count + 1}.")
    return tuple(range(first, first + count))


def outputs(
    output: Path | None, count: int, frames: int, height: int, width: int, notes: list[str]
) -> tuple[Path, ...]:
    """The files to write, one a video; without `output`, new ones in this folder.

    Raises:
        InputError: one cannot be written: its suffix, its folder, or the space there.
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
    return tuple(output.with_name(f"{output.stem}-{number:04d}{output.suffix}") for number in range(1, count + 1))


def _unused(count: int) -> tuple[Path, ...]:
    """`out.mp4`, or `out-2.mp4`, ...: the first name under which nothing exists."""
    names = itertools.chain(["out.mp4"], (f"out-{number}.mp4" for number in itertools.count(2)))
    candidates = (_numbered(Path(name), count) for name in names)
    return next(paths for paths in candidates if not any(path.exists() for path in paths))


def device(asked: str) -> str:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; an `InputError` when it is not there."""
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", asked):
        raise InputError(f"--device {asked} is not known: use auto, cpu, cuda, cuda:N or mps.")
    kind, _, index = asked.partition(":")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return next(name for name, there in available.items() if there)
    if not available[kind]:
        raise InputError(f"--device {asked}: torch {torch.__version__} finds no {kind} device here. Use --device cpu.")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise InputError(f"--device {asked}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0.")
    return asked


def dtype(asked: str, device: str) -> str:
    """The precision to use; an `InputError` when the device cannot work in it."""
    import torch

    bfloat16_works = not device.startswith("cuda") or torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "auto":
        return "float32" if device == "cpu" else "bfloat16" if bfloat16_works else "float16"
    if asked not in DTYPES:
        raise InputError(f"--dtype {asked} is not known: use auto, float32, bfloat16 or float16.")
    chosen = DTYPES[asked]
    if chosen == "float16" and device == "cpu":
        raise InputError("--dtype float16 does not work on the CPU: use float32 (exact) or bfloat16 (half the memory).")
    if chosen == "bfloat16" and not bfloat16_works:
        raise InputError(f"--dtype bfloat16: {torch.cuda.get_device_name(device)} cannot compute in it. Use float16.")
    return chosen
