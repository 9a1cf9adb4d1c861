"""Loading a damaged checkpoint succeeds or raises a `FilmstripError`."""

import json
import struct
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.torch import load, save

from filmstrip.errors import FilmstripError
from filmstrip.weights.folder import load_components, save_components
from filmstrip.weights.pipeline_index import read_index

from . import samples

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
DTYPES = [
    torch.int8,
    torch.int64,
    torch.bool,
    torch.float16,
    torch.float64,
    torch.float8_e4m3fn,
    torch.complex64,
]

# Numbers stay small: a config that asks for a model of a billion layers is not damaged.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 20)
    | st.floats(-9, 9)
    | st.sampled_from([float("nan"), "\ud800", "../x"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory):
    """A model in shards, so that there is an index to damage too."""
    folder = tmp_path_factory.mktemp("tiny")
    samples.tiny(width=5).save_pretrained(folder, max_shard_size=500)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def pipeline_files(tmp_path_factory):
    """A pipeline without its text encoder, which transformers reads slowly."""
    folder = tmp_path_factory.mktemp("pipeline")
    components = {
        name: component
        for name, component in samples.components().items()
        if name in ("scheduler", "transformer", "tokenizer")
    }
    save_components(folder, "LTXPipeline", components)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def edited_bytes(draw, content):
    """Change some bytes, mostly early ones, where a safetensors file has its header."""
    data = bytearray(content)
    positions = st.integers(0, min(len(data) - 1, 40)) | st.integers(0, len(data) - 1)
    for position, byte in draw(
        st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)
    ):
        data[position] = byte
    return bytes(data)


def truncated(draw, content):
    return content[: draw(st.integers(0, len(content) - 1))]


def changed_json(draw, content):
    """Remove an entry, change its value, or replace the whole content."""
    entries = json.loads(content)
    name = draw(st.sampled_from(sorted(entries)))
    action = draw(st.sampled_from(["drop", "replace", "inside", "whole"]))
    if action == "drop":
        del entries[name]
    elif action == "inside" and isinstance(entries[name], dict | list) and entries[name]:
        key = draw(
            st.sampled_from(
                sorted(entries[name])
                if isinstance(entries[name], dict)
                else range(len(entries[name]))
            )
        )
        entries[name][key] = draw(VALUES)
    elif action == "whole":
        entries = draw(VALUES)
    else:
        entries[name] = draw(VALUES)
    return json.dumps(entries).encode()


def changed_tensors(draw, content):
    """Remove or add a tensor, or change its dtype or shape."""
    state = load(content)
    key = draw(st.sampled_from(sorted(state)))
    action = draw(st.sampled_from(["drop", "add", "type", "shape"]))
    if action == "drop":
        del state[key]
    elif action == "add":
        state[draw(st.text(min_size=1, max_size=5))] = torch.ones(2)
    elif action == "type":
        state[key] = state[key].to(draw(st.sampled_from(DTYPES)))
    else:
        state[key] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=4)))
    return save(state)


def changed_header(draw, content):
    """Change the length of the header, or an entry in it."""
    (size,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + size]
    data = content[8 + size :]
    if draw(st.booleans()):
        return struct.pack("<Q", draw(st.integers(0, 2**64 - 1))) + header + data
    entries = json.loads(header)
    key = draw(st.sampled_from(sorted(entries)))
    entries[key] = draw(
        VALUES
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BF16", "I64", "U8", "F4", "F8_E8M0", "C64", "X"]),
                "shape": st.lists(st.integers(-1, 6) | st.just(2**62), max_size=3),
                "data_offsets": st.lists(st.integers(-1, len(data) + 8), min_size=2, max_size=2),
            }
        )
    )
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def damaged(draw, files):
    """Damage one or two of the files."""
    files = dict(files)
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        special = (changed_json,) if name.endswith(".json") else (changed_tensors, changed_header)
        files[name] = draw(st.sampled_from((edited_bytes, truncated, *special)))(draw, files[name])
    return files


def assert_loads_or_raises_filmstrip_error(files, load):
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        with suppress(FilmstripError):  # any other error fails the test
            load(Path(folder))


@EXAMPLES
@given(data=st.data())
def test_a_damaged_model_loads_or_raises_a_filmstrip_error(data, tiny_files):
    files = damaged(data.draw, tiny_files)
    dtype = data.draw(st.sampled_from([None, torch.float16]))
    assert_loads_or_raises_filmstrip_error(
        files, lambda folder: samples.Tiny.from_pretrained(folder, dtype=dtype)
    )


@EXAMPLES
@given(data=st.data())
def test_a_damaged_pipeline_loads_or_raises_a_filmstrip_error(data, pipeline_files):
    files = damaged(data.draw, pipeline_files)
    names = ("scheduler", "transformer", "tokenizer")
    assert_loads_or_raises_filmstrip_error(
        files, lambda folder: load_components(folder, read_index(folder), names, {})
    )
