"""The checker of golden data passes correct results and fails others with a message."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tools.check_golden import main

DATA = Path(__file__).parents[1] / "data" / "golden_ltx"
NAMES = [case["name"] for case in json.loads((DATA / "cases.json").read_text())["cases"]]


@pytest.fixture
def folder(tmp_path):
    """One case alone, with its checkpoint."""
    cases = json.loads((DATA / "cases.json").read_text())
    cases["cases"] = [case for case in cases["cases"] if case["name"] == "t2v_stochastic"]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    for name in ("t2v_stochastic.safetensors", "ckpt_v095.safetensors"):
        shutil.copy(DATA / name, tmp_path)
    return tmp_path


def change_case(folder, **changes):
    cases = json.loads((folder / "cases.json").read_text())
    cases["cases"][0]["params"] |= changes
    (folder / "cases.json").write_text(json.dumps(cases))


def change_tensor(folder, name, change):
    file = folder / "t2v_stochastic.safetensors"
    tensors = load_file(file)
    tensors[name] = change(tensors[name])
    save_file(tensors, file)


@pytest.mark.parametrize("name", NAMES)
def test_results_equal_the_authors(name, capsys):
    assert main([str(DATA), "--only", f"^{name}$"]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.endswith("1 passed, 0 failed\n")


def test_an_error_above_the_bound_fails(folder, capsys):
    change_tensor(folder, "out.latents", lambda latents: latents * 1.0003)
    assert main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    reported = re.match(
        r"FAIL  t2v_stochastic: error (\S+) \(bound 1.0e-04\) in out.latents", lines[0]
    )
    assert reported, lines[0]
    assert float(reported[1]) == pytest.approx(3e-4, rel=0.02)
    assert lines[-1] == "0 passed, 1 failed"


def test_a_result_of_another_shape_fails(folder, capsys):
    change_tensor(folder, "out.timesteps", lambda times: times[:-1])
    assert main([str(folder)]) == 1
    change_tensor(folder, "out.timesteps", lambda times: times.new_zeros(8))
    assert main([str(folder)]) == 1


def test_an_unknown_kind_of_case_fails(folder, capsys):
    change_case(folder, kind="opera")
    assert main([str(folder)]) == 1
    assert "'opera' is not known" in capsys.readouterr().out


def test_a_case_that_cannot_be_run_fails_and_the_others_are_run(folder, capsys):
    cases = json.loads((folder / "cases.json").read_text())
    broken = {**cases["cases"][0], "name": "broken", "file": "absent.safetensors"}
    cases["cases"].insert(0, broken)
    (folder / "cases.json").write_text(json.dumps(cases))
    assert main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  broken")
    assert lines[-1] == "1 passed, 1 failed"


def test_a_draw_that_is_not_recorded_fails(folder, capsys):
    call = json.loads((folder / "cases.json").read_text())["cases"][0]["params"]["call"]
    change_case(folder, call=call | {"num_inference_steps": 9})
    assert main([str(folder)]) == 1
    assert "a draw of" in capsys.readouterr().out


def test_a_draw_that_is_left_over_fails(folder, capsys):
    call = json.loads((folder / "cases.json").read_text())["cases"][0]["params"]["call"]
    change_case(folder, call=call | {"stochastic_sampling": False})
    assert main([str(folder)]) == 1
    assert "8 recorded draws were not made" in capsys.readouterr().out
