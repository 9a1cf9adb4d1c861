"""The options of the command line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Command:
    """One call of the training.

    Args:
        deadline: `time.monotonic()` at which to save and stop.
        last: the stage to stop after.
        finish: fit what is left, the judge included, before the deadline.
        helper: a process that fills the compiler's cache.
        from_embedded: go on from the embedded model.
    """

    work: Path
    out: Path
    device: torch.device
    deadline: float
    last: str
    finish: bool
    helper: subprocess.Popen[bytes] | None
    from_embedded: bool

    def left(self, spent: float, reserved: float) -> float | None:
        """The budget with `finish`: the seconds spent and those left until the deadline."""
        return spent + self.deadline - reserved - time.monotonic() if self.finish else None

    @property
    def device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"


def changed(settings: Any, changes: Sequence[str]) -> Any:
    """Settings with changes such as "budget_vae=120", read as numbers of the type that is there.

    Raises:
        SystemExit: for a name that is none of the numbers.
    """
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        old = getattr(settings, name, None)
        if not isinstance(old, int | float):
            raise SystemExit(f"--set {change}: {name!r} is no number among the settings.")
        values[name] = type(old)(text)
    return replace(settings, **values)


def wait(helper: subprocess.Popen[bytes]) -> float:
    """Wait for a process to end; returns the seconds that it took."""
    begin = time.monotonic()
    helper.wait()
    return time.monotonic() - begin
