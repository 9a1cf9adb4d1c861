"""The benchmark of SVD runs at a toy size, and both libraries give the same results."""

from benchmarks.svd import CHUNK, DECODE_AT_ONCE, DECODE_IN_CHUNKS, PLAN, STEP, main
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
    status, measured = toy_run(main, tmp_path / "svd.json", DECODE_IN_CHUNKS.name)
    assert status == 0
    assert len(measured["rows"]) == 4
    assert_measured(measured)
    _, measured = toy_run(main, tmp_path / "svd.json", DECODE_AT_ONCE.name, "--minutes", "0")
    assert_measured(measured | {"rows": measured["rows"][:2]})


def test_decoding_a_few_frames_at_a_time_is_measured_and_compared_on_whole_chunks():
    assert DECODE_IN_CHUNKS.workload.chunk == CHUNK == DECODE_IN_CHUNKS.check[0]
    assert DECODE_AT_ONCE.workload.chunk is None
    assert {mode for _, variants in PLAN[:3] for _, mode in variants} == {"eager"}
