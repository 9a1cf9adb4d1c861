"""The device and the dtype of a job, and the choice of `auto`."""

from collections.abc import Callable

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.jobs.device_and_dtype import choose_device, choose_dtype


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_auto_is_the_cpu_in_float32_and_cuda_is_refused() -> None:
    assert choose_device("auto") == "cpu" or torch.backends.mps.is_available()
    assert choose_dtype("auto", "cpu") == "float32"
    assert choose_dtype("bf16", "cpu") == "bfloat16"
    with pytest.raises(
        InputError, match=r"--device cuda: torch .* finds no cuda device here. Use --device cpu"
    ):
        choose_device("cuda")


def test_with_gpus_auto_is_the_gpu_in_the_best_dtype_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_device("gpu"), "--device gpu is not known"),
        (lambda: choose_device("cuda:"), "--device cuda: is not known"),
        (lambda: choose_device("cpu:0"), "--device cpu:0 is not known"),
        (lambda: choose_dtype("int8", "cpu"), "--dtype int8 is not known"),
        (lambda: choose_dtype("fp16", "cpu"), "float16 does not work on the CPU"),
    ],
)
def test_unknown_devices_and_dtypes_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
