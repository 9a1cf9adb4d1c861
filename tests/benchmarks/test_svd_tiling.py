"""Errors of tiling are measured at seams and elsewhere; the committed errors are small."""

import json

import torch

from benchmarks.svd_tiling import CLIP_SIZE, errors, mosaic, seams
from benchmarks.table import RESULTS
from filmstrip.nn.tiling import EvenTileLayout


def test_seams_are_where_tiles_overlap():
    is_seam = seams(EvenTileLayout(length=8, size=5, overlap=2), scale=2)
    assert is_seam.shape == (16, 16)
    assert is_seam[0].nonzero().flatten().tolist() == [6, 7, 8, 9]
    assert is_seam[6:10].all()
    assert is_seam[:, 6:10].all()
    assert not is_seam[:6, :6].any()


def test_errors_are_averaged_at_seams_and_elsewhere():
    is_seam = torch.zeros(4, 4, dtype=torch.bool)
    is_seam[:, 2:] = True
    untiled = torch.zeros(1, 3, 4, 4)
    tiled = torch.zeros(1, 3, 4, 4)
    tiled[..., 2:] = 2 / 255
    assert errors(untiled, tiled, 2, is_seam) == {
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
