"""filmstrip against diffusers on one device: the same random weights, as they are and compiled."""

import argparse
import copy
import gc
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import diffusers
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import measure

Config: TypeAlias = dict[str, Any]
Size: TypeAlias = tuple[int, int, int]  # frames, rows and columns of the latent video
Call: TypeAlias = Callable[[], torch.Tensor]
Variant: TypeAlias = tuple[str, str]  # a library and how it runs

CHANNELS_LAST = "compiled, channels-last"
EAGER: tuple[Variant, ...] = (("diffusers", "eager"), ("filmstrip", "eager"))
COMPILED: tuple[Variant, ...] = (
    ("filmstrip", "compiled"),
    ("diffusers", "compiled"),
)  # the slow one to compile last


class Subject(Protocol):
    """What is measured: a model with everything that a call of it is given."""

    classes: ClassVar[Mapping[str, Callable[..., Any]]]  # of each library
    config: ClassVar[Config]
    toy_config: ClassVar[Config]

    def __init__(self, config: Config, size: Size, rows: int, device: torch.device) -> None: ...

    def parts(self, model: Any) -> Iterable[nn.Module]:
        """What is compiled."""

    def call(self, library: str, model: Any) -> Call:
        """The call, as the library's pipeline makes it."""


@runtime_checkable
class Prepares(Protocol):
    """A subject of which filmstrip does a part once, before the steps."""

    def prepare(self, model: Any) -> Any:
        """That part."""


@dataclass(frozen=True)
class Case:
    """One thing to measure, at one size."""

    name: str
    title: str
    subject: type[Subject]
    size: Size
    rows: int = 1  # of the batch: 2 with classifier-free guidance
    check: Size | None = None  # at which results are compared with float32's, if not at `size`


# What to measure, in order. A case may come more than once; its rows are collected.
Plan: TypeAlias = Sequence[tuple[Case, Sequence[Variant]]]


@dataclass(frozen=True)
class Setting:
    """How a run is made."""

    device: torch.device
    dtype: torch.dtype
    toy: bool = False
    repeats: int = 10
    deadline: float = float("inf")  # on `time.monotonic`: nothing is compiled after it

    def too_late(self, mode: str) -> bool:
        """Whether there is no time for a row that runs in this mode."""
        return mode != "eager" and time.monotonic() > self.deadline


def run_case(
    case: Case, variants: Sequence[Variant], setting: Setting, matmul_tflops: float
) -> dict[str, Any]:
    """Measure a case in some variants. A row that fails says why, and does not stop the others."""
    about = {"name": case.name, "title": case.title, "size": case.size, "batch": case.rows}
    if all(setting.too_late(mode) for _, mode in variants):
        return about | {
            "rows": [
                {"library": name, "mode": mode, "error": measure.LEFT_OUT}
                for name, mode in variants
            ]
        }
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = case.subject.toy_config if setting.toy else case.subject.config
    size, check = ((8, 2, 4), None) if setting.toy else (case.size, case.check)
    subject = case.subject(config, size, case.rows, setting.device)
    checked = case.subject(config, check, case.rows, setting.device) if check else subject

    base = build("diffusers", case, config, setting)
    truth = in_float32(base, checked)
    tflop = operations(subject.call("diffusers", base))
    floor = tflop / matmul_tflops
    rows: list[dict[str, Any]] = []
    calls: dict[str, Call] = {}
    for library, mode in variants:
        name = f"{library} {mode}"
        measure.say(f"  {name}")
        rows.append({"library": library, "mode": mode})
        if setting.too_late(mode):
            rows[-1]["error"] = measure.LEFT_OUT
            continue
        try:
            model = build(library, case, config, setting)
            model.load_state_dict(base.state_dict())
            in_mode(mode, model, subject, setting)
            calls[name], found = run_once(library, model, subject, setting)
            found["error_against_float32"] = measure.relative_error(
                checked.call(library, model)(), truth
            )
            rows[-1] |= found
        except Exception as error:
            rows[-1]["error"] = f"{type(error).__name__}: {error}"[:500]
    times = measure.in_turns(calls, setting.device, 2, setting.repeats)
    for row, taken in ((row, times.get(f"{row['library']} {row['mode']}")) for row in rows):
        if taken:
            row |= taken | {"share_of_floor": floor / taken["median_s"]}
    return about | {"tflop": tflop, "floor_s": floor, "check": check, "rows": rows}


def run_once(
    library: str, model: Any, subject: Subject, setting: Setting
) -> tuple[Call, dict[str, Any]]:
    """The call to be timed, and what is measured of it by itself: first call, memory,
    preparation.
    """
    call = subject.call(library, model)
    found: dict[str, Any] = {"first_s": measure.wall_seconds(call, setting.device)}
    found["peak_gib"] = measure.peak_gib(
        lambda: subject.call(library, model)(), setting.device, model
    )
    if library == "filmstrip" and isinstance(subject, Prepares):
        taken = measure.in_turns(
            {"prepare": lambda: subject.prepare(model)}, setting.device, 2, setting.repeats
        )
        found["prepare_s"] = taken["prepare"]["median_s"]
    return call, found


def build(library: str, case: Case, config: Config, setting: Setting) -> Any:
    """A model with random weights, in the dtype of the benchmark."""
    with torch.device(setting.device):
        model = case.subject.classes[library](**config).eval()
    return model.to(
        setting.device, setting.dtype
    )  # diffusers makes some parameters on the CPU all the same


def in_mode(mode: str, model: Any, subject: Subject, setting: Setting) -> None:
    """Lay out and compile a model as the mode says. A toy run compiles for show."""
    if mode == CHANNELS_LAST:
        model.to(memory_format=torch.channels_last_3d)
    if mode != "eager":
        for part in subject.parts(model):
            part.compile(dynamic=False, backend="eager" if setting.toy else "inductor")


def in_float32(base: Any, subject: Subject) -> torch.Tensor:
    """What the same weights give in float32, by diffusers."""
    model = copy.deepcopy(base).float()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return subject.call("diffusers", model)()


def operations(call: Call) -> float:
    """The floating-point operations of a call's products, convolutions and attention, counted, in
    10^12.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / measure.TERA


def run(
    name: str, about: str | None, dtype: torch.dtype, plan: Plan, arguments: Sequence[str] | None
) -> int:
    """Go through a plan as the command line says, and write NAME.json after each part. Returns 1 if
    a row has failed.

    Args:
        name: the benchmark's.
        about: what `--help` says.
        dtype: of weights and activations.
        plan: what to measure.
        arguments: the words of the command line, those of the process by default.
    """
    names = list(dict.fromkeys(case.name for case, _ in plan))
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--case", action="append", choices=names, help="run only this one")
    parser.add_argument(
        "--repeats", type=int, default=10, help="calls of which the median is taken"
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="compile nothing after so long"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--toy",
        action="store_true",
        help="tiny models, nothing compiled: tries the benchmark itself",
    )
    given = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * given.minutes
    setting = Setting(torch.device(given.device), dtype, given.toy, given.repeats, deadline)
    words = sys.argv[1:] if arguments is None else list(arguments)

    result: dict[str, Any] = measure.environment(
        f"{parser.prog} {shlex.join(words)}", setting.device
    )
    result |= {
        "toy": given.toy,
        "repeats": given.repeats,
        "dtype": str(dtype).removeprefix("torch."),
    }
    result["ceilings"] = measure.ceilings(setting.device, dtype, given.toy)
    cases: dict[str, dict[str, Any]] = {}
    diffusers.utils.logging.set_verbosity_error()  # it warns of every cast
    with torch.inference_mode():
        for case, variants in plan:
            if given.case and case.name not in given.case:
                continue
            measure.say(case.title)
            found = run_case(case, variants, setting, result["ceilings"]["matmul_tflops"])
            cases.setdefault(case.name, found | {"rows": []})["rows"] += found["rows"]
            measure.write_json(given.out / f"{name}.json", result | {"cases": list(cases.values())})
            gc.collect()
            if setting.device.type == "cuda":
                torch.cuda.empty_cache()
    failed = [row for case in cases.values() for row in case["rows"] if "error" in row]
    for row in failed:
        measure.say(f"{row['library']} {row['mode']}: {row['error']}")
    return 1 if failed else 0
