"""The kernels agree with plain PyTorch in Triton's interpreter, without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from filmstrip import kernels

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    not kernels.has_triton(), reason="the package triton, which has the interpreter, is missing"
)
def test_kernels_agree_with_plain_pytorch_in_the_interpreter() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.kernels.interpreted"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "10 calls agree" in result.stdout
