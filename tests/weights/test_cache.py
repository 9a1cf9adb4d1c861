"""Listing the models in the Hub's cache."""

import json

import pytest

from filmstrip.weights.cache import CachedModel, cached_models

from .hub import store_repository

FILES = {
    "model_index.json": json.dumps(
        {
            "_class_name": "LTXPipeline",
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "vae": ["diffusers", "AutoencoderKLLTXVideo"],
        }
    ),
    "scheduler/scheduler_config.json": "{}",
    "vae/config.json": "{}",
    "vae/diffusion_pytorch_model.safetensors": "weights",
}
SIZE = sum(map(len, FILES.values()))
COMMIT = "a" * 40


def test_a_cache_that_does_not_exist_is_empty(tmp_path):
    assert cached_models(tmp_path / "absent") == []


def test_every_revision_is_listed_with_its_name_and_size(tmp_path):
    repository = store_repository(tmp_path, "someone/film", FILES, COMMIT)
    store_repository(tmp_path, "alone", FILES, COMMIT, "refs/pr/1")
    store_repository(tmp_path, "nobody/names", FILES, COMMIT, None)
    (tmp_path / "datasets--someone--pictures" / "snapshots" / "b").mkdir(parents=True)
    snapshots = repository / "snapshots"
    assert cached_models(tmp_path) == [
        CachedModel(
            "alone", "refs/pr/1", SIZE, True, tmp_path / "models--alone" / "snapshots" / COMMIT
        ),
        CachedModel(
            "nobody/names",
            COMMIT,
            SIZE,
            True,
            tmp_path / "models--nobody--names" / "snapshots" / COMMIT,
        ),
        CachedModel("someone/film", "main", SIZE, True, snapshots / COMMIT),
    ]
    assert cached_models(str(tmp_path)) == cached_models(tmp_path)


@pytest.mark.parametrize(
    "missing", ["scheduler/scheduler_config.json", "vae/diffusion_pytorch_model.safetensors"]
)
def test_a_pipeline_that_lacks_a_file_is_not_complete(missing, tmp_path):
    store_repository(
        tmp_path,
        "someone/film",
        {name: content for name, content in FILES.items() if name != missing},
    )
    (model,) = cached_models(tmp_path)
    assert not model.complete


def test_a_pipeline_with_one_variant_is_complete(tmp_path):
    files = dict(FILES)
    files["vae/diffusion_pytorch_model.fp16.safetensors"] = files.pop(
        "vae/diffusion_pytorch_model.safetensors"
    )
    store_repository(tmp_path, "someone/film", files)
    assert cached_models(tmp_path)[0].complete


def test_a_pipeline_with_a_damaged_index_is_not_complete(tmp_path):
    store_repository(tmp_path, "someone/film", FILES | {"model_index.json": "{"})
    assert not cached_models(tmp_path)[0].complete


def test_a_dangling_link_is_a_missing_file(tmp_path):
    repository = store_repository(tmp_path, "someone/film", FILES, COMMIT)
    (repository / "blobs" / "aaaaaaaa3").unlink()
    (model,) = cached_models(tmp_path)
    assert (model.complete, model.size) == (False, SIZE - len("weights"))


def test_another_repository_is_complete_unless_a_download_was_cut_off(tmp_path):
    repository = store_repository(tmp_path, "someone/else", {"weights.bin": "x"})
    assert cached_models(tmp_path)[0].complete
    (repository / "blobs" / "9.incomplete").write_text("")
    assert not cached_models(tmp_path)[0].complete


def test_another_repository_with_a_dangling_link_is_not_complete(tmp_path):
    repository = store_repository(
        tmp_path, "someone/else", {"weights.bin": "x", "more/weights.bin": "y"}
    )
    (repository / "blobs" / "000000001").unlink()
    assert not cached_models(tmp_path)[0].complete
