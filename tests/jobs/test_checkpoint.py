"""--model means a name of the table, a folder, or a Hub id; nothing else."""

from pathlib import Path

import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.checkpoint import find_checkpoint
from filmstrip.jobs.families import FAMILIES, LTX, SVD
from filmstrip.presets.ltx import CALL_DEFAULTS, PRESETS


def test_a_preset_brings_its_settings() -> None:
    found = find_checkpoint("ltx-2b-0.9.5", LTX)
    assert found.location == "Lightricks/LTX-Video"
    assert found.preset.name == found.name == "ltx-2b-0.9.5"
    assert found.recipe == found.preset.recipe is not None
    assert "OpenRAIL-M" in found.credit


@pytest.mark.parametrize("name", ["someone/their-ltx", "ltx-2b-0.9.5"])
def test_a_name_of_the_hub_may_carry_a_revision(name: str) -> None:
    found = find_checkpoint(f"{name}@0123abc", LTX)
    assert (found.name, found.revision) == (name, "0123abc")


def test_a_repository_of_the_authors_gives_diffusers_numbers_like_any_other() -> None:
    found = find_checkpoint("Lightricks/LTX-Video", LTX)
    assert (found.preset, found.recipe) == (CALL_DEFAULTS, None)


def test_an_unknown_repository_has_the_settings_of_the_call_and_a_licence_of_its_own() -> None:
    found = find_checkpoint("someone/their-ltx", LTX)
    assert found.preset is CALL_DEFAULTS
    assert found.revision is None
    assert "https://huggingface.co/someone/their-ltx" in found.credit


def test_a_folder_comes_before_a_hub_id_of_the_same_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "ltx").mkdir(parents=True)
    found = find_checkpoint("models/ltx", LTX)
    assert (found.location, found.preset, found.credit) == ("models/ltx", CALL_DEFAULTS, "")
    assert found.commit(Path(found.location)) is None


@pytest.mark.parametrize(
    ("model", "words"),
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
def test_an_unknown_model_is_refused_with_what_it_may_have_meant(model: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_checkpoint(model, LTX)


def test_a_file_is_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    (tmp_path / "ltx.safetensors").touch()
    with pytest.raises(InputError, match=r"ltx.safetensors is a file: give the folder"):
        find_checkpoint(str(tmp_path / "ltx.safetensors"), LTX)


def test_a_folder_of_the_hubs_cache_tells_its_commit() -> None:
    found = find_checkpoint("a/b", LTX)
    assert found.commit(Path("hub/models--a--b/snapshots/0123abc")) == "0123abc"


def test_names_and_repositories_of_the_tables_are_unique_and_sizes_fit_the_models() -> None:
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
