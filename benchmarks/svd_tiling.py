"""What SVD's autoencoder loses by working in tiles, on the embedded model.

    python -m benchmarks.svd_tiling --out benchmarks/results

A mosaic of held-out pictures, three tiles wide and high at the default sizes, and two frames later:
encoded, decoded, and both, in tiles and at once. Results go to `svd_tiling.json`: mean errors in
1/255, of a pixel's range or, for latents, of their deviation; at the seams, where tiles overlap and
are blended, and elsewhere.
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

PIECE, PIECES, FRAMES = 128, 6, 3  # of the mosaic
TILES = 3  # along each side


def mosaic(side: int) -> torch.Tensor:
    """Frames `(T, 3, side, side)` in [-1, 1], of moving things that training has not seen."""
    generator = torch.Generator().manual_seed(0)
    count = PIECES**2
    pictures = sample_pointers(count, generator, held_out=True)
    motion = torch.full((count,), 255.0), torch.full((count,), 7.0)
    clips = draw_pointers(pictures, *motion, generator, shown=FRAMES, side=PIECE)
    rows = clips.unflatten(0, (PIECES, PIECES)).permute(3, 2, 0, 4, 1, 5)
    return rows.flatten(4).flatten(2, 3)[..., :side, :side] * 2 - 1


def seams(tiles: EvenTileLayout, scale: int) -> torch.Tensor:
    """Where tiles overlap along height or width, `(H, W)`, in frames of `scale` elements a
    latent.
    """
    covered = torch.zeros(tiles.length * scale)
    for tile in tiles.slices(scale):
        covered[tile] += 1
    return (covered > 1)[:, None] | (covered > 1)


def errors(
    whole: torch.Tensor, tiled: torch.Tensor, unit: float, near: torch.Tensor
) -> dict[str, float]:
    """Mean differences over all, at the seams and elsewhere, and the largest, in 1/255 of the
    unit.
    """
    error = (tiled - whole).abs() * (255 / unit)
    parts = {"mean": error, "seams": error[..., near], "elsewhere": error[..., ~near]}
    return {name: part.mean().item() for name, part in parts.items()} | {"most": error.max().item()}


@torch.no_grad()
def compare(vae: Any) -> dict[str, Any]:
    """Encode and decode in tiles and at once."""
    ratio, tile, stride = (
        vae.spatial_compression_ratio,
        vae.tile_sample_min_height,
        vae.tile_sample_stride_height,
    )
    side = tile + (TILES - 1) * stride
    frames = mosaic(side)
    tiles = EvenTileLayout(side // ratio, tile // ratio, (tile - stride) // ratio)
    pixels, latents = seams(tiles, ratio), seams(tiles, 1)

    whole = vae.encode(frames).latent_dist.mode()
    decoded = vae.decode(whole, FRAMES).sample
    vae.enable_tiling()
    tiled = vae.encode(frames).latent_dist.mode()
    rows = {
        "encode": errors(whole, tiled, whole.std().item(), latents),
        "decode": errors(decoded, vae.decode(whole, FRAMES).sample, 2, pixels),
        "both": errors(decoded, vae.decode(tiled, FRAMES).sample, 2, pixels),
    }
    return {
        "side": side,
        "tile": tile,
        "stride": stride,
        "tiles": len(tiles.starts()) ** 2,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and write `svd_tiling.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.svd_tiling", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    given = parser.parse_args(arguments)
    words = sys.argv[1:] if arguments is None else list(arguments)

    command = f"python -m benchmarks.svd_tiling {shlex.join(words)}"
    vae = AutoencoderKLTemporalDecoder.from_pretrained(
        demo.path("svd"), subfolder="vae", dtype=torch.float32
    )
    result = measure.environment(command, torch.device("cpu")) | {"dtype": "float32"} | compare(vae)
    measure.write_json(given.out / "svd_tiling.json", result)


if __name__ == "__main__":
    main()
