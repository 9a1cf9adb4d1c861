"""Sizes, lengths, seeds, files and devices are decided before work, or refused in a sentence."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.cli import plan
from filmstrip.errors import InputError
from filmstrip.presets.ltx import CALL_DEFAULTS as PRESET


@settings(deadline=None)
@given(asked=st.integers(1, 5000), multiple=st.sampled_from([8, 32, 48, 64]))
def test_a_side_becomes_the_nearest_multiple_and_says_so_only_when_it_moves(
    asked: int, multiple: int
) -> None:
    notes: list[str] = []
    got = plan.side("width", asked, multiple, True, notes)
    assert got > 0
    assert got % multiple == 0
    assert all(
        abs(got - asked) <= abs(other - asked)
        for other in (got - multiple, got + multiple)
        if other > 0
    )
    assert notes == (
        [] if got == asked else [f"--width {asked} is not a multiple of {multiple}: using {got}."]
    )


@settings(deadline=None)
@given(asked=st.integers(1, 2000), stride=st.sampled_from([1, 4, 8]))
def test_a_length_becomes_the_nearest_that_the_vae_can_decode(asked: int, stride: int) -> None:
    got = plan.frame_count(asked, None, 25, stride, True, [])
    assert got >= 1
    assert (got - 1) % stride == 0
    assert abs(got - asked) <= stride / 2


def test_halfway_between_two_sizes_the_larger_is_taken() -> None:
    assert plan.side("width", 112, 32, True, []) == 128
    assert plan.frame_count(13, None, 25, 8, True, []) == 17


def test_seconds_count_in_frames_of_the_chosen_rate() -> None:
    notes: list[str] = []
    assert plan.frame_count(161, 5, 24, 8, True, notes) == 121
    assert plan.frame_count(161, 4, 24, 8, True, notes) == 97
    assert notes == [
        "--seconds 5 at 24 fps (120 frames) is not 8 * k + 1: using 121.",
        "--seconds 4 at 24 fps (96 frames) is not 8 * k + 1: using 97.",
    ]
    assert plan.frame_count(161, 0.001, 24, 8, True, []) == 1


def test_what_is_not_given_the_model_decides() -> None:
    assert plan.settings(PRESET, frames=None) == PRESET


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: plan.side("width", 100, 32, False, []),
            "--width 100 is not a multiple of 32.*nearest is 96",
        ),
        (lambda: plan.settings(PRESET, height=0), "--height is 0, but it must be 1 or more"),
        (
            lambda: plan.frame_count(24, None, 25, 8, False, []),
            r"--frames 24 is not 8 \* k \+ 1.*nearest is 25",
        ),
        (lambda: plan.settings(PRESET, frames=-1), "--frames is -1"),
        (lambda: plan.frame_count(9, -2.0, 25, 8, True, []), "--seconds is -2"),
        (lambda: plan.settings(PRESET, fps=float("nan")), "--fps is nan"),
        (lambda: plan.settings(PRESET, fps=float("inf")), "--fps is inf"),
        (lambda: plan.settings(PRESET, guidance=-0.5), "--guidance is -0.5"),
        (lambda: plan.settings(PRESET, guidance=float("inf")), "--guidance is inf"),
        (lambda: plan.seeds(-1, 1), "--seed is -1"),
        (lambda: plan.seeds(plan.MAX_SEED, 2), f"--seed is {plan.MAX_SEED}"),
        (lambda: plan.seeds(0, 0), "--count is 0"),
        (lambda: plan.seeds(0, 10_000), "--count is 10000"),
        (lambda: plan.device("gpu"), "--device gpu is not known"),
        (lambda: plan.device("cuda:"), "--device cuda: is not known"),
        (lambda: plan.device("cpu:0"), "--device cpu:0 is not known"),
        (lambda: plan.dtype("int8", "cpu"), "--dtype int8 is not known"),
        (lambda: plan.dtype("fp16", "cpu"), "float16 does not work on the CPU"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()  # type: ignore[operator]


def test_seeds_follow_each_other_and_the_first_is_random_when_not_given() -> None:
    assert plan.seeds(7, 3) == (7, 8, 9)
    assert plan.seeds(plan.MAX_SEED, 1) == (plan.MAX_SEED,)
    first, second = plan.seeds(None, 2)
    assert second == first + 1
    assert len({plan.seeds(None, 1) for _ in range(5)}) > 1


def test_one_video_has_the_name_given_and_several_are_numbered(tmp_path: Path) -> None:
    assert plan.outputs(tmp_path / "a.mp4", 1, 9, 32, 32, []) == (tmp_path / "a.mp4",)
    assert plan.outputs(tmp_path / "a.mp4", 2, 9, 32, 32, []) == (
        tmp_path / "a-0001.mp4",
        tmp_path / "a-0002.mp4",
    )


def test_without_a_name_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("out.mp4", "out-2.mp4", "out-3.mp4"):
        (path,) = plan.outputs(None, 1, 9, 32, 32, [])
        assert str(path) == expected
        path.touch()
    (tmp_path / "out-4-0002.mp4").touch()
    assert [str(path) for path in plan.outputs(None, 2, 9, 32, 32, [])] == [
        "out-0001.mp4",
        "out-0002.mp4",
    ]


def test_a_file_that_will_be_replaced_is_named(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "a.mp4").touch()
    plan.outputs(tmp_path / "a.mp4", 1, 9, 32, 32, notes)
    assert notes == [f"Replacing {tmp_path / 'a.mp4'}."]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_auto_is_the_cpu_in_float32_and_cuda_is_refused() -> None:
    assert plan.device("auto") == "cpu" or torch.backends.mps.is_available()
    assert plan.dtype("auto", "cpu") == "float32"
    assert plan.dtype("bf16", "cpu") == "bfloat16"
    with pytest.raises(
        InputError, match=r"--device cuda: torch .* finds no cuda device here. Use --device cpu"
    ):
        plan.device("cuda")


def test_with_gpus_auto_is_the_gpu_in_the_best_type_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert plan.device("auto") == "cuda"
    assert plan.device("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match="--device cuda:2: there are 2 GPUs"):
        plan.device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert plan.dtype("auto", "cuda") == "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    assert plan.dtype("auto", "cuda") == "float16"
    with pytest.raises(InputError, match="Old GPU cannot compute in it"):
        plan.dtype("bfloat16", "cuda")
