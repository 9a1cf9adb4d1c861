"""SVD's autoencoder: frames one by one into latents, and back with an eye on their neighbours in time."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from filmstrip.errors import InputError
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.norms import SharedMoments
from filmstrip.nn.resnet import PointwiseConv2d
from filmstrip.nn.tiling import EvenTiles, run_blended
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.svd.vae_blocks import GROUPS, Encoder, TemporalDecoder
from filmstrip.weights.model import Model

DOWN_BLOCK = "DownEncoderBlock2D"


class AutoencoderKLTemporalDecoder(Model):
    """The variational autoencoder of Stable Video Diffusion (Blattmann et al., arXiv 2311.15127, appendix D).

    Args:
        in_channels, out_channels: of a pixel.
        down_block_types: "DownEncoderBlock2D", once for each width.
        block_out_channels: widths from pixels to latents, each a multiple of 32; all but the last halve the size.
        layers_per_block: residual blocks in each of the encoder's blocks; the decoder's have one more.
        latent_channels: of a latent.
        sample_size: side of the pictures that it was trained on; not used here.
        scaling_factor: latents are multiplied by it for the UNet.
        force_upcast: whether pictures are to be encoded in float32 where the weights are float16; pipelines see to it.

    Raises:
        InputError: another block type, not as many as widths, or a width that has no 32 groups.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        down_block_types: Sequence[str] = (DOWN_BLOCK,),
        block_out_channels: Sequence[int] = (64,),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        sample_size: int = 32,
        scaling_factor: float = 0.18215,
        force_upcast: bool = True,
    ) -> None:
        super().__init__()
        if unknown := sorted(set(down_block_types) - {DOWN_BLOCK}):
            raise InputError(f"down_block_types holds {unknown[0]!r}; only {DOWN_BLOCK!r} is known.")
        if len(down_block_types) != len(block_out_channels):
            raise InputError(
                f"There are {len(down_block_types)} down_block_types for {len(block_out_channels)} "
                "block_out_channels; give one for each."
            )
        if odd := [width for width in block_out_channels if width % GROUPS]:
            raise InputError(f"block_out_channels holds {odd[0]}, but widths must be multiples of {GROUPS}.")
        self.encoder = Encoder(in_channels, latent_channels, block_out_channels, layers_per_block)
        self.decoder = TemporalDecoder(latent_channels, out_channels, block_out_channels, layers_per_block)
        self.quant_conv = PointwiseConv2d(2 * latent_channels, 2 * latent_channels)
        self.spatial_compression_ratio = 2 ** (len(block_out_channels) - 1)
        self.use_tiling = False
        self.tile_sample_min_height = self.tile_sample_min_width = 512
        self.tile_sample_stride_height = self.tile_sample_stride_width = 384
        weights_channels_last(self)

    def enable_tiling(
        self,
        tile_sample_min_height: int | None = None,
        tile_sample_min_width: int | None = None,
        tile_sample_stride_height: int | None = None,
        tile_sample_stride_width: int | None = None,
    ) -> None:
        """Encode and decode large frames in overlapping tiles, which bounds memory. `None` keeps what is set.

        What works at a low resolution, attention among it, stays in one piece. The rest is done twice: first to find
        the statistics of its norms over the whole frame, without which tiles differ in colour, then to make the tiles,
        which are blended. The result is close to that without tiling, not the same.

        Args:
            tile_sample_min_height, tile_sample_min_width: size of a tile in pixels; a smaller frame is not tiled.
            tile_sample_stride_height, tile_sample_stride_width: from tile to tile at most; a quarter or more of a tile
                should overlap.

        Raises:
            InputError: a stride is longer than its tile, or a tile or stride is less than a latent.
        """
        asked = {
            "tile_sample_min_height": tile_sample_min_height,
            "tile_sample_min_width": tile_sample_min_width,
            "tile_sample_stride_height": tile_sample_stride_height,
            "tile_sample_stride_width": tile_sample_stride_width,
        }
        tiling = {name: getattr(self, name) if value is None else value for name, value in asked.items()}
        for side in ("height", "width"):
            size, stride = tiling[f"tile_sample_min_{side}"], tiling[f"tile_sample_stride_{side}"]
            if not self.spatial_compression_ratio <= stride <= size:
                raise InputError(
                    f"The tiles' {side} is {size} and their stride {stride} pixels; the stride must be between "
                    f"{self.spatial_compression_ratio}, a latent, and the size."
                )
        for name, value in tiling.items():
            setattr(self, name, value)
        self.use_tiling = True

    def disable_tiling(self) -> None:
        """Encode and decode in one piece."""
        self.use_tiling = False

    def encode(
        self, x: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """The posterior over latents `(N, C, h, w)` of frames `(N, 3, H, W)` in [-1, 1]."""
        x = x.contiguous(memory_format=torch.channels_last)
        ratio = self.spatial_compression_ratio
        tiles = self._tiles(x.shape[-2] // ratio, x.shape[-1] // ratio, source=ratio, target=1)
        if tiles is None:
            moments = self.encoder(x)
        else:
            moments = self.encoder.coarse(_tile_by_tile(self.encoder, self.encoder.fine, x, *tiles))
        posterior = DiagonalGaussianDistribution(self.quant_conv(moments))
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    def decode(self, z: torch.Tensor, num_frames: int, return_dict: bool = True) -> DecoderOutput | tuple[torch.Tensor]:
        """The frames `(B * T, 3, H, W)` in [-1, 1] of latents `(B * T, C, h, w)`, of videos of `num_frames` T each.

        Raises:
            InputError: the latents are not whole videos.
        """
        if num_frames < 1 or z.shape[0] % num_frames:
            raise InputError(f"{z.shape[0]} latents are no whole number of videos of {num_frames} frames.")
        z = z.contiguous(memory_format=torch.channels_last)
        ratio = self.spatial_compression_ratio
        tiles = self._tiles(z.shape[-2], z.shape[-1], source=min(ratio, 2), target=ratio)
        if tiles is None:
            frames = self.decoder(z, num_frames)
        else:
            fine = partial(self.decoder.fine, num_frames=num_frames)
            frames = _tile_by_tile(self.decoder, fine, self.decoder.coarse(z, num_frames), *tiles)
        return DecoderOutput(frames) if return_dict else (frames,)

    def forward(
        self,
        sample: torch.Tensor,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
        num_frames: int = 1,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Encode and decode frames `(B * T, 3, H, W)`, through a draw from the posterior or its mode."""
        (posterior,) = self.encode(sample, return_dict=False)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(latents, num_frames, return_dict)

    def _tiles(self, height: int, width: int, source: int, target: int) -> tuple[EvenTiles, EvenTiles] | None:
        """How rows and columns of that many latents are cut, or `None` if they need not be."""
        ratio = self.spatial_compression_ratio
        rows = self.tile_sample_min_height // ratio, self.tile_sample_stride_height // ratio
        columns = self.tile_sample_min_width // ratio, self.tile_sample_stride_width // ratio
        if not self.use_tiling or (height <= rows[0] and width <= columns[0]):
            return None
        return (
            EvenTiles(height, rows[0], rows[0] - rows[1], source, target),
            EvenTiles(width, columns[0], columns[0] - columns[1], source, target),
        )


def _tile_by_tile(
    module: nn.Module,
    run: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    rows: EvenTiles,
    columns: EvenTiles,
) -> torch.Tensor:
    """Apply `run`, a part of `module`, to the tiles of `x`, with norms that know the statistics of all of them."""
    with SharedMoments(module) as shared:
        for row in rows.abutting().sources():
            for column in columns.abutting().sources():
                run(x[..., row, column])
        shared.fix()
        return run_blended(run, x, rows, columns)
