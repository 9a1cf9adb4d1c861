"""Small models with random weights, and a working directory with pictures and a clip."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from filmstrip import demo
from filmstrip.media.export import save_video
from tests.jobs.models import save_checkpoint
from tests.parity.svd_pipelines import pipelines


@pytest.fixture(scope="session")
def ltx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("models") / "ltx")


@pytest.fixture(scope="session")
def svd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "svd"
    pipelines()[0].save_pretrained(folder)
    return folder


@pytest.fixture
def files(
    ltx_folder: Path, svd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory with two pictures and a clip; small models replace the demo models."""
    folders = {"ltx": ltx_folder, "svd": svd_folder}
    monkeypatch.setattr(demo, "path", lambda embedded="ltx": folders[embedded])
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (7, 32, 64, 3), np.uint8)
    PIL.Image.fromarray(noise[0]).save("first.png")
    PIL.Image.fromarray(noise[1]).save("last.png")
    save_video(noise, "clip.mkv", 12)
    return tmp_path
