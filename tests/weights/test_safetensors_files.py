"""Safetensors files: reading, writing, shards, indexes, and damaged files."""

import json
import resource
import struct

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from filmstrip.errors import CheckpointError, InputError
from filmstrip.weights.safetensors_files import SafetensorsSource, write_safetensors
from filmstrip.weights.weight_files import weight_files

CPU = torch.device("cpu")
STEM = "model"
STATE = {f"layer.{i}": torch.full((4, 2), float(i)) for i in range(3)}
BYTES = 4 * 2 * 4


def write(folder, variant=None, size="10GB"):
    write_safetensors(folder, STATE, STEM, variant, size)
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", ["10GB", 2 * BYTES])
def test_written_tensors_are_read(variant, size, tmp_path):
    names = write(tmp_path, variant, size)
    assert weight_files(names, STEM, variant) != []
    assert sorted(weight_files(names, STEM, variant)) == names
    with SafetensorsSource.from_folder(tmp_path, STEM, variant) as source:
        assert {
            name: (info.shape, info.stored_dtype, info.is_floating_point)
            for name, info in source.infos.items()
        } == dict.fromkeys(STATE, ((4, 2), "F32", True))
        for name in source.infos:
            assert torch.equal(source.read(name, CPU), STATE[name])


def test_one_file_is_open_at_a_time(tmp_path, monkeypatch):
    opened = []
    safe_open = safetensors.safe_open

    class RecordingFile:
        def __init__(self, file, **options):
            self.file = safe_open(file, **options)
            self.name = file.name

        def __enter__(self):
            opened.append(self.name)
            return self.file.__enter__()

        def __exit__(self, *error):
            opened.remove(self.name)
            return self.file.__exit__(*error)

    write(tmp_path, size=BYTES)
    monkeypatch.setattr(safetensors, "safe_open", RecordingFile)
    with SafetensorsSource.from_folder(tmp_path, STEM) as source:
        assert opened == []
        for number, name in enumerate(source.infos, start=1):
            source.read(name, CPU)
            assert opened == [f"model-{number:05}-of-00003.safetensors"]
    assert opened == []


def test_a_file_that_is_damaged_after_its_header_was_read_is_named(tmp_path):
    write(tmp_path)
    source = SafetensorsSource.from_folder(tmp_path, STEM)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model.safetensors is not a whole"), source:
        source.read("layer.0", CPU)


def test_names_and_index_are_those_of_diffusers(tmp_path):
    from diffusers import AutoencoderKL

    for variant in (None, "fp16"):
        diffusers_folder = tmp_path / f"diffusers{variant}"
        folder = tmp_path / f"filmstrip{variant}"
        model = AutoencoderKL(block_out_channels=(8,), norm_num_groups=2)
        model.save_pretrained(diffusers_folder, max_shard_size="10KB", variant=variant)
        write_safetensors(folder, model.state_dict(), "diffusion_pytorch_model", variant, "10KB")
        assert {path.name for path in diffusers_folder.iterdir()} - {"config.json"} == {
            path.name for path in folder.iterdir()
        }
        (index,) = folder.glob("*.json")
        assert json.loads(index.read_text()) == json.loads(
            (diffusers_folder / index.name).read_text()
        )


def test_weights_of_an_earlier_save_are_removed(tmp_path):
    assert len(write(tmp_path, size=BYTES)) == 4
    assert write(tmp_path) == ["model.safetensors"]
    assert len(write(tmp_path, size=2 * BYTES)) == 3
    assert not (tmp_path / "model.safetensors").exists()
    assert "model.fp16.safetensors" in write(tmp_path, "fp16")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("size", ["ten", "5 apples", "", -1.5, None])
def test_an_invalid_size_is_refused(size, tmp_path):
    with pytest.raises(InputError, match=r"max_shard_size"):
        write_safetensors(tmp_path, STATE, STEM, None, size)


def test_a_folder_without_the_weights_names_what_it_has_instead(tmp_path):
    with pytest.raises(CheckpointError, match=r"model.safetensors. Check the path"):
        SafetensorsSource.from_folder(tmp_path, STEM)
    with pytest.raises(CheckpointError, match=r"Check the path"):
        SafetensorsSource.from_folder(tmp_path / "absent", STEM)
    (tmp_path / "model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=r"It has model.bin: a pickle .* Convert it"):
        SafetensorsSource.from_folder(tmp_path, STEM)
    write(tmp_path, "fp16")
    with pytest.raises(CheckpointError, match=r"pass variant='fp16'"):
        SafetensorsSource.from_folder(tmp_path, STEM)
    write(tmp_path)
    with pytest.raises(CheckpointError, match=r"pass variant=None or variant='fp16'"):
        SafetensorsSource.from_folder(tmp_path, STEM, "bf16")


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
        SafetensorsSource.from_folder(tmp_path, STEM)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    write(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"cut off"):
        SafetensorsSource.from_folder(tmp_path, STEM)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "..", "a/b.safetensors", "a\\b.safetensors", ""]
)
def test_an_index_that_points_outside_its_folder_is_refused(name, tmp_path):
    (tmp_path / "inside").mkdir()
    save_file(STATE, tmp_path / "model.safetensors")
    index = tmp_path / "inside" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match=r"outside its own folder"):
        SafetensorsSource.from_folder(tmp_path / "inside", STEM)


@pytest.mark.parametrize(
    "content", ['{"weight_map": []}', '{"weight_map": {}}', "{}", '{"weight_map": "x"}']
)
def test_an_index_without_a_map_is_named(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json has no weight_map"):
        SafetensorsSource.from_folder(tmp_path, STEM)


def test_an_index_that_names_missing_files_is_refused(tmp_path):
    write(tmp_path, size=BYTES)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing: model-00002-of-00003\.safetensors"):
        SafetensorsSource.from_folder(tmp_path, STEM)


def test_a_full_disk_leaves_no_file(tmp_path):
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
