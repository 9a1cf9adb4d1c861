"""Which video sizes an LTX checkpoint can make. Needs no torch."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filmstrip.errors import CheckpointError


@dataclass(frozen=True)
class SizeGrid:
    """The sizes a checkpoint can make: sides of `side` * k pixels, lengths of `stride` * k + 1
    frames.
    """

    side: int
    stride: int


PUBLISHED_GRID = SizeGrid(side=32, stride=8)  # of all published checkpoints


def size_grid(vae: Mapping[str, Any], transformer: Mapping[str, Any]) -> SizeGrid:
    """The grid of a checkpoint with these `config.json`s.

    LTX refuses sides that are no multiple of 32, whatever its VAE compresses (diffusers,
    pipeline_ltx.py). The VAE's ratios stand in its config or follow from its patch and its blocks
    (autoencoder_kl_ltx.py). A CheckpointError says that an entry is of the wrong kind.
    """
    try:
        halvings = sum(vae.get("spatio_temporal_scaling", (True, True, True, False)))
        spatial = vae.get("spatial_compression_ratio") or vae.get("patch_size", 4) * 2**halvings
        temporal = vae.get("temporal_compression_ratio") or vae.get("patch_size_t", 1) * 2**halvings
        found = SizeGrid(
            side=math.lcm(32, spatial * transformer.get("patch_size", 1)),
            stride=operator.index(temporal),
        )
    except TypeError as error:
        raise CheckpointError(
            f"The configs of the VAE and the transformer give no sizes: {error}."
        ) from None
    if found.side < 1 or found.stride < 1:
        raise CheckpointError(
            f"The configs of the VAE and the transformer give sizes that cannot be: {found}."
        )
    return found
