"""Time the command line with the embedded models on this CPU, from start to the finished file.

    python -m benchmarks.demo --out benchmarks/results

Results go to `demo_time.json`, a row for each command.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from filmstrip import demo

COMMANDS = {
    "generate": ["generate", "a small green star moves up and grows over a grey background"],
    "animate": ["animate", str(demo.path("svd").with_name("picture.png"))],
}


def run(command: Sequence[str]) -> dict[str, Any]:
    """Run a command in a new process; return its JSON result and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        output = ["-o", str(Path(folder) / "out.mp4"), "--seed", "0", "--device", "cpu", "--json"]
        program = "from filmstrip.cli.main import main; main()"
        start = time.perf_counter()
        child = subprocess.run(
            [sys.executable, "-c", program, *command, *output], capture_output=True, check=True
        )
        return {"seconds": time.perf_counter() - start} | json.loads(child.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run each command several times, and write `demo_time.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs")
    options = parser.parse_args(arguments)

    words = sys.argv[1:] if arguments is None else arguments
    command = f"python -m benchmarks.demo {shlex.join(words)}"
    result = measure.environment(command, torch.device("cpu")) | {
        "repeats": options.repeats,
        "rows": [],
    }
    for name, command_line in COMMANDS.items():
        runs = [run(command_line) for _ in range(options.repeats)]
        row = {"command": name, **measure.summarize([measured["seconds"] for measured in runs])}
        row["peak_bytes"] = max(measured["peak_memory"]["bytes"] for measured in runs)
        result["rows"].append(row)
    measure.write_json(options.out / "demo_time.json", result)


if __name__ == "__main__":
    main()
