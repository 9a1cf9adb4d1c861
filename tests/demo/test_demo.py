"""The embedded models are there, small enough, and their absence is explained."""

import pytest
from PIL import Image

from filmstrip import demo
from filmstrip.errors import CheckpointError


@pytest.mark.parametrize(("model", "megabytes"), [("ltx", 13.0), ("svd", 10.0)])
def test_an_embedded_model_is_small(model, megabytes):
    files = [file for file in demo.path(model).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < megabytes * 1e6


def test_the_picture_to_try_is_of_the_size_of_the_model():
    picture = Image.open(demo.path("svd").parent / "picture.png")
    assert (picture.size, picture.mode) == ((128, 128), "RGB")


@pytest.mark.parametrize("model", ["ltx", "svd"])
def test_a_missing_checkpoint_says_what_to_do(monkeypatch, tmp_path, model):
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match=rf"tools\.train_demo {model}"):
        demo.path(model)
