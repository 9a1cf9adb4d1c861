"""Compare filmstrip with diffusers on one device: the same random weights, eager and compiled."""

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
Size: TypeAlias = tuple[int, int, int]  # frames, height and width of the latent video
Call: TypeAlias = Callable[[], torch.Tensor]
Variant: TypeAlias = tuple[str, str]  # library and mode, such as ("filmstrip", "compiled")

TOY_SIZE: Size = (8, 2, 4)
CHANNELS_LAST = "compiled, channels-last"
EAGER: tuple[Variant, ...] = (("diffusers", "eager"), ("filmstrip", "eager"))
# diffusers is last because it compiles slowly.
COMPILED: tuple[Variant, ...] = (("filmstrip", "compiled"), ("diffusers", "compiled"))


class Workload(Protocol):
    """A model with the inputs of a call, to be measured."""

    classes: ClassVar[Mapping[str, Callable[..., Any]]]  # the model class by library
    config: ClassVar[Config]
    toy_config: ClassVar[Config]

    def __init__(
        self, config: Config, size: Size, batch_size: int, device: torch.device
    ) -> None: ...

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that calls the model as the library's pipeline does."""


@runtime_checkable
class PreparedWorkload(Protocol):
    """A workload of which filmstrip computes one part before the steps."""

    def prepare(self, model: Any) -> Any:
        """Compute what does not depend on the step."""


@dataclass(frozen=True)
class Case:
    """A workload at one size."""

    name: str
    title: str
    workload: type[Workload]
    size: Size
    batch_size: int = 1  # 2 with classifier-free guidance
    check: Size | None = None  # the size at which results are compared with float32; None: `size`


# What to measure, in order. A case may occur several times; its rows are collected.
Plan: TypeAlias = Sequence[tuple[Case, Sequence[Variant]]]


@dataclass(frozen=True)
class Setting:
    """The options of a run."""

    device: torch.device
    dtype: torch.dtype
    toy: bool = False
    repeats: int = 10
    deadline: float = float("inf")  # of `time.monotonic`; nothing is compiled after it

    def is_too_late(self, mode: str) -> bool:
        """Whether the deadline leaves no time for a row of this mode."""
        return mode != "eager" and time.monotonic() > self.deadline


def run_case(
    case: Case, variants: Sequence[Variant], setting: Setting, matmul_tflops: float
) -> dict[str, Any]:
    """Measure a case in several variants.

    A variant that fails has the error in its row, and the others are still measured.
    """
    header = {
        "name": case.name,
        "title": case.title,
        "size": case.size,
        "batch": case.batch_size,
    }
    if all(setting.is_too_late(mode) for _, mode in variants):
        return header | {
            "rows": [
                {"library": name, "mode": mode, "error": measure.LEFT_OUT}
                for name, mode in variants
            ]
        }
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = case.workload.toy_config if setting.toy else case.workload.config
    if setting.toy:
        size = TOY_SIZE
        check = None
    else:
        size = case.size
        check = case.check
    workload = case.workload(config, size, case.batch_size, setting.device)
    checked = case.workload(config, check, case.batch_size, setting.device) if check else workload

    base = build("diffusers", case, config, setting)
    reference = run_in_float32(base, checked)
    tflop = count_tflop(workload.make_call("diffusers", base))
    floor = tflop / matmul_tflops
    rows: list[dict[str, Any]] = []
    calls: dict[str, Call] = {}
    for library, mode in variants:
        name = f"{library} {mode}"
        measure.log(f"  {name}")
        rows.append({"library": library, "mode": mode})
        if setting.is_too_late(mode):
            rows[-1]["error"] = measure.LEFT_OUT
            continue
        try:
            model = build(library, case, config, setting)
            model.load_state_dict(base.state_dict())
            apply_mode(mode, model, workload, setting)
            calls[name], values = measure_once(library, model, workload, setting)
            values["error_against_float32"] = measure.relative_error(
                checked.make_call(library, model)(), reference
            )
            rows[-1] |= values
        except Exception as error:
            rows[-1]["error"] = f"{type(error).__name__}: {error}"[:500]
    times = measure.time_interleaved(calls, setting.device, 2, setting.repeats)
    for row in rows:
        name = f"{row['library']} {row['mode']}"
        if name in times:
            row |= times[name] | {"share_of_floor": floor / times[name]["median_s"]}
    return header | {"tflop": tflop, "floor_s": floor, "check": check, "rows": rows}


def measure_once(
    library: str, model: Any, workload: Workload, setting: Setting
) -> tuple[Call, dict[str, Any]]:
    """Measure the first call, peak memory and preparation, which need no interleaved runs.

    Returns:
        The call, to be timed, and the measurements.
    """
    call = workload.make_call(library, model)
    values: dict[str, Any] = {"first_s": measure.wall_seconds(call, setting.device)}
    values["peak_gib"] = measure.peak_gib(
        lambda: workload.make_call(library, model)(), setting.device, model
    )
    if library == "filmstrip" and isinstance(workload, PreparedWorkload):
        times = measure.time_interleaved(
            {"prepare": lambda: workload.prepare(model)}, setting.device, 2, setting.repeats
        )
        values["prepare_s"] = times["prepare"]["median_s"]
    return call, values


def build(library: str, case: Case, config: Config, setting: Setting) -> Any:
    """Make a model with random weights, in the dtype of the benchmark."""
    with torch.device(setting.device):
        model = case.workload.classes[library](**config).eval()
    # diffusers makes some parameters on the CPU even in this context.
    return model.to(setting.device, setting.dtype)


def apply_mode(mode: str, model: Any, workload: Workload, setting: Setting) -> None:
    """Set the memory format and compile as the mode requires. Toy runs use the backend "eager"."""
    if mode == CHANNELS_LAST:
        model.to(memory_format=torch.channels_last_3d)
    if mode != "eager":
        for part in workload.modules_to_compile(model):
            part.compile(dynamic=False, backend="eager" if setting.toy else "inductor")


def run_in_float32(base: Any, workload: Workload) -> torch.Tensor:
    """The result of diffusers with the same weights in float32."""
    model = copy.deepcopy(base).float()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return workload.make_call("diffusers", model)()


def count_tflop(call: Call) -> float:
    """Count the 10^12 floating-point operations of matrix products, convolutions and attention."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / measure.TERA


def run(
    name: str,
    description: str | None,
    dtype: torch.dtype,
    plan: Plan,
    arguments: Sequence[str] | None,
) -> int:
    """Run a plan with the options of the command line, and write NAME.json after each case.

    Args:
        name: of the benchmark.
        description: for `--help`.
        dtype: of weights and activations.
        plan: what to measure.
        arguments: of the command line, by default those of the process.

    Returns:
        The exit status: 1 if a row has failed.
    """
    names = list(dict.fromkeys(case.name for case, _ in plan))
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--case", action="append", choices=names, help="run only this case; can be repeated"
    )
    parser.add_argument("--repeats", type=int, default=10, help="number of timed calls")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="compile nothing after this time"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--toy",
        action="store_true",
        help="tiny models that are not compiled, to test the benchmark",
    )
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    setting = Setting(torch.device(options.device), dtype, options.toy, options.repeats, deadline)
    command = shlex.join(sys.argv[1:] if arguments is None else arguments)

    result: dict[str, Any] = measure.environment(f"{parser.prog} {command}", setting.device)
    result |= {
        "toy": options.toy,
        "repeats": options.repeats,
        "dtype": str(dtype).removeprefix("torch."),
    }
    result["ceilings"] = measure.ceilings(setting.device, dtype, options.toy)
    cases: dict[str, dict[str, Any]] = {}
    diffusers.utils.logging.set_verbosity_error()  # it warns about every cast
    with torch.inference_mode():
        for case, variants in plan:
            if options.case and case.name not in options.case:
                continue
            measure.log(case.title)
            measured = run_case(case, variants, setting, result["ceilings"]["matmul_tflops"])
            cases.setdefault(case.name, measured | {"rows": []})["rows"] += measured["rows"]
            measure.write_json(
                options.out / f"{name}.json", result | {"cases": list(cases.values())}
            )
            gc.collect()
            if setting.device.type == "cuda":
                torch.cuda.empty_cache()
    failed = [row for case in cases.values() for row in case["rows"] if "error" in row]
    for row in failed:
        measure.log(f"{row['library']} {row['mode']}: {row['error']}")
    return 1 if failed else 0
