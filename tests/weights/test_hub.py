"""Finding a checkpoint in a folder, on the Hub (a small test server), or in its cache."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights import folder, pipeline_index
from filmstrip.weights.cache import cached_models
from filmstrip.weights.hub import CheckpointLocation

from . import hub, samples

REPO = "someone/film"


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """The files of a repository: a pipeline with an fp16 variant, and unneeded files."""
    path = tmp_path_factory.mktemp("repository")
    components = samples.components()
    folder.save_components(path, "LTXPipeline", components, max_shard_size="20KB")
    extra = {name: components[name] for name in ("vae", "transformer")}
    folder.save_components(path / "fp16", "LTXPipeline", extra, variant="fp16")
    files = {
        name.removeprefix("fp16/"): content
        for name, content in contents(path).items()
        if "fp16/model" not in name
    }
    unneeded = (
        "film-2b.safetensors",
        "README.md",
        "vae/diffusion_pytorch_model.bin",
        "transformer/code.py",
        "text_encoder/flax_model.msgpack",
    )
    return files | dict.fromkeys(unneeded, b"unneeded")


@pytest.fixture
def online(pipeline, monkeypatch):
    """A Hub with the repository; the list of the files that were downloaded."""
    model = {name: content for name, content in pipeline.items() if name.startswith("vae/")}
    with hub.online(monkeypatch, {REPO: pipeline, "someone/model": model}) as downloads:
        yield downloads


def fetch(cache, variant=None, skip=(), **options):
    return pipeline_index.fetch_pipeline(
        CheckpointLocation(REPO, cache_dir=cache, **options), skip, variant
    )


def test_only_the_files_that_are_needed_are_downloaded(online, pipeline, tmp_path):
    snapshot = fetch(tmp_path)
    assert set(contents(snapshot)) == set(online)
    assert set(online) == {
        name for name in pipeline if "fp16" not in name and pipeline[name] != b"unneeded"
    }
    loaded = folder.load_components(
        snapshot, pipeline_index.read_index(snapshot), ["vae", "text_encoder", "tokenizer"], {}
    )
    assert samples.same_weights(loaded["vae"], samples.components()["vae"])


def test_a_variant_is_downloaded_instead_of_the_plain_weights(online, tmp_path, warnings):
    fetch(tmp_path, variant="fp16")
    weights = sorted(name.split("/")[0] for name in online if "fp16" in name)
    assert weights == ["transformer", "vae"]
    assert not [
        name for name in online if name.startswith(("vae", "transformer")) and "-of-" in name
    ]
    assert [name for name in online if name.startswith("text_encoder") and "-of-" in name]
    assert "fp16 for text_encoder" in warnings[0]
    with pytest.raises(InputError, match=r"variant=bf16.*\(fp16\)"):
        fetch(tmp_path, variant="bf16")


def test_skipped_components_are_not_downloaded(online, tmp_path):
    fetch(tmp_path, skip=("vae", "text_encoder", "tokenizer", "scheduler"))
    assert {name.split("/")[0] for name in online} == {"model_index.json", "transformer"}


def test_cached_files_are_downloaded_again_only_if_forced(online, tmp_path):
    fetch(tmp_path)
    count = len(online)
    fetch(tmp_path)
    assert len(online) == count
    fetch(tmp_path, force_download=True)
    assert len(online) > count


def test_a_single_model_is_read_from_a_subfolder(online, tmp_path):
    loaded = type(samples.vae()).from_pretrained(
        "someone/model", subfolder="vae", cache_dir=tmp_path, variant="fp16"
    )
    assert set(online) == {"vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors"}
    assert samples.same_weights(loaded, samples.components()["vae"])
    assert loaded.config._name_or_path == "someone/model"
    config = type(loaded).load_config("someone/model", subfolder="vae", cache_dir=tmp_path)
    assert config["_class_name"] == "AutoencoderKLLTXVideo"


def test_a_revision_is_passed_on(online, tmp_path):
    assert fetch(tmp_path, revision="main").name == hub.COMMIT
    with pytest.raises(CheckpointError, match=r"no revision 'other' on the Hub"):
        fetch(tmp_path, revision="other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone/absent", "no such repository"),
        ("someone/gated", r"terms accepted first, at https://huggingface\.co/someone/gated"),
        ("someone/broken", "cannot be reached"),
    ],
)
def test_the_error_has_the_reason_of_the_hub(name, message, online, tmp_path):
    with pytest.raises(
        CheckpointError, match=f"{name} is neither a folder nor in the Hub's cache, and .*{message}"
    ):
        pipeline_index.fetch_pipeline(CheckpointLocation(name, cache_dir=tmp_path))


def test_a_file_that_the_repository_lacks_is_named(online, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"someone/model on the Hub has no file model_index.json"
    ):
        pipeline_index.fetch_pipeline(CheckpointLocation("someone/model", cache_dir=tmp_path))
    with pytest.raises(
        CheckpointError, match=r"someone/model on the Hub has no file unet/config.json"
    ):
        type(samples.vae()).from_pretrained("someone/model", subfolder="unet", cache_dir=tmp_path)


def test_without_the_network_the_cache_is_used(online, tmp_path, monkeypatch):
    fetch(tmp_path)
    count = len(online)
    expected = fetch(tmp_path, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(tmp_path) == expected
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert fetch(tmp_path) == expected
    assert len(online) == count


def test_offline_and_not_cached_names_the_command_that_downloads(tmp_path):
    with pytest.raises(CheckpointError) as error:
        fetch(tmp_path, revision="v2")
    command = (
        f'hf download {REPO} --include "model_index.json" --include "config.json" --include "*/*"'
    )
    assert f"{command} --revision v2 --cache-dir {tmp_path}" in str(error.value)
    assert (
        "neither a folder nor in the Hub's cache, and nothing is downloaded in offline mode"
        in str(error.value)
    )
    with pytest.raises(CheckpointError, match=f'hf download {REPO} --include "vae/\\*"'):
        type(samples.vae()).from_pretrained(REPO, subfolder="vae", cache_dir=tmp_path)


def test_files_that_the_cached_copy_lacks_are_named(online, tmp_path, monkeypatch):
    snapshot = fetch(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    next((snapshot / "vae").glob("*-00001-of-*")).unlink()
    with pytest.raises(
        CheckpointError, match=r"not complete.*shards 1 of .* are missing.*hf download"
    ):
        fetch(tmp_path)
    assert fetch(tmp_path, skip=("vae",)) == snapshot
    (snapshot / "model_index.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model_index.json.*hf download"):
        fetch(tmp_path)


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_that_is_no_path_or_text_is_refused(name):
    with pytest.raises(InputError, match=r"give a folder, or the id"):
        CheckpointLocation(name)


@pytest.mark.parametrize("name", ["./absent", "/absent/folder", "a/b/c", "a b", "../film"])
def test_a_name_that_is_neither_a_folder_nor_an_id_is_refused(name):
    with pytest.raises(CheckpointError, match=r"no folder .* no id of a repository"):
        CheckpointLocation(name).fetch(lambda names: [])


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "film.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is a file"):
        CheckpointLocation(tmp_path / "film.safetensors").fetch(lambda names: [])


def test_the_cache_is_listed(online, tmp_path):
    assert cached_models(tmp_path) == []
    snapshot = fetch(tmp_path)
    type(samples.vae()).from_pretrained("someone/model", subfolder="vae", cache_dir=tmp_path)
    pipeline, model = sorted(cached_models(tmp_path), key=lambda entry: entry.repo_id)
    assert (pipeline.repo_id, pipeline.revision, pipeline.folder, pipeline.complete) == (
        REPO,
        "main",
        snapshot,
        True,
    )
    assert pipeline.size == sum(len(content) for content in contents(snapshot).values())
    assert (model.repo_id, model.complete) == ("someone/model", True)
    next(snapshot.glob("transformer/*-00002-of-*")).unlink()
    assert not cached_models(tmp_path)[0].complete
