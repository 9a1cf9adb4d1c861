"""The embedded checkpoints are present and small, and a missing one is reported."""

import pytest
import torch
from PIL import Image

from filmstrip import AutoencoderKLTemporalDecoder, VaeImageProcessor, demo
from filmstrip.errors import CheckpointError
from filmstrip.svd.pipelines.decode import decode_latents


@pytest.mark.parametrize(("model", "megabytes"), [("ltx", 13.0), ("svd", 10.0)])
def test_an_embedded_model_is_small(model, megabytes):
    files = [file for file in demo.path(model).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < megabytes * 1e6


def test_the_example_picture_has_the_size_of_the_model():
    picture = Image.open(demo.path("svd").parent / "picture.png")
    assert (picture.size, picture.mode) == ((128, 128), "RGB")


@pytest.mark.parametrize("model", ["ltx", "svd"])
def test_a_missing_checkpoint_is_refused_with_a_remedy(monkeypatch, tmp_path, model):
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match=rf"tools\.train_demo {model}"):
        demo.path(model)


@torch.no_grad()
def test_the_first_and_the_last_frame_of_a_chunk_are_as_exact_as_the_others():
    vae = AutoencoderKLTemporalDecoder.from_pretrained(
        demo.path("svd"), subfolder="vae", dtype=torch.float32
    )
    picture = VaeImageProcessor().preprocess(Image.open(demo.path("svd").parent / "picture.png"))
    latents = vae.encode(picture).latent_dist.mode() * vae.config.scaling_factor
    for chunk in (5, 1):
        video = decode_latents(vae, latents.expand(5, -1, -1, -1)[None], chunk)[0].movedim(1, 0)
        error = ((video - picture) / 2).square().mean(dim=(1, 2, 3))
        assert (-10 * error.log10()).min() > 30
