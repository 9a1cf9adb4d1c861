"""Both names of dtype and device, the compute dtype, and what transformers prints while loading."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.utils import logging

from filmstrip import LTXPipeline, LTXVideoTransformer3DModel
from tests.parity.pipelines import pipelines

CHECKPOINT = Path(__file__).parents[1] / "data" / "golden_ltx" / "ckpt_v095.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = tmp_path_factory.mktemp("pipeline")
    pipelines()[0].save_pretrained(saved)
    return saved


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_both_names_of_the_dtype(folder: Path, name: str) -> None:
    options: dict[str, Any] = {name: torch.float16}
    model = LTXVideoTransformer3DModel.from_single_file(CHECKPOINT, **options)
    assert model.dtype == torch.float16
    model = LTXVideoTransformer3DModel.from_pretrained(folder / "transformer", **options)
    assert model.dtype == torch.float16


@pytest.mark.parametrize("name", ["device", "device_map"])
def test_both_names_of_the_device(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    as_device = torch.device

    def recorded(device: Any) -> torch.device:
        devices.append(device)
        return as_device("cpu")

    monkeypatch.setattr("filmstrip.weights.model.as_device", recorded)
    options: dict[str, Any] = {name: "cuda:3"}
    LTXVideoTransformer3DModel.from_single_file(CHECKPOINT, **options)
    LTXVideoTransformer3DModel.from_pretrained(folder / "transformer", **options)
    assert set(devices) == {"cuda:3"}
    assert len(devices) >= 2


def test_the_compute_dtype_is_that_of_the_weights_unless_it_was_set() -> None:
    model = LTXVideoTransformer3DModel.from_single_file(CHECKPOINT, dtype=torch.float16)
    assert model.compute_dtype == torch.float16
    model.compute_dtype = torch.float32
    assert model.compute_dtype == torch.float32
    model.compute_dtype = None
    assert model.compute_dtype == torch.float16


@pytest.mark.parametrize("bars", [True, False])
def test_transformers_is_quiet_while_it_loads_and_as_it_was_after(
    folder: Path, bars: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    load = transformers.T5EncoderModel.from_pretrained

    def recorded(*args: Any, **options: Any) -> Any:
        seen.append((logging.get_verbosity(), logging.is_progress_bar_enabled()))
        return load(*args, **options)

    monkeypatch.setattr(transformers.T5EncoderModel, "from_pretrained", recorded)
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity(logging.INFO)
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
        LTXPipeline.from_pretrained(folder, transformer=None, vae=None)
        assert seen == [(logging.ERROR, False)]
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled() is bars
    finally:
        logging.set_verbosity(before[0])
        (logging.enable_progress_bar if before[1] else logging.disable_progress_bar)()
