"""The names of weight files, their variants and shards."""

import pytest

from filmstrip.errors import CheckpointError
from filmstrip.weights.weight_files import variants, weight_files

STEM = "model"


@pytest.mark.parametrize(
    ("names", "variant", "expected"),
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
def test_the_weight_files_of_a_variant_are_chosen_by_name(names, variant, expected):
    assert weight_files(names, STEM, variant) == expected


def test_missing_shards_are_named_by_number():
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
