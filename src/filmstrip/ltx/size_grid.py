"""The video sizes that an LTX checkpoint can make. It does not import torch."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filmstrip.errors import CheckpointError

# LTX pipelines refuse heights and widths that are not multiples of it, for any compression ratio of
# the VAE (diffusers, pipeline_ltx.py).
MIN_SIZE_MULTIPLE = 32


@dataclass(frozen=True)
class SizeGrid:
    """The sizes that a checkpoint can make.

    Args:
        size_multiple: Height and width are multiples of this.
        frame_stride: The number of frames is a multiple of this, plus 1.
    """

    size_multiple: int
    frame_stride: int


PUBLISHED_GRID = SizeGrid(size_multiple=32, frame_stride=8)  # of all published checkpoints


def size_grid(vae: Mapping[str, Any], transformer: Mapping[str, Any]) -> SizeGrid:
    """The grid of a checkpoint with these `config.json`s.

    The compression ratios of the VAE are in its config, or follow from its patch and its blocks
    (diffusers, autoencoder_kl_ltx.py).

    Raises:
        CheckpointError: The configs give no such numbers.
    """
    try:
        halvings = sum(vae.get("spatio_temporal_scaling", (True, True, True, False)))
        spatial_ratio = vae.get("spatial_compression_ratio")
        if not spatial_ratio:
            spatial_ratio = vae.get("patch_size", 4) * 2**halvings
        temporal_ratio = vae.get("temporal_compression_ratio")
        if not temporal_ratio:
            temporal_ratio = vae.get("patch_size_t", 1) * 2**halvings
        patch_size = transformer.get("patch_size", 1)
        grid = SizeGrid(
            size_multiple=math.lcm(MIN_SIZE_MULTIPLE, spatial_ratio * patch_size),
            frame_stride=operator.index(temporal_ratio),
        )
    except TypeError as error:
        raise CheckpointError(
            f"The configs of the VAE and the transformer give no sizes: {error}."
        ) from None
    if grid.size_multiple < 1 or grid.frame_stride < 1:
        raise CheckpointError(
            f"The configs of the VAE and the transformer give impossible sizes: {grid}."
        )
    return grid
