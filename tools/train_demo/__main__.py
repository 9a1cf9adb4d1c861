"""The stages in order: text, vae, latents, transformer, judge. Each is skipped when its result is there.

Run the same command again after an interruption, or with the files that `--out` got copied into `--work`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

STAGES = ("text", "vae", "latents", "transformer", "judge")


def main() -> None:
    """Parse the command line and run the stages."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_demo", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="state of the training; given again, it goes on")
    parser.add_argument("--out", type=Path, required=True, help="gets results and the weights worth keeping")
    parser.add_argument("--preset", choices=("real", "smoke", "toy"), default="real")
    parser.add_argument("--budget-text", type=float, help="seconds, as all budgets")
    parser.add_argument("--budget-vae", type=float)
    parser.add_argument("--budget-transformer", type=float)
    parser.add_argument("--batch", type=int, help="of the transformer")
    parser.add_argument("--clips", type=int, help="that the transformer trains on")
    parser.add_argument("--deadline", type=float, default=1e9, help="save and stop after so many seconds")
    parser.add_argument("--last", choices=STAGES, default="judge", help="stop after this stage")
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--warm-up", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    deadline = time.monotonic() + arguments.deadline
    arguments.work.mkdir(parents=True, exist_ok=True)
    # Shared with the process that compiles the transformer meanwhile; must be set before torch starts.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(arguments.work.resolve() / "inductor"))
    import torch

    from tools.train_demo.settings import PRESETS

    torch.set_float32_matmul_precision("high")
    changes = {"budget_text", "budget_vae", "budget_transformer", "batch", "clips"}
    given = {name: value for name, value in vars(arguments).items() if name in changes and value is not None}
    settings = replace(PRESETS[arguments.preset], **given)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if arguments.warm_up:
        from tools.train_demo.run import warm_up

        warm_up(settings, arguments.work, device)
        return

    from tools.train_demo.run import run

    helper = None
    if device.type == "cuda" and not (arguments.work / "transformer.safetensors").exists():
        log = (arguments.work / "warm_up.log").open("w")
        helper = subprocess.Popen(
            [sys.executable, "-m", "tools.train_demo", *sys.argv[1:], "--warm-up"], stdout=log, stderr=log
        )
    try:
        finished = run(settings, arguments.work, arguments.out, device, deadline, arguments.last, helper)
    finally:
        if helper is not None and helper.poll() is None:
            helper.terminate()
    print("finished" if finished else "out of time; run the same command again to go on", flush=True)


if __name__ == "__main__":
    main()
