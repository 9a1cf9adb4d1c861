"""Train an embedded model stage by stage; a stage is skipped when its result exists.

Run the same command again after an interruption, or with the files that `--out` got copied into
`--work`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Parse the command line and run the stages."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_demo", description=__doc__)
    parser.add_argument("model", choices=("ltx", "svd"))
    parser.add_argument(
        "--work", type=Path, required=True, help="state of the training; given again, it goes on"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="gets results and the weights worth keeping"
    )
    parser.add_argument("--preset", choices=("real", "smoke", "toy"), default="real")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="change one of the settings",
    )
    parser.add_argument(
        "--from-embedded", action="store_true", help="ltx: go on from the embedded model"
    )
    parser.add_argument(
        "--deadline", type=float, default=1e9, help="save and stop after so many seconds"
    )
    parser.add_argument(
        "--finish", action="store_true", help="let the last training take what the deadline leaves"
    )
    parser.add_argument("--last", default="judge", help="stop after this stage")
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--warm-up", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    deadline = time.monotonic() + arguments.deadline
    arguments.work.mkdir(parents=True, exist_ok=True)
    # Shared with other runs beside this one, and with the process that compiles the last model
    # meanwhile.
    os.environ.setdefault(
        "TORCHINDUCTOR_CACHE_DIR", str(arguments.work.resolve().parent / "inductor")
    )
    import torch

    from tools.train_demo.common.command import Command, changed

    stages = importlib.import_module(f"tools.train_demo.{arguments.model}.run")
    if arguments.last not in stages.STAGES:
        parser.error(f"--last {arguments.last}: the stages are {', '.join(stages.STAGES)}")
    torch.set_float32_matmul_precision("high")
    settings = changed(stages.PRESETS[arguments.preset], arguments.set)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    helper = None
    if device.type == "cuda" and not arguments.warm_up:
        with (arguments.work / "warm_up.log").open("w") as log:
            again = [sys.executable, "-m", "tools.train_demo", *sys.argv[1:], "--warm-up"]
            helper = subprocess.Popen(again, stdout=log, stderr=log)
    finish = arguments.finish and deadline < 1e8
    given = (arguments.work, arguments.out, device, deadline, arguments.last, finish)
    command = Command(*given, helper, arguments.from_embedded)
    if arguments.warm_up:
        stages.warm_up(settings, command)
        return
    try:
        finished = stages.run(settings, command)
    finally:
        if helper is not None and helper.poll() is None:
            helper.terminate()
    print(
        "finished" if finished else "out of time; run the same command again to go on", flush=True
    )


if __name__ == "__main__":
    main()
