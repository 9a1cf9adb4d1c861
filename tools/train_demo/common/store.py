"""Where the training keeps its state: weights as safetensors, a log of JSON lines, copies of what
must survive.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

Tensors = dict[str, torch.Tensor]


class Store:
    """A work folder, an output folder that gets copies, and a clock.

    Args:
        work: holds everything; a later run goes on from it.
        out: gets the log, the weights worth keeping and the results.
        published: names of the weights that `out` gets each time they change.
    """

    def __init__(self, work: Path, out: Path, published: Sequence[str]) -> None:
        self.work, self.out, self.published = work, out, published
        self.start = time.monotonic()
        for folder in (work, out):
            folder.mkdir(parents=True, exist_ok=True)
        for name in published:
            self._publish(work / f"{name}.safetensors")

    def log(self, stage: str, **values: Any) -> None:
        """Add one line to log.jsonl and print it."""
        elapsed = round(time.monotonic() - self.start, 1)
        line = json.dumps(
            {"t": elapsed, "stage": stage} | {k: _plain(v) for k, v in values.items()}
        )
        print(line, flush=True)
        with (self.work / "log.jsonl").open("a") as file:
            file.write(line + "\n")
        shutil.copy(self.work / "log.jsonl", self.out / "log.jsonl")

    def save(self, name: str, tensors: Tensors, **facts: Any) -> None:
        """Write `name`.safetensors, with `facts` in its metadata. A failed write leaves no file."""
        path = self.work / f"{name}.safetensors"
        beside = path.with_suffix(".part")
        plain = {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}
        save_file(plain, beside, metadata={"facts": json.dumps(facts)})
        os.replace(beside, path)
        if name in self.published:
            self._publish(path)

    def _publish(self, path: Path) -> None:
        if path.exists():
            shutil.copy(path, self.out / path.name)

    def load(self, name: str) -> tuple[Tensors, dict[str, Any]] | None:
        """Load what `save` wrote; None if there is no file."""
        path = self.work / f"{name}.safetensors"
        if not path.exists():
            return None
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            return {key: file.get_tensor(key) for key in keys}, json.loads(file.metadata()["facts"])

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file to the output folder and the work folder."""
        for folder in (self.work, self.out):
            beside = folder / f"{name}.part"
            beside.write_text(json.dumps(content, indent=2) + "\n")
            os.replace(beside, folder / name)


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    return round(value, 5) if isinstance(value, float) else value


class Clock:
    """A stage's time, carried over several runs.

    Args:
        budget: seconds in all.
        spent: seconds that earlier runs used.
        deadline: `time.monotonic()` at which this run must stop.
    """

    def __init__(self, budget: float, spent: float, deadline: float) -> None:
        self.budget, self.before, self.deadline = budget, spent, deadline
        self.begin = time.monotonic()

    @property
    def spent(self) -> float:
        return self.before + time.monotonic() - self.begin

    @property
    def progress(self) -> float:
        """Fraction of the budget that is spent, at most 1."""
        return min(self.spent / self.budget, 1.0)

    @property
    def done(self) -> bool:
        return self.spent >= self.budget

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() >= self.deadline
