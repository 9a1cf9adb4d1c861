"""The benchmark itself runs, at a toy size, and finds that both libraries compute the same."""

import json

import pytest

from benchmarks.ltx import CASES, main


@pytest.mark.parametrize("case", [CASES[0].name, CASES[2].name])
def test_every_row_of_a_toy_run_is_measured(case, tmp_path):
    assert main(["--toy", "--out", str(tmp_path), "--case", case, "--repeats", "1", "--device", "cpu"]) == 0
    result = json.loads((tmp_path / "ltx.json").read_text())
    assert result["toy"]
    assert min(result["ceilings"].values()) > 0
    (measured,) = result["cases"]
    assert {row["library"] for row in measured["rows"]} == {"diffusers", "filmstrip"}
    for row in measured["rows"]:
        assert row["share_of_floor"] == pytest.approx(measured["floor_s"] / row["median_s"])
        assert row["error_against_float32"] < 0.03
        assert row["first_s"] > 0


def test_what_there_is_no_time_to_compile_is_left_out_and_said(tmp_path, capsys):
    name = CASES[0].name
    assert main(["--toy", "--out", str(tmp_path), "--case", name, "--repeats", "1", "--minutes", "0"]) == 1
    (measured,) = json.loads((tmp_path / "ltx.json").read_text())["cases"]
    assert ["error" in row for row in measured["rows"]] == [False, True, False, True]
    assert "filmstrip compiled: left out" in capsys.readouterr().err
