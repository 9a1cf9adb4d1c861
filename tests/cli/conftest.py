"""A command line to call, a model folder without weights, and a fake pipeline."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from filmstrip.logging import get_logger
from filmstrip.ltx.recipes import Recipe


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Calls `filmstrip` with arguments, in an empty folder."""
    from filmstrip.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["filmstrip", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return Result(int(exit_.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The name of an LTX model folder without weights, whose VAE compresses 16 times in space and 4
    times in time.
    """
    files = {
        "model_index.json": {"_class_name": "LTXPipeline"},
        "vae/config.json": {"spatial_compression_ratio": 16, "temporal_compression_ratio": 4},
        "transformer/config.json": {"patch_size": 1},
    }
    for name, content in files.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return "tiny"


@dataclass
class FakePipeline:
    """Draws its frames from the generator, and records its calls."""

    loaded: dict[str, Any] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    fail: BaseException | None = None  # raised while denoising
    warning: str | None = None
    before_step: Callable[[], Any] = lambda: None
    progress: Any = None
    vae: Any = None
    recipe: Recipe = field(default_factory=Recipe)

    def from_pretrained(self, source: str, **options: Any) -> "FakePipeline":
        self.loaded = {"source": source, **options}
        return self

    @contextmanager
    def report_progress_to(self, progress: Any) -> Iterator[None]:
        previous = self.progress
        self.progress = progress
        yield
        self.progress = previous

    def __call__(self, **call: Any) -> SimpleNamespace:
        self.calls.append(call)
        with self.progress.stage("encode prompt"):
            if self.warning:
                get_logger("filmstrip.ltx.pipelines.drop_in").warning(self.warning)
        with self.progress.stage(
            "denoise", call.get("num_inference_steps") or call["recipe"].first.count
        ) as advance:
            if self.fail:
                raise self.fail
            self.before_step()
            advance()
        noise = torch.rand(
            (call["num_frames"], call["height"], call["width"], 3), generator=call["generator"]
        )
        assert torch.get_rng_state().equal(
            torch.manual_seed(call["generator"].initial_seed()).get_state()
        )
        return SimpleNamespace(frames=np.asarray(noise)[None])


def replace_public(monkeypatch: pytest.MonkeyPatch, **replacements: Any) -> None:
    """Make jobs load other objects in place of public names."""
    from filmstrip.registry import public

    monkeypatch.setattr(
        "filmstrip.jobs.load.public",
        lambda name: replacements[name] if name in replacements else public(name),
    )


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    """A fake for `LTXPipeline`, for SVD's pipeline, and for what `filmstrip.load` returns."""
    fake = FakePipeline()
    replace_public(
        monkeypatch,
        LTXPipeline=fake,
        StableVideoDiffusionPipeline=fake,
        load=lambda *arguments, **options: fake.from_pretrained(*arguments, **options),
    )
    return fake


def read_frame_folder(folder: Path) -> NDArray[np.uint8]:
    """Read the frames `(T, H, W, 3)` of a folder of PNG files, which are lossless."""
    return np.stack([np.asarray(PIL.Image.open(file)) for file in sorted(folder.glob("*.png"))])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
