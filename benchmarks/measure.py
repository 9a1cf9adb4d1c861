"""How things are measured: time, memory, floating-point operations, and what the chip can do at
most.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

GIB = 2**30
TERA = 1e12
LEFT_OUT = "left out: the time for this run was up"  # instead of a measurement


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """The time of one call, between two events on the GPU, or on the clock of a CPU."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def wall_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The time of one call with everything the host does for it, such as compiling."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turns(
    calls: Mapping[str, Callable[[], object]], device: torch.device, warmup: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Median, minimum and maximum of each call. They take turns, so that a drift of the clocks
    meets all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            took = seconds(call, device)
            if turn >= warmup:
                times[name].append(took)
    return {name: spread(taken) for name, taken in times.items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, and the least and greatest value."""
    return {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}


def peak_gib(
    call: Callable[[], object], device: torch.device, model: torch.nn.Module
) -> float | None:
    """What a model needs for this call, its weights included, if it had the GPU to itself; unknown
    on a CPU.
    """
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before + weights) / GIB


def ceilings(device: torch.device, dtype: torch.dtype, toy: bool) -> dict[str, float]:
    """What this chip does at most, measured now: products of large matrices, copies, and 3-D
    convolutions.
    """
    size, channels, video = (64, 8, (3, 4, 4)) if toy else (8192, 512, (33, 32, 48))
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    source = torch.empty(2**16 if toy else GIB, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    layout = torch.channels_last_3d
    pixels = torch.randn(1, channels, *video, device=device, dtype=dtype).to(memory_format=layout)
    kernel = torch.randn(channels, channels, 3, 3, 3, device=device, dtype=dtype).to(
        memory_format=layout
    )
    calls = {
        "matmul": lambda: left @ right,
        "copy": lambda: target.copy_(source),
        "conv3d": lambda: F.conv3d(pixels, kernel, padding=1),
    }
    took = {name: taken["median_s"] for name, taken in in_turns(calls, device, 5, 20).items()}
    convolution = 2 * 27 * channels**2 * video[0] * video[1] * video[2]
    return {
        "matmul_tflops": 2 * size**3 / took["matmul"] / TERA,
        "copy_tbps": 2 * source.numel() / took["copy"] / TERA,
        "conv3d_tflops": convolution / took["conv3d"] / TERA,
    }


def relative_error(result: torch.Tensor, truth: torch.Tensor) -> float:
    """The length of the difference over the length of the truth."""
    return float((result.float() - truth).norm() / truth.norm())


def environment(command: str, device: torch.device) -> dict[str, Any]:
    """Everything that one needs to know to judge or repeat a measurement."""
    found: dict[str, Any] = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
    }
    found["python"] = platform.python_version()
    for package in ("torch", "diffusers", "transformers", "triton"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(device)
        found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
    else:
        found["device"] = (
            f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
        )
    return found


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result so that the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(beside, path)


def say(text: str) -> None:
    """Tell whoever waits for the run."""
    print(text, file=sys.stderr, flush=True)


def _commit() -> str | None:
    """The commit that is measured, if this is a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    asked = subprocess.run(
        [git, "-C", Path(__file__).parent, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    return asked.stdout.strip()[:10] or None
