"""The modules that an import of the package loads, in a new process."""

import subprocess
import sys

import pytest

import filmstrip

HEAVY = (
    "transformers",
    "diffusers",
    "huggingface_hub",
    "scipy",
    "av",
    "typer",
    "rich",
    "tqdm",
    "accelerate",
)
PROGRAM = """
import sys
import torch
before = set(sys.modules)
{statement}
print("\\n".join(sorted(set(sys.modules) - before)))
"""


def modules_after(statement: str) -> set[str]:
    program = PROGRAM.format(statement=statement)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_pipelines_loads_no_heavy_package_and_few_modules() -> None:
    added = modules_after("from filmstrip import LTXPipeline, StableVideoDiffusionPipeline")
    roots = {name.partition(".")[0] for name in added}
    assert roots.isdisjoint(HEAVY)
    assert len([name for name in added if name.startswith("filmstrip")]) <= 60


def test_importing_the_package_does_not_import_torch() -> None:
    program = "import sys, filmstrip; assert 'torch' not in sys.modules; filmstrip.__version__"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", [name for name in filmstrip.__all__ if name != "__version__"])
def test_public_name_is_importable(name: str) -> None:
    assert getattr(filmstrip, name).__name__ == name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'LTX3Pipeline'"):
        filmstrip.LTX3Pipeline  # noqa: B018
