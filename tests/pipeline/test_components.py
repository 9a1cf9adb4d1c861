"""Components of a pipeline: their device and dtype, moving, sharing and saving them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.pipeline.base import DiffusionPipeline
from tests.parity.pipelines import pipelines


class Module(nn.Module):
    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, device=device, dtype=dtype))

    @property
    def device(self) -> torch.device:
        return self.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype


class Two(DiffusionPipeline):
    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first = first
        self.second = second


class Three(DiffusionPipeline):
    def __init__(self, first: Any, second: Any, third: Any) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.third = third


def test_the_device_is_an_accelerator_if_any_module_is_on_one() -> None:
    assert Two(Module(), Module()).device == torch.device("cpu")
    assert Two(Module(), Module("meta")).device == torch.device("meta")
    assert Two(Module("meta"), Module()).device == torch.device("meta")
    assert Two(None, None).device == torch.device("cpu")


def test_the_dtype_is_that_of_the_first_module() -> None:
    half = Module(dtype=torch.float16)
    assert Two(half, Module()).dtype == torch.float16
    assert Two(Module(), half).dtype == torch.float32
    assert Two(None, half).dtype == torch.float16
    assert Two(None, "a tokenizer").dtype == torch.float32


def test_components_are_in_the_order_of_the_constructor() -> None:
    assert Three.component_names() == ("first", "second", "third")
    assert Three(1, 2, 3).components == {"first": 1, "second": 2, "third": 3}


def test_a_pipeline_from_another_shares_its_components() -> None:
    two = Two(Module(), Module())
    two.name_or_path = "owner/name"
    three = Three.from_pipe(two, second=None, third="new")
    assert three.components == {"first": two.first, "second": None, "third": "new"}
    assert three.name_or_path == "owner/name"
    with pytest.raises(InputError, match="has the components first, second, third; third must be"):
        Three.from_pipe(two)
    with pytest.raises(InputError, match="from_pipe does not take fourth; its components are"):
        Three.from_pipe(two, third=None, fourth=None)


def test_only_modules_move() -> None:
    two = Two(Module(), "a tokenizer")
    assert two.to("meta", torch.float16) is two
    assert (two.first.device.type, two.first.dtype) == ("meta", torch.float16)
    assert two.to(None).first.dtype == torch.float16
    assert two.to(dtype=torch.float64).first.dtype == torch.float64


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ((torch.float16, "cpu"), {}, "takes a device, a dtype"),
        (("cpu", torch.float16, "cpu"), {}, "takes a device, a dtype"),
        ((torch.float16, torch.float32), {}, "takes a device, a dtype|two types"),
        (("cpu", "meta"), {}, "two devices, cpu and meta"),
        (("cpu",), {"device": "meta"}, "two devices, cpu and meta"),
        ((torch.float16,), {"dtype": torch.float32}, "two types"),
    ],
)
def test_an_ambiguous_target_is_refused(target: Any, options: dict[str, Any], message: str) -> None:
    two = Two(Module(), Module())
    with pytest.raises(InputError, match=message):
        two.to(*target, **options)
    assert (two.first.device.type, two.first.dtype) == ("cpu", torch.float32)


def test_progress_is_reported_to_another_object_within_the_context() -> None:
    two = Two(None, None)
    previous = two.progress
    other = object()
    with two.report_progress_to(other):  # type: ignore[arg-type]
        assert two.progress is other
    assert two.progress is previous
    with pytest.raises(ZeroDivisionError), two.report_progress_to(other):  # type: ignore[arg-type]
        raise ZeroDivisionError
    assert two.progress is previous


def test_a_pipeline_is_saved_as_safetensors_without_a_warning(
    tmp_path: Path, warnings: list[str]
) -> None:
    pipelines()[0].save_pretrained(tmp_path)
    assert list((tmp_path / "transformer").glob("*.safetensors"))
    assert not warnings
