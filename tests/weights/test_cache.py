"""The Hub's cache, as its layout on disk says."""

import json

import pytest

from filmstrip.weights.cache import CachedModel, cached_models

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


def put(cache, repo_id, files=FILES, commit="a" * 40, reference="main"):
    """Write a repository as the Hub's client does: blobs, links to them by revision, and names of
    revisions.
    """
    repository = cache / f"models--{repo_id.replace('/', '--')}"
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    for number, (name, content) in enumerate(files.items()):
        blob = repository / "blobs" / f"{number}"
        blob.write_text(content)
        link = repository / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    if reference:
        (repository / "refs" / reference).parent.mkdir(parents=True, exist_ok=True)
        (repository / "refs" / reference).write_text(commit)
    return repository


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cached_models(tmp_path / "absent") == []


def test_every_revision_is_listed_with_name_and_size(tmp_path):
    repository = put(tmp_path, "someone/film")
    put(tmp_path, "alone", reference="refs/pr/1")
    put(tmp_path, "nobody/names", reference=None)
    (tmp_path / "datasets--someone--pictures" / "snapshots" / "b").mkdir(parents=True)
    snapshots = repository / "snapshots"
    assert cached_models(tmp_path) == [
        CachedModel(
            "alone", "refs/pr/1", SIZE, True, tmp_path / "models--alone" / "snapshots" / ("a" * 40)
        ),
        CachedModel(
            "nobody/names",
            "a" * 40,
            SIZE,
            True,
            tmp_path / "models--nobody--names" / "snapshots" / ("a" * 40),
        ),
        CachedModel("someone/film", "main", SIZE, True, snapshots / ("a" * 40)),
    ]
    assert cached_models(str(tmp_path)) == cached_models(tmp_path)


@pytest.mark.parametrize(
    "lost", ["scheduler/scheduler_config.json", "vae/diffusion_pytorch_model.safetensors"]
)
def test_a_pipeline_that_lacks_a_file_is_not_complete(lost, tmp_path):
    put(
        tmp_path, "someone/film", {name: content for name, content in FILES.items() if name != lost}
    )
    (found,) = cached_models(tmp_path)
    assert not found.complete


def test_a_pipeline_with_one_variant_is_complete(tmp_path):
    files = dict(FILES)
    files["vae/diffusion_pytorch_model.fp16.safetensors"] = files.pop(
        "vae/diffusion_pytorch_model.safetensors"
    )
    put(tmp_path, "someone/film", files)
    assert cached_models(tmp_path)[0].complete


def test_a_pipeline_with_a_damaged_index_is_not_complete(tmp_path):
    put(tmp_path, "someone/film", FILES | {"model_index.json": "{"})
    assert not cached_models(tmp_path)[0].complete


def test_a_dangling_link_is_a_missing_file(tmp_path):
    repository = put(tmp_path, "someone/film")
    (repository / "blobs" / "3").unlink()
    (found,) = cached_models(tmp_path)
    assert (found.complete, found.size) == (False, SIZE - len("weights"))


def test_another_repository_is_complete_unless_a_download_was_cut_off(tmp_path):
    repository = put(tmp_path, "someone/else", {"weights.bin": "x"})
    assert cached_models(tmp_path)[0].complete
    (repository / "blobs" / "9.incomplete").write_text("")
    assert not cached_models(tmp_path)[0].complete
