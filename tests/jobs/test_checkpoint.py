"""The value of --model is a preset, a folder or a Hub id."""

from pathlib import Path

import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.checkpoint import find_checkpoint
from filmstrip.jobs.families import FAMILIES, LTX, SVD
from filmstrip.presets.ltx import CALL_DEFAULTS, PRESETS


def test_a_preset_has_its_location_recipe_and_licence() -> None:
    checkpoint = find_checkpoint("ltx-2b-0.9.5", LTX)
    assert checkpoint.location == "Lightricks/LTX-Video"
    assert checkpoint.preset.name == checkpoint.name == "ltx-2b-0.9.5"
    assert checkpoint.recipe == checkpoint.preset.recipe is not None
    assert "OpenRAIL-M" in checkpoint.credit


@pytest.mark.parametrize("name", ["someone/their-ltx", "ltx-2b-0.9.5"])
def test_presets_and_hub_ids_may_have_a_revision(name: str) -> None:
    checkpoint = find_checkpoint(f"{name}@0123abc", LTX)
    assert (checkpoint.name, checkpoint.revision) == (name, "0123abc")


def test_the_authors_repository_as_a_hub_id_has_no_recipe() -> None:
    checkpoint = find_checkpoint("Lightricks/LTX-Video", LTX)
    assert (checkpoint.preset, checkpoint.recipe) == (CALL_DEFAULTS, None)


def test_a_hub_id_has_the_defaults_of_diffusers_and_a_link_to_its_licence() -> None:
    checkpoint = find_checkpoint("someone/their-ltx", LTX)
    assert checkpoint.preset is CALL_DEFAULTS
    assert checkpoint.revision is None
    assert "https://huggingface.co/someone/their-ltx" in checkpoint.credit


def test_an_existing_folder_is_preferred_to_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "ltx").mkdir(parents=True)
    checkpoint = find_checkpoint("models/ltx", LTX)
    assert (checkpoint.location, checkpoint.preset, checkpoint.credit) == (
        "models/ltx",
        CALL_DEFAULTS,
        "",
    )
    assert checkpoint.commit(Path(checkpoint.location)) is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ltx-2b-0.9.6", "did you mean ltx-2b-0.9"),
        ("demo@main", "did you mean demo"),
        ("dmeo", "did you mean demo"),
        ("zzz", "`filmstrip models` lists"),
        ("svd-xt", "is a model for `filmstrip animate`"),
        ("./nowhere", "there is no such folder"),
        ("/nowhere/at/all", "there is no such folder"),
        ("a/b/c", "no known model, no folder and no Hub id"),
        ("", "no known model"),
    ],
)
def test_an_unknown_model_is_refused_with_a_suggestion(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_checkpoint(model, LTX)


def test_a_file_is_refused_with_a_hint_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "ltx.safetensors").touch()
    with pytest.raises(InputError, match=r"ltx.safetensors is a file: give the folder"):
        find_checkpoint(str(tmp_path / "ltx.safetensors"), LTX)


def test_the_commit_is_the_name_of_the_snapshot_folder() -> None:
    checkpoint = find_checkpoint("a/b", LTX)
    assert checkpoint.commit(Path("hub/models--a--b/snapshots/0123abc")) == "0123abc"


def test_presets_have_unique_names_a_licence_and_sizes_that_the_models_can_make() -> None:
    for family in FAMILIES:
        rows = family.presets
        assert len({row.name for row in rows}) == len(rows)
        assert all(row.licence for row in rows)
    rows = [row for family in FAMILIES for row in family.presets if row.name != "demo"]
    assert len({row.name for row in rows}) == len(rows)
    assert all(preset.width % 64 == preset.height % 64 == 0 for preset in SVD.presets)
    for preset in PRESETS:
        assert preset.width % 32 == preset.height % 32 == 0
        assert preset.frames % 8 == 1
        assert preset.licence
