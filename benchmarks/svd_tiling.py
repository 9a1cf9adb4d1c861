"""Measure the error of SVD's autoencoder with tiling, on the embedded model.

    python -m benchmarks.svd_tiling --out benchmarks/results

Three frames of a mosaic of held-out clips, three tiles wide and high at the default sizes, are
encoded, decoded, and both, with tiling and without. Results go to `svd_tiling.json`: mean errors at
the seams, where tiles overlap and are blended, and elsewhere. Their unit is 1/255 of the range of a
pixel or, for latents, of their standard deviation.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from filmstrip import demo
from filmstrip.nn.tiling import EvenTileLayout
from filmstrip.svd.models.autoencoder import AutoencoderKLTemporalDecoder
from tools.demo_clips import draw_pointers, sample_pointers

CLIP_SIZE = 128  # height and width in pixels of a clip of the mosaic
NUM_CLIPS = 6  # along height and width
FRAMES = 3
TILES = 3  # along height and width


def mosaic(size: int) -> torch.Tensor:
    """Frames `(T, 3, size, size)` in [-1, 1] of moving shapes that training has not seen."""
    generator = torch.Generator().manual_seed(0)
    count = NUM_CLIPS**2
    pictures = sample_pointers(count, generator, held_out=True)
    motion = torch.full((count,), 255.0), torch.full((count,), 7.0)
    clips = draw_pointers(pictures, *motion, generator, shown=FRAMES, side=CLIP_SIZE)
    rows = clips.unflatten(0, (NUM_CLIPS, NUM_CLIPS)).permute(3, 2, 0, 4, 1, 5)
    return rows.flatten(4).flatten(2, 3)[..., :size, :size] * 2 - 1


def seams(tiles: EvenTileLayout, scale: int) -> torch.Tensor:
    """The pixels or latents in which tiles overlap along height or width.

    Args:
        tiles: the layout along height, and along width.
        scale: pixels (or latents) for each latent along an axis.

    Returns:
        A boolean mask `(H, W)`.
    """
    covered = torch.zeros(tiles.length * scale)
    for tile in tiles.slices(scale):
        covered[tile] += 1
    return (covered > 1)[:, None] | (covered > 1)


def errors(
    untiled: torch.Tensor, tiled: torch.Tensor, unit: float, is_seam: torch.Tensor
) -> dict[str, float]:
    """Mean absolute errors overall, at seams and elsewhere, and the largest, in 1/255 of `unit`."""
    error = (tiled - untiled).abs() * (255 / unit)
    parts = {"mean": error, "seams": error[..., is_seam], "elsewhere": error[..., ~is_seam]}
    means = {name: part.mean().item() for name, part in parts.items()}
    return means | {"most": error.max().item()}


@torch.no_grad()
def compare(vae: Any) -> dict[str, Any]:
    """Encode and decode with tiling and without."""
    ratio = vae.spatial_compression_ratio
    tile = vae.tile_sample_min_height
    stride = vae.tile_sample_stride_height
    size = tile + (TILES - 1) * stride
    frames = mosaic(size)
    tiles = EvenTileLayout(size // ratio, tile // ratio, (tile - stride) // ratio)
    pixel_seams = seams(tiles, ratio)
    latent_seams = seams(tiles, 1)

    untiled = vae.encode(frames).latent_dist.mode()
    decoded = vae.decode(untiled, FRAMES).sample
    vae.enable_tiling()
    tiled = vae.encode(frames).latent_dist.mode()
    rows = {
        "encode": errors(untiled, tiled, untiled.std().item(), latent_seams),
        "decode": errors(decoded, vae.decode(untiled, FRAMES).sample, 2, pixel_seams),
        "both": errors(decoded, vae.decode(tiled, FRAMES).sample, 2, pixel_seams),
    }
    return {
        "side": size,
        "tile": tile,
        "stride": stride,
        "tiles": len(tiles.starts()) ** 2,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and write `svd_tiling.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.svd_tiling", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    options = parser.parse_args(arguments)

    words = sys.argv[1:] if arguments is None else arguments
    command = f"python -m benchmarks.svd_tiling {shlex.join(words)}"
    vae = AutoencoderKLTemporalDecoder.from_pretrained(
        demo.path("svd"), subfolder="vae", dtype=torch.float32
    )
    result = measure.environment(command, torch.device("cpu")) | {"dtype": "float32"} | compare(vae)
    measure.write_json(options.out / "svd_tiling.json", result)


if __name__ == "__main__":
    main()
