"""The benchmark of LTX runs at a toy size, and both libraries give the same results."""

import pytest

from benchmarks.ltx import CASES, main
from tests.benchmarks.common import assert_measured, toy_run


@pytest.mark.parametrize("case", [CASES[0].name, CASES[2].name])
def test_every_row_of_a_toy_run_is_measured(case, tmp_path):
    status, measured = toy_run(main, tmp_path / "ltx.json", case)
    assert status == 0
    assert_measured(measured)


def test_compiled_rows_are_left_out_after_the_deadline(tmp_path, capsys):
    status, measured = toy_run(main, tmp_path / "ltx.json", CASES[0].name, "--minutes", "0")
    assert status == 1
    assert ["error" in row for row in measured["rows"]] == [False, True, False, True]
    assert "filmstrip compiled: left out" in capsys.readouterr().err
