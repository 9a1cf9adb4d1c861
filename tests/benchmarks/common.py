"""Toy runs of benchmarks that compare filmstrip with diffusers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


def toy_run(
    main: Callable[[Sequence[str]], int], path: Path, case: str, *options: str
) -> tuple[int, dict[str, Any]]:
    """Run one case; return the exit status and the case in the result file."""
    arguments = [
        "--toy",
        "--out",
        str(path.parent),
        "--case",
        case,
        "--repeats",
        "1",
        "--device",
        "cpu",
    ]
    status = main([*arguments, *options])
    result = json.loads(path.read_text())
    assert result["toy"]
    assert min(result["ceilings"].values()) > 0
    (measured,) = result["cases"]
    return status, measured


def assert_measured(case: dict[str, Any]) -> None:
    """Check that both libraries have rows, which are complete and have correct results."""
    assert {row["library"] for row in case["rows"]} == {"diffusers", "filmstrip"}
    for row in case["rows"]:
        assert row["share_of_floor"] == pytest.approx(case["floor_s"] / row["median_s"])
        assert row["error_against_float32"] < 0.03
        assert row["first_s"] > 0
