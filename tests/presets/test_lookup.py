"""Looking up presets and extra files by name."""

import subprocess
import sys

from filmstrip import presets
from filmstrip.presets import ltx, svd
from filmstrip.presets.lookup import PRESETS, find_extra_file, find_preset, suggest_names


def test_presets_of_both_families_are_found_by_name():
    for preset in (*svd.PRESETS[1:], *ltx.PRESETS):
        assert find_preset(preset.name) is preset
    assert find_preset("nothing") is None
    assert set(PRESETS) == {preset.name for preset in (*svd.PRESETS, *ltx.PRESETS)}


def test_the_demo_is_that_of_ltx():
    assert find_preset("demo") is ltx.PRESETS[0]


def test_extra_files_are_found_by_name():
    for file in ltx.EXTRA_FILES:
        assert find_extra_file(file.name) is file
        assert find_preset(file.name) is None
    assert find_extra_file("ltx-2b-0.9.0") is None


def test_similar_names_are_suggested():
    assert suggest_names("svd-xl") == "did you mean svd-xt or svd or svd-xt-1.1?"
    assert suggest_names("svd-xl", ["svd-xt", "other"]) == "did you mean svd-xt?"
    assert suggest_names("zzz") == "`filmstrip models` lists the known ones."


def test_the_tables_and_is_cached_import_no_torch():
    program = (
        "import sys; from filmstrip.presets import PRESETS, is_cached; "
        "is_cached(PRESETS['svd'], {}), is_cached(PRESETS['ltx-2b-0.9.0'], {}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_package_exports_what_other_packages_use():
    for name in ("PRESETS", "fetch", "find_preset", "is_cached", "load", "locate", "suggest_names"):
        assert callable(getattr(presets, name)) or name == "PRESETS"
