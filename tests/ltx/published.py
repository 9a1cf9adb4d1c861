"""The repositories of a preset, as published, with tiny models in their files."""

import io
import json
import tempfile
from pathlib import Path

import sentencepiece
import torch
from transformers import T5Config, T5EncoderModel

from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.presets.ltx import TEXT_ENCODER, LTXPreset
from tests.ltx import original

Files = dict[str, bytes]
LAYERS = {"2b": 28, "13b": 48}


def repositories(preset: LTXPreset, allowed: tuple[float, ...] | None = None) -> dict[str, Files]:
    """The files of a preset, by repository and name, among others that it does not need."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            str(preset.repo): _checkpoint_files(preset, Path(folder), allowed),
            TEXT_ENCODER: _text_files(Path(folder)),
        }


def _checkpoint_files(preset: LTXPreset, folder: Path, allowed: tuple[float, ...] | None) -> Files:
    tensors = original.state(preset.vae)
    config = original.metadata(preset.vae)
    config["transformer"]["num_layers"] = LAYERS[preset.name.split("-")[1]]
    block = {key: tensor for key, tensor in tensors.items() if "transformer_blocks.1." in key}
    if preset.name.endswith("-fp8"):  # the matrices of each block
        block |= {
            key: tensor.to(torch.float8_e4m3fn)
            for key, tensor in block.items()
            if key.endswith("weight") and tensor.ndim == 2
        }
    for number in range(config["transformer"]["num_layers"]):
        tensors |= {
            key.replace("blocks.1.", f"blocks.{number}."): tensor.clone()
            for key, tensor in block.items()
        }
    if allowed is not None:
        config["allowed_inference_steps"] = list(allowed)
    files = {preset.file: original.write(folder / "one", tensors, config).read_bytes()}
    if preset.upscaler is not None:
        sizes = {"in_channels": original.CHANNELS, "mid_channels": 32, "num_blocks_per_stage": 1}
        model = LTXLatentUpsamplerModel(**sizes)
        files[preset.upscaler] = original.write(
            folder / "two", model.state_dict(), sizes
        ).read_bytes()
    return files | {"README.md": b"", "model_index.json": b"{}", "vae/config.json": b"{}"}


def _text_files(folder: Path) -> Files:
    config = T5Config(
        vocab_size=200, d_model=original.TEXT, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    T5EncoderModel(config).save_pretrained(folder / "text_encoder", max_shard_size="5KB")
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a red circle moves left over a blue background"] * 10),
        model_writer=pieces,
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    files = {
        f"text_encoder/{path.name}": path.read_bytes()
        for path in (folder / "text_encoder").iterdir()
    }
    files["tokenizer/spiece.model"] = pieces.getvalue()
    files["tokenizer/tokenizer_config.json"] = json.dumps(
        {"tokenizer_class": "T5Tokenizer"}
    ).encode()
    return files | {"model_index.json": b"{}", "transformer/config.json": b"{}"}
