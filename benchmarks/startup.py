"""Time the import of a pipeline beyond `import torch`, in new processes, in both libraries.

    python -m benchmarks.startup --out benchmarks/results

Results go to `startup.json`: the time, and how many of the library's own files and lines were read.
A library that defers the import of transformers needs it later, so that the time with the import of
T5's class is measured too.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure

LIBRARIES = ("diffusers", "filmstrip")

# The argument is the library's name; prints one JSON object.
CHILD = """
import importlib, json, sys, time
import torch
library, start = sys.argv[1], time.perf_counter()
getattr(importlib.import_module(library), "LTXPipeline")
imported = time.perf_counter()
modules = [m for name, m in list(sys.modules.items()) if name.split(".")[0] == library]
files = sorted({m.__file__ for m in modules if getattr(m, "__file__", None)})
from transformers import T5EncoderModel
with_t5 = time.perf_counter() - start
print(json.dumps({"import_s": imported - start, "with_t5_s": with_t5, "files": files}))
"""


def import_pipeline(library: str) -> dict[str, Any]:
    """Import the library's LTXPipeline in a new process, after torch."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, library], capture_output=True, text=True, check=True
    )
    return json.loads(child.stdout.splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the libraries in turns, and write `startup.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument(
        "--repeats", type=int, default=5, help="number of processes for each library"
    )
    options = parser.parse_args(arguments)

    for library in LIBRARIES:  # so that Python has compiled their files
        import_pipeline(library)
    turns = [
        {library: import_pipeline(library) for library in LIBRARIES} for _ in range(options.repeats)
    ]
    words = sys.argv[1:] if arguments is None else arguments
    command = f"python -m benchmarks.startup {shlex.join(words)}"
    result = measure.environment(command, torch.device("cpu")) | {
        "repeats": options.repeats,
        "rows": [],
    }
    for library in LIBRARIES:
        runs = [turn[library] for turn in turns]
        files = [Path(file) for file in runs[0]["files"]]
        row = {"library": library, **measure.summarize([run["import_s"] for run in runs])}
        row["with_t5_s"] = measure.summarize([run["with_t5_s"] for run in runs])["median_s"]
        row["files"] = len(files)
        row["lines"] = sum(len(file.read_bytes().splitlines()) for file in files)
        result["rows"].append(row)
    measure.write_json(options.out / "startup.json", result)


if __name__ == "__main__":
    main()
