"""SVD's autoencoder: frames one by one into latents, and back with an eye on their neighbours in
time.
"""

import copy
from collections.abc import Sequence
from itertools import product

import torch

from filmstrip.errors import InputError
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.norms import SharedMoments
from filmstrip.nn.resnet import PointwiseConv2d
from filmstrip.nn.tiling import EvenTiles, Tiled, run_blended
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.svd.models.autoencoder_blocks import GROUPS, Encoder, TemporalDecoder, TileStage
from filmstrip.weights.model import Model

DOWN_BLOCK = "DownEncoderBlock2D"


class AutoencoderKLTemporalDecoder(Tiled, Model):
    """The variational autoencoder of Stable Video Diffusion (Blattmann et al., arXiv 2311.15127,
    appendix D).

    Args:
        in_channels, out_channels: of a pixel.
        down_block_types: "DownEncoderBlock2D", once for each width.
        block_out_channels: widths from pixels to latents, each a multiple of 32; all but the last
            halve the size.
        layers_per_block: residual blocks in each of the encoder's blocks; the decoder's have one
            more.
        latent_channels: of a latent.
        sample_size: side of the pictures that it was trained on; not used here.
        scaling_factor: latents are multiplied by it for the UNet.
        force_upcast: whether pictures are to be encoded in float32 where the weights are float16;
            pipelines see to it.

    Raises:
        InputError: another block type, not as widths, or a width that has no 32 groups.
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
            raise InputError(
                f"down_block_types holds {unknown[0]!r}; only {DOWN_BLOCK!r} is known."
            )
        if len(down_block_types) != len(block_out_channels):
            raise InputError(
                f"There are {len(down_block_types)} down_block_types for {len(block_out_channels)} "
                "block_out_channels; give one for each."
            )
        if odd := [width for width in block_out_channels if width % GROUPS]:
            raise InputError(
                f"block_out_channels holds {odd[0]}, but widths must be multiples of {GROUPS}."
            )
        self.encoder = Encoder(in_channels, latent_channels, block_out_channels, layers_per_block)
        self.decoder = TemporalDecoder(
            latent_channels, out_channels, block_out_channels, layers_per_block
        )
        self.quant_conv = PointwiseConv2d(2 * latent_channels, 2 * latent_channels)
        self.spatial_compression_ratio = 2 ** (len(block_out_channels) - 1)
        self.tile_sample_min_height = self.tile_sample_min_width = 256
        self.tile_sample_stride_height = self.tile_sample_stride_width = 224
        weights_channels_last(self)

    def enable_tiling(
        self,
        tile_sample_min_height: int | None = None,
        tile_sample_min_width: int | None = None,
        tile_sample_stride_height: int | None = None,
        tile_sample_stride_width: int | None = None,
    ) -> None:
        """Encode and decode large frames in overlapping tiles, which takes less memory. `None`
        keeps what is set.

        Tiles share the statistics of their norms, and attention, which looks at the whole frame, is
        not tiled. So the result is that without tiling, but for rounding, where tiles overlap by 16
        pixels or more. It takes longer, as what comes before a norm is computed once more to find
        its statistics.

        Args:
            tile_sample_min_height, tile_sample_min_width: size of a tile in pixels; smaller frames
                are not tiled.
            tile_sample_stride_height, tile_sample_stride_width: from tile to tile at most.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        ratio = self.spatial_compression_ratio
        self._tile(
            height=(tile_sample_min_height, tile_sample_stride_height, ratio),
            width=(tile_sample_min_width, tile_sample_stride_width, ratio),
        )

    def encode(
        self,
        x: torch.Tensor,
        return_dict: bool = True,
        compute_dtype: torch.dtype | None = None,
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """The posterior over latents `(N, C, h, w)` of frames `(N, 3, H, W)` in [-1, 1]."""
        if compute_dtype not in (None, self.dtype):
            return type(self).encode(copy.deepcopy(self).to(compute_dtype), x, return_dict)
        x = x.contiguous(memory_format=torch.channels_last)
        ratio = self.spatial_compression_ratio
        if self._exceeds_tile(x.shape[-2], x.shape[-1]):
            moments = self._in_tiles(
                self.encoder.steps(), x, x.shape[-2] // ratio, x.shape[-1] // ratio
            )
        else:
            moments = self.encoder(x)
        posterior = DiagonalGaussianDistribution(self.quant_conv(moments))
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    def decode(
        self,
        z: torch.Tensor,
        num_frames: int,
        return_dict: bool = True,
        compute_dtype: torch.dtype | None = None,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """The frames `(B * T, 3, H, W)` in [-1, 1] of latents `(B * T, C, h, w)`, of videos of
        `num_frames` T each.

        Raises:
            InputError: the latents are not whole videos.
        """
        if num_frames < 1 or z.shape[0] % num_frames:
            raise InputError(
                f"{z.shape[0]} latents are no whole number of videos of {num_frames} frames."
            )
        if compute_dtype not in (None, self.dtype):
            return copy.deepcopy(self).to(compute_dtype).decode(z, num_frames, return_dict)
        z = z.contiguous(memory_format=torch.channels_last)
        ratio, (height, width) = self.spatial_compression_ratio, z.shape[-2:]
        if self._exceeds_tile(height * ratio, width * ratio):
            frames = self._in_tiles(self.decoder.steps(num_frames), z, height, width)
        else:
            frames = self.decoder(z, num_frames)
        return DecoderOutput(frames) if return_dict else (frames,)

    def forward(
        self,
        sample: torch.Tensor,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
        num_frames: int = 1,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Encode and decode frames `(B * T, 3, H, W)`, through a draw from the posterior or its
        mode.
        """
        (posterior,) = self.encode(sample, return_dict=False)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(latents, num_frames, return_dict)

    def _exceeds_tile(self, height: int, width: int) -> bool:
        """Whether frames of so many pixels are to be worked on in tiles."""
        return self.use_tiling and (
            height > self.tile_sample_min_height or width > self.tile_sample_min_width
        )

    def _in_tiles(
        self, steps: Sequence[TileStage], x: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        """Take the steps, those near the pixels in tiles; height and width are those of the
        latents.
        """
        ratio = self.spatial_compression_ratio
        size, stride = self.tile_sample_min_height // ratio, self.tile_sample_stride_height // ratio
        rows = EvenTiles(height, size, size - stride)
        size, stride = self.tile_sample_min_width // ratio, self.tile_sample_stride_width // ratio
        columns = EvenTiles(width, size, size - stride)
        for step in steps:
            near = max(step.source, step.target) > max(1, ratio // 4)
            x = _step_in_tiles(step, x, rows, columns) if near else step.run(x)
        return x


def _step_in_tiles(
    step: TileStage, x: torch.Tensor, rows: EvenTiles, columns: EvenTiles
) -> torch.Tensor:
    """Take a step in tiles, its norms with the moments of whole frames."""
    places = list(
        product(
            *(zip(t.places(step.source), t.own(step.target), strict=True) for t in (rows, columns))
        )
    )
    with SharedMoments(step.norms) as shared:
        for norm in step.norms:
            tiles = (
                (x[..., row, column], own, own_column)
                for (row, own), (column, own_column) in places
            )
            shared.find(norm, step.run, tiles)
        return run_blended(step.run, x, rows, columns, step.source, step.target)
