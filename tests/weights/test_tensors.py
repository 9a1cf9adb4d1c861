"""Weight files: names, shards, indexes, and what is wrong with them."""

import json
import resource
import struct

import pytest
import torch
from safetensors.torch import save_file

from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights.tensors import (
    open_tensors,
    read_headers,
    variants,
    weight_files,
    write_tensors,
)

STEM = "model"
STATE = {f"layer.{i}": torch.full((4, 2), float(i)) for i in range(3)}
BYTES = 4 * 2 * 4


def write(folder, variant=None, size="10GB"):
    write_tensors(folder, STATE, STEM, variant, size)
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("names", "variant", "found"),
    [
        (["model.safetensors", "config.json"], None, ["model.safetensors"]),
        (["model.safetensors"], "fp16", []),
        (["model.fp16.safetensors"], None, []),
        (["model.fp16.safetensors", "model.safetensors"], "fp16", ["model.fp16.safetensors"]),
        (["other.safetensors", "model.bin"], None, []),
        (
            [
                "model.safetensors.index.json",
                "model-00002-of-00002.safetensors",
                "model-00001-of-00002.safetensors",
            ],
            None,
            [
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            ],
        ),
        (
            ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors"],
            "fp16",
            ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors"],
        ),
    ],
)
def test_the_files_of_a_variant_are_found_by_name(names, variant, found):
    assert weight_files(names, STEM, variant) == found


def test_missing_shards_are_numbered():
    names = ["model.safetensors.index.json", "model-00002-of-00003.safetensors"]
    with pytest.raises(CheckpointError, match=r"shards 1, 3 of 3 are missing"):
        weight_files(names, STEM)
    with pytest.raises(CheckpointError, match=r"its shards are missing"):
        weight_files(names[:1], STEM)


def test_variants_are_listed():
    names = [
        "model.safetensors",
        "model.fp16.safetensors",
        "model.bf16-00001-of-00002.safetensors",
        "model.fp8.bin",
    ]
    assert variants(names, STEM) == ["bf16", "fp16"]


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["10GB", 2 * BYTES])
def test_what_is_written_is_read(variant, size, tmp_path):
    names = write(tmp_path, variant, size)
    assert weight_files(names, STEM, variant) != []
    assert sorted(weight_files(names, STEM, variant)) == names
    stored = read_headers(tmp_path, STEM, variant)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in stored.items()} == dict.fromkeys(
        STATE, ((4, 2), "F32")
    )
    for key, tensor in stored.items():
        with open_tensors(tensor.file) as tensors:
            assert torch.equal(tensors.get_tensor(key), STATE[key])


def test_names_and_index_are_those_of_diffusers(tmp_path):
    from diffusers import AutoencoderKL

    for variant in (None, "fp16"):
        theirs, ours = tmp_path / f"theirs{variant}", tmp_path / f"ours{variant}"
        model = AutoencoderKL(block_out_channels=(8,), norm_num_groups=2)
        model.save_pretrained(theirs, max_shard_size="10KB", variant=variant)
        write_tensors(ours, model.state_dict(), "diffusion_pytorch_model", variant, "10KB")
        assert {p.name for p in theirs.iterdir()} - {"config.json"} == {
            p.name for p in ours.iterdir()
        }
        (index,) = ours.glob("*.json")
        assert json.loads(index.read_text()) == json.loads((theirs / index.name).read_text())


def test_weights_of_an_earlier_save_do_not_stay(tmp_path):
    assert len(write(tmp_path, size=BYTES)) == 4
    assert write(tmp_path) == ["model.safetensors"]
    assert len(write(tmp_path, size=2 * BYTES)) == 3
    assert not (tmp_path / "model.safetensors").exists()
    assert "model.fp16.safetensors" in write(tmp_path, "fp16")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("size", ["ten", "5 apples", "", -1.5, None])
def test_a_size_that_means_nothing_is_refused(size, tmp_path):
    with pytest.raises(InputError, match=r"max_shard_size"):
        write_tensors(tmp_path, STATE, STEM, None, size)


def test_other_things_than_the_wanted_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"model.safetensors. Check the path"):
        read_headers(tmp_path, STEM)
    with pytest.raises(CheckpointError, match=r"Check the path"):
        read_headers(tmp_path / "absent", STEM)
    (tmp_path / "model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"It has model.bin: a pickle .* Convert it"):
        read_headers(tmp_path, STEM)
    write(tmp_path, "fp16")
    with pytest.raises(CheckpointError, match=r"pass variant='fp16'"):
        read_headers(tmp_path, STEM)
    write(tmp_path)
    with pytest.raises(CheckpointError, match=r"pass variant=None or variant='fp16'"):
        read_headers(tmp_path, STEM, "bf16")


def header(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 90_000_000) + b"{}",
        header(b"not json"),
        header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),  # no data
        header(b'{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}') + bytes(8),
        header(b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}') + bytes(8),
        b"\x80\x04\x95pickle",
    ],
)
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors is not a whole safetensors file"):
        read_headers(tmp_path, STEM)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    write(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"cut off"):
        read_headers(tmp_path, STEM)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "..", "a/b.safetensors", "a\\b.safetensors", ""]
)
def test_an_index_that_points_elsewhere_is_refused(name, tmp_path):
    (tmp_path / "inside").mkdir()
    save_file(STATE, tmp_path / "model.safetensors")
    index = tmp_path / "inside" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match=r"outside its own folder"):
        read_headers(tmp_path / "inside", STEM)


@pytest.mark.parametrize(
    "content", ['{"weight_map": []}', '{"weight_map": {}}', "{}", '{"weight_map": "x"}']
)
def test_an_index_without_a_map_is_named(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json has no weight_map"):
        read_headers(tmp_path, STEM)


def test_an_index_that_names_absent_files_is_refused(tmp_path):
    write(tmp_path, size=BYTES)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing: model-00002-of-00003\.safetensors"):
        read_headers(tmp_path, STEM)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(
            InputError, match=r"model.safetensors cannot be written: .*File too large"
        ):
            write(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
