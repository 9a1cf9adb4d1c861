"""Errors are told apart at seams and elsewhere, and the committed result is within the goal."""

import json

import torch

from benchmarks.svd_tiling import CLIP_SIZE, errors, mosaic, seams
from benchmarks.table import RESULTS
from filmstrip.nn.tiling import EvenTileLayout


def test_seams_are_where_tiles_overlap():
    near_seams = seams(EvenTileLayout(length=8, size=5, overlap=2), scale=2)
    assert near_seams.shape == (16, 16)
    assert near_seams[0].nonzero().flatten().tolist() == [6, 7, 8, 9]
    assert near_seams[6:10].all()
    assert near_seams[:, 6:10].all()
    assert not near_seams[:6, :6].any()


def test_errors_are_averaged_at_seams_and_elsewhere():
    near_seams = torch.zeros(4, 4, dtype=torch.bool)
    near_seams[:, 2:] = True
    whole, tiled = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    tiled[..., 2:] = 2 / 255
    assert errors(whole, tiled, 2, near_seams) == {
        "mean": 0.5,
        "seams": 1.0,
        "elsewhere": 0.0,
        "most": 1.0,
    }


def test_the_mosaic_moves_and_has_the_size():
    frames = mosaic(CLIP_SIZE + 7)
    assert frames.shape == (3, 3, CLIP_SIZE + 7, CLIP_SIZE + 7)
    assert frames.min() >= -1
    assert frames.max() <= 1
    assert not torch.equal(frames[0], frames[2])


def test_errors_in_tiles_are_below_a_level_of_eight_bits():
    result = json.loads((RESULTS / "svd_tiling.json").read_text("utf-8"))
    assert result["tiles"] >= 9
    assert all(error < 1 for row in result["rows"].values() for error in row.values())
