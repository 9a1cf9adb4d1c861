"""Measuring time, memory, floating-point operations, and the ceilings of the device."""

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
LEFT_OUT = "left out: the time for this run was up"  # the error of a row that was not run


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time one call: between two events on a GPU, by the clock on a CPU."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def wall_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time one call by the clock, with all work of the host, such as compiling."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def time_interleaved(
    calls: Mapping[str, Callable[[], object]], device: torch.device, warmup: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Time several calls in turns, so that a drift of the clock rate affects all of them equally.

    Returns:
        For each name the median, minimum and maximum, see `summarize`.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            elapsed = seconds(call, device)
            if turn >= warmup:
                times[name].append(elapsed)
    return {name: summarize(values) for name, values in times.items()}


def summarize(values: Sequence[float]) -> dict[str, float]:
    """The median, minimum and maximum of times in seconds."""
    return {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}


def peak_gib(
    call: Callable[[], object], device: torch.device, model: torch.nn.Module
) -> float | None:
    """Peak GPU memory of a call and the weights of its model, in GiB; `None` on a CPU.

    Other tensors on the GPU are not counted.
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
    """Measure the rates of large matrix products, copies and 3-D convolutions on the device."""
    size = 64 if toy else 8192
    channels = 8 if toy else 512
    video = (3, 4, 4) if toy else (33, 32, 48)
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
    times = time_interleaved(calls, device, warmup=5, repeats=20)
    medians = {name: values["median_s"] for name, values in times.items()}
    convolution = 2 * 27 * channels**2 * video[0] * video[1] * video[2]
    return {
        "matmul_tflops": 2 * size**3 / medians["matmul"] / TERA,
        "copy_tbps": 2 * source.numel() / medians["copy"] / TERA,
        "conv3d_tflops": convolution / medians["conv3d"] / TERA,
    }


def relative_error(result: torch.Tensor, reference: torch.Tensor) -> float:
    """The norm of the difference over the norm of the reference."""
    return float((result.float() - reference).norm() / reference.norm())


def environment(command: str, device: torch.device) -> dict[str, Any]:
    """Describe the software and hardware of a measurement."""
    result: dict[str, Any] = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
    }
    result["python"] = platform.python_version()
    for package in ("torch", "diffusers", "transformers", "triton"):
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = None
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
        result["cuda"] = torch.version.cuda
        result["cudnn"] = torch.backends.cudnn.version()
    else:
        result["device"] = (
            f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
        )
    return result


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON. A failed write leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def log(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def _commit() -> str | None:
    """The commit of this checkout, if it is one."""
    git = shutil.which("git")
    if git is None:
        return None
    result = subprocess.run(
        [git, "-C", Path(__file__).parent, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    return result.stdout.strip()[:10] or None
