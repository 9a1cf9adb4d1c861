"""The sizes that a checkpoint can make, from its configs."""

import pytest

from filmstrip.errors import CheckpointError
from filmstrip.ltx.size_grid import PUBLISHED_GRID, SizeGrid, size_grid


@pytest.mark.parametrize(
    ("vae", "transformer", "expected"),
    [
        ({}, {}, PUBLISHED_GRID),  # the defaults are those of 0.9.0
        ({"spatial_compression_ratio": 32, "temporal_compression_ratio": 8}, {}, PUBLISHED_GRID),
        ({"spatio_temporal_scaling": [True, True]}, {}, SizeGrid(32, 4)),
        ({"spatio_temporal_scaling": [True, True], "patch_size": 16}, {}, SizeGrid(64, 4)),
        ({"patch_size_t": 2}, {}, SizeGrid(32, 16)),
        ({"spatial_compression_ratio": 24}, {}, SizeGrid(96, 8)),
        ({}, {"patch_size": 2}, SizeGrid(64, 8)),
    ],
)
def test_the_grid_follows_from_compression_and_patch_sizes_and_32_pixels(
    vae, transformer, expected
):
    assert size_grid(vae, transformer) == expected


@pytest.mark.parametrize(
    ("vae", "message"),
    [
        ({"spatial_compression_ratio": "32"}, "give no sizes"),
        ({"temporal_compression_ratio": 8.0}, "give no sizes"),
        ({"spatio_temporal_scaling": None}, "give no sizes"),
        ({"temporal_compression_ratio": -8}, "impossible sizes"),
    ],
)
def test_configs_that_give_no_size_are_refused(vae, message):
    with pytest.raises(CheckpointError, match=message):
        size_grid(vae, {})
