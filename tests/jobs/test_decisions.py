"""Sizes, lengths, seeds, files and devices are decided before work, or refused in a sentence."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.jobs.device import choose_device, choose_dtype
from filmstrip.jobs.outputs import choose_outputs
from filmstrip.jobs.settings import MAX_SEED, override, seeds_from
from filmstrip.jobs.sizes import odd_size, snap_frames, snap_size
from filmstrip.presets.ltx import CALL_DEFAULTS as PRESET


@settings(deadline=None)
@given(asked=st.integers(1, 5000), multiple=st.sampled_from([8, 32, 48, 64]))
def test_a_side_becomes_the_nearest_multiple_and_says_so_only_when_it_moves(
    asked: int, multiple: int
) -> None:
    snapped = snap_size("width", asked, multiple, True)
    width = snapped.value
    assert width > 0
    assert width % multiple == 0
    assert all(
        abs(width - asked) <= abs(other - asked)
        for other in (width - multiple, width + multiple)
        if other > 0
    )
    sentence = f"--width {asked} is not a multiple of {multiple}: using {width}."
    assert snapped.adjustments == (() if width == asked else (sentence,))


@settings(deadline=None)
@given(asked=st.integers(1, 2000), stride=st.sampled_from([1, 4, 8]))
def test_a_length_becomes_the_nearest_that_the_vae_can_decode(asked: int, stride: int) -> None:
    num_frames = snap_frames(asked, None, 25, stride, True).value
    assert num_frames >= 1
    assert (num_frames - 1) % stride == 0
    assert abs(num_frames - asked) <= stride / 2


def test_halfway_between_two_sizes_the_larger_is_taken() -> None:
    assert snap_size("width", 112, 32, True).value == 128
    assert snap_frames(13, None, 25, 8, True).value == 17


def test_seconds_count_in_frames_of_the_chosen_rate() -> None:
    longer = snap_frames(161, 5, 24, 8, True)
    shorter = snap_frames(161, 4, 24, 8, True)
    assert (longer.value, shorter.value) == (121, 97)
    assert longer.adjustments == (
        "--seconds 5 at 24 fps (120 frames) is not 8 * k + 1: using 121.",
    )
    assert shorter.adjustments == ("--seconds 4 at 24 fps (96 frames) is not 8 * k + 1: using 97.",)
    assert snap_frames(161, 0.001, 24, 8, True).value == 1


def test_what_is_not_given_the_model_decides() -> None:
    assert override(PRESET, frames=None) == PRESET


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: snap_size("width", 100, 32, False),
            "--width 100 is not a multiple of 32.*nearest is 96",
        ),
        (lambda: override(PRESET, height=0), "--height is 0, but it must be 1 or more"),
        (
            lambda: snap_frames(24, None, 25, 8, False),
            r"--frames 24 is not 8 \* k \+ 1.*nearest is 25",
        ),
        (lambda: override(PRESET, frames=-1), "--frames is -1"),
        (lambda: snap_frames(9, -2.0, 25, 8, True), "--seconds is -2"),
        (lambda: override(PRESET, fps=float("nan")), "--fps is nan"),
        (lambda: override(PRESET, fps=float("inf")), "--fps is inf"),
        (lambda: override(PRESET, guidance=-0.5), "--guidance is -0.5"),
        (lambda: override(PRESET, guidance=float("inf")), "--guidance is inf"),
        (lambda: seeds_from(-1, 1), "--seed is -1"),
        (lambda: seeds_from(MAX_SEED, 2), f"--seed is {MAX_SEED}"),
        (lambda: seeds_from(0, 0), "--count is 0"),
        (lambda: seeds_from(0, 10_000), "--count is 10000"),
        (lambda: choose_device("gpu"), "--device gpu is not known"),
        (lambda: choose_device("cuda:"), "--device cuda: is not known"),
        (lambda: choose_device("cpu:0"), "--device cpu:0 is not known"),
        (lambda: choose_dtype("int8", "cpu"), "--dtype int8 is not known"),
        (lambda: choose_dtype("fp16", "cpu"), "float16 does not work on the CPU"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()  # type: ignore[operator]


def test_seeds_follow_each_other_and_the_first_is_random_when_not_given() -> None:
    assert seeds_from(7, 3) == (7, 8, 9)
    assert seeds_from(MAX_SEED, 1) == (MAX_SEED,)
    first, second = seeds_from(None, 2)
    assert second == first + 1
    assert len({seeds_from(None, 1) for _ in range(5)}) > 1


def test_one_video_has_the_name_given_and_several_are_numbered(tmp_path: Path) -> None:
    output = str(tmp_path / "a.mp4")
    assert choose_outputs(output, 1, 9, 32, 32).value == (output,)
    assert choose_outputs(output, 2, 9, 32, 32).value == (
        str(tmp_path / "a-0001.mp4"),
        str(tmp_path / "a-0002.mp4"),
    )


def test_without_a_name_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("out.mp4", "out-2.mp4", "out-3.mp4"):
        (path,) = choose_outputs(None, 1, 9, 32, 32).value
        assert path == expected
        Path(path).touch()
    (tmp_path / "out-4-0002.mp4").touch()
    assert choose_outputs(None, 2, 9, 32, 32).value == ("out-0001.mp4", "out-0002.mp4")


def test_a_file_that_will_be_replaced_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    chosen = choose_outputs(str(tmp_path / "a.mp4"), 1, 9, 32, 32)
    assert chosen.adjustments == (f"Replacing {tmp_path / 'a.mp4'}.",)


def test_an_odd_size_is_a_matter_of_h264_files_alone() -> None:
    assert odd_size(40, 50, None, True) == ()
    assert odd_size(39, 51, "a.webp", True) == ()
    assert odd_size(39, 51, None, True) == (
        "39x51 has an odd side, and .mp4 files (H.264, 4:2:0) have even ones: the last line is "
        "written twice, 40x52.",
    )
    with pytest.raises(InputError, match="Use 40x50, another format, or leave out --no-snap"):
        odd_size(39, 50, "A.MKV", False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_auto_is_the_cpu_in_float32_and_cuda_is_refused() -> None:
    assert choose_device("auto") == "cpu" or torch.backends.mps.is_available()
    assert choose_dtype("auto", "cpu") == "float32"
    assert choose_dtype("bf16", "cpu") == "bfloat16"
    with pytest.raises(
        InputError, match=r"--device cuda: torch .* finds no cuda device here. Use --device cpu"
    ):
        choose_device("cuda")


def test_with_gpus_auto_is_the_gpu_in_the_best_type_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match="--device cuda:2: there are 2 GPUs"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert choose_dtype("auto", "cuda") == "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    assert choose_dtype("auto", "cuda") == "float16"
    with pytest.raises(InputError, match="Old GPU cannot compute in it"):
        choose_dtype("bfloat16", "cuda")
