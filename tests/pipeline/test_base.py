"""Loading, saving and moving of pipelines, with folders of filmstrip and of diffusers."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from filmstrip import DiffusionPipeline, LTXPipeline
from filmstrip.errors import CheckpointError, InputError
from tests.parity.common import assert_same
from tests.parity.pipelines import VAE_095, pipelines, run


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the same pipeline, saved by filmstrip and by diffusers."""
    folders = (tmp_path_factory.mktemp("filmstrip"), tmp_path_factory.mktemp("diffusers"))
    for pipe, folder in zip(pipelines(VAE_095), folders, strict=True):
        pipe.save_pretrained(folder)
    return folders


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return run(pipelines(VAE_095)[0])


def without_progress_bar(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("origin", [0, 1], ids=["saved by filmstrip", "saved by diffusers"])
@pytest.mark.parametrize(
    "loader", [LTXPipeline, DiffusionPipeline, diffusers.LTXPipeline, diffusers.DiffusionPipeline]
)
def test_folder_opens_in_both_libraries_with_the_same_frames(
    saved: tuple[Path, Path], frames: torch.Tensor, origin: int, loader: Any
) -> None:
    assert_same(run(without_progress_bar(loader.from_pretrained(saved[origin]))), frames)


def test_a_saved_variant_loads_in_diffusers(tmp_path: Path, frames: torch.Tensor) -> None:
    pipelines(VAE_095)[0].save_pretrained(tmp_path, variant="fp16", max_shard_size="20KB")
    assert list((tmp_path / "transformer").glob("*.index.fp16.json"))
    for loader in (LTXPipeline, diffusers.LTXPipeline):
        assert_same(
            run(without_progress_bar(loader.from_pretrained(tmp_path, variant="fp16"))), frames
        )


def test_compiled_and_channels_last_models_are_saved_like_others(
    tmp_path: Path, frames: torch.Tensor
) -> None:
    pipe, _ = pipelines(VAE_095)
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")
    pipe.vae.to(memory_format=torch.channels_last_3d)
    pipe.save_pretrained(tmp_path)
    assert_same(run(without_progress_bar(diffusers.LTXPipeline.from_pretrained(tmp_path))), frames)


def test_weights_load_channels_last(saved: tuple[Path, Path]) -> None:
    vae = LTXPipeline.from_pretrained(saved[1]).vae
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_dtype_for_each_component(saved: tuple[Path, Path]) -> None:
    pipe = LTXPipeline.from_pretrained(
        saved[0], torch_dtype={"vae": torch.float32, "default": torch.bfloat16}
    )
    assert pipe.vae.dtype == torch.float32
    assert pipe.transformer.dtype == pipe.text_encoder.dtype == torch.bfloat16


def test_a_component_may_be_passed_or_none(saved: tuple[Path, Path]) -> None:
    pipe = LTXPipeline.from_pretrained(saved[0], transformer=None, vae=None)
    assert pipe.transformer is None
    assert pipe.encode_prompt("a cat", max_sequence_length=8)[0].shape == (1, 8, 12)
    other = LTXPipeline.from_pretrained(saved[0], transformer=None, text_encoder=pipe.text_encoder)
    assert other.text_encoder is pipe.text_encoder


def test_to_moves_models_and_refuses_wrong_arguments() -> None:
    pipe, _ = pipelines()
    assert pipe.to("cpu", torch.bfloat16) is pipe
    assert (
        pipe.transformer.dtype
        == pipe.vae.dtype
        == pipe.text_encoder.dtype
        == pipe.dtype
        == torch.bfloat16
    )
    assert pipe.to(torch.float32).dtype == torch.float32
    assert pipe.to(device="cpu", dtype=torch.float64).dtype == torch.float64
    assert pipe.device == torch.device("cpu")
    for arguments in ((torch.float32, "cpu"), ("cpu", "cpu", torch.float32)):
        with pytest.raises(InputError, match="takes a device, a dtype"):
            pipe.to(*arguments)
    with pytest.raises(InputError, match="two devices"):
        pipe.to("cpu", device="meta")


def test_an_unknown_argument_is_refused_by_name(saved: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="does not take unet; its components are scheduler, vae"):
        LTXPipeline.from_pretrained(saved[0], unet=None)
    with pytest.raises(InputError, match="only safetensors"):
        LTXPipeline.from_pretrained(saved[0], use_safetensors=False)


def test_an_unknown_pipeline_class_is_refused_by_name(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    text = (saved[0] / "model_index.json").read_text()
    (tmp_path / "model_index.json").write_text(text.replace("LTXPipeline", "FluxPipeline"))
    for component in ("transformer", "vae", "scheduler", "text_encoder", "tokenizer"):
        (tmp_path / component).symlink_to(saved[0] / component)
    with pytest.raises(
        CheckpointError, match=r"holds a FluxPipeline, which is not one of filmstrip's pipelines"
    ):
        DiffusionPipeline.from_pretrained(tmp_path)
    assert LTXPipeline.from_pretrained(tmp_path).vae is not None


def test_a_folder_without_a_component_is_refused_with_its_name(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    index = json.loads((saved[0] / "model_index.json").read_text())
    del index["vae"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for component in ("transformer", "scheduler", "text_encoder", "tokenizer"):
        (tmp_path / component).symlink_to(saved[0] / component)
    with pytest.raises(CheckpointError, match="has no vae, which LTXPipeline needs"):
        LTXPipeline.from_pretrained(tmp_path)
    assert LTXPipeline.from_pretrained(tmp_path, vae=None).vae is None


def test_unknown_component_is_refused_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "filmstrip.pipeline.base.fetch_pipeline", lambda *_: pytest.fail("it was called")
    )
    with pytest.raises(InputError, match="does not take vea; its components are scheduler, vae"):
        LTXPipeline.from_pretrained("owner/name", vea=None)
