"""The benchmark runs at a toy size, and both libraries give the same results."""

from benchmarks.svd import ALL, FEW, PART, PLAN, STEP, main
from tests.benchmarks.common import assert_measured, toy_run


def test_eager_rows_come_first_and_compiled_ones_are_left_out_after_the_deadline(tmp_path):
    status, measured = toy_run(main, tmp_path / "svd.json", STEP.name, "--minutes", "0")
    assert status == 1
    assert [(row["library"], row["mode"], "error" in row) for row in measured["rows"]] == [
        ("diffusers", "eager", False),
        ("filmstrip", "eager", False),
        ("filmstrip", "compiled", True),
        ("diffusers", "compiled", True),
    ]
    assert_measured(measured | {"rows": measured["rows"][:2]})


def test_both_ways_of_decoding_are_measured(tmp_path):
    status, compiled_too = toy_run(main, tmp_path / "svd.json", PART.name)
    assert status == 0
    assert len(compiled_too["rows"]) == 4
    assert_measured(compiled_too)
    _, measured = toy_run(main, tmp_path / "svd.json", ALL.name, "--minutes", "0")
    assert_measured(measured | {"rows": measured["rows"][:2]})


def test_decoding_a_few_frames_at_a_time_is_measured_and_compared_on_whole_chunks():
    assert PART.workload.chunk == FEW == PART.check[0]
    assert ALL.workload.chunk is None
    assert {mode for _, variants in PLAN[:3] for _, mode in variants} == {"eager"}
