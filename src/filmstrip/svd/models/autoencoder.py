"""SVD's autoencoder: encodes frames one by one, and decodes them with layers over time."""

from collections.abc import Sequence

import torch

from filmstrip.errors import InputError
from filmstrip.nn.compute_dtype import computing_in
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.hooks import hookable
from filmstrip.nn.memory_layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.resnet import PointwiseConv2d
from filmstrip.nn.tiling import EvenTileLayout, TilingMixin
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.svd.models.autoencoder_blocks import GROUPS, Encoder, TemporalDecoder
from filmstrip.svd.models.tile_stages import StagesRunner, TiledRun, run_stages
from filmstrip.weights.model import Model

DOWN_BLOCK = "DownEncoderBlock2D"


class AutoencoderKLTemporalDecoder(TilingMixin, Model):
    """The variational autoencoder of Stable Video Diffusion (Blattmann et al., arXiv 2311.15127,
    appendix D).

    Args:
        in_channels, out_channels: channels of a pixel.
        down_block_types: "DownEncoderBlock2D", once for each width.
        block_out_channels: widths from pixels to latents, multiples of 32; all blocks but the last
            halve height and width.
        layers_per_block: residual blocks in each block of the encoder; the decoder has one more.
        latent_channels: channels of a latent.
        sample_size: height and width of the images that it was trained on; not used.
        scaling_factor: latents are multiplied by it for the UNet.
        force_upcast: whether pipelines are to encode in float32 where the weights are float16.

    Raises:
        InputError: an unknown block type, another number of them than of widths, or a width that
            is no multiple of 32.
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
        unknown = sorted(set(down_block_types) - {DOWN_BLOCK})
        if unknown:
            raise InputError(
                f"down_block_types holds {unknown[0]!r}; only {DOWN_BLOCK!r} is known."
            )
        if len(down_block_types) != len(block_out_channels):
            raise InputError(
                f"There are {len(down_block_types)} down_block_types for {len(block_out_channels)} "
                "block_out_channels; give one for each."
            )
        for width in block_out_channels:
            if width % GROUPS:
                raise InputError(
                    f"block_out_channels holds {width}, but widths must be multiples of {GROUPS}."
                )
        self.encoder = Encoder(in_channels, latent_channels, block_out_channels, layers_per_block)
        self.decoder = TemporalDecoder(
            latent_channels, out_channels, block_out_channels, layers_per_block
        )
        self.quant_conv = PointwiseConv2d(2 * latent_channels, 2 * latent_channels)
        self.spatial_compression_ratio = 2 ** (len(block_out_channels) - 1)
        self.tile_sample_min_height = 256
        self.tile_sample_min_width = 256
        self.tile_sample_stride_height = 224
        self.tile_sample_stride_width = 224
        weights_channels_last(self)

    def enable_tiling(
        self,
        tile_sample_min_height: int | None = None,
        tile_sample_min_width: int | None = None,
        tile_sample_stride_height: int | None = None,
        tile_sample_stride_width: int | None = None,
    ) -> None:
        """Encode and decode in overlapping tiles, which takes less memory. `None` keeps a value.

        Norms use the statistics of whole frames, and attention, which is over whole frames, is not
        tiled. So the result is that without tiling, except for rounding, if tiles overlap by 16
        pixels or more. It takes longer, as the layers before each norm run once more to measure its
        statistics.

        Args:
            tile_sample_min_height, tile_sample_min_width: size of a tile in pixels; smaller frames
                are not tiled.
            tile_sample_stride_height, tile_sample_stride_width: from one tile to the next, at most.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        ratio = self.spatial_compression_ratio
        self._set_tiling(
            height=(tile_sample_min_height, tile_sample_stride_height, ratio),
            width=(tile_sample_min_width, tile_sample_stride_width, ratio),
        )

    @hookable
    def encode(
        self,
        x: torch.Tensor,
        return_dict: bool = True,
        compute_dtype: torch.dtype | None = None,
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """The posterior over latents of frames.

        Args:
            x: `(N, 3, H, W)` in [-1, 1].
            return_dict: return the output class rather than a tuple of one.
            compute_dtype: dtype of the computation; the weights do not change. `None` is the dtype
                of the weights.

        Returns:
            A distribution over latents `(N, C, h, w)`.
        """
        posterior = self._encode(x, compute_dtype)
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    @hookable
    def decode(
        self,
        z: torch.Tensor,
        num_frames: int,
        return_dict: bool = True,
        compute_dtype: torch.dtype | None = None,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Decode the latents of videos.

        Args:
            z: latents, not scaled, `(B * T, C, h, w)`.
            num_frames: frames of each video, T.
            return_dict: return the output class rather than a tuple of one.
            compute_dtype: see `encode`.

        Returns:
            Frames `(B * T, 3, H, W)` in [-1, 1].

        Raises:
            InputError: the number of latents is not a multiple of `num_frames`.
        """
        frames = self._decode(z, num_frames, compute_dtype)
        return DecoderOutput(frames) if return_dict else (frames,)

    def forward(
        self,
        sample: torch.Tensor,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
        num_frames: int = 1,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Encode and decode frames `(B * T, 3, H, W)`.

        Args:
            sample_posterior: decode a draw from the posterior rather than its mode.
            return_dict: return the output class rather than a tuple of one.
            generator: of that draw.
            num_frames: frames of each video, T.
        """
        posterior = self._encode(sample)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        frames = self._decode(latents, num_frames)
        return DecoderOutput(frames) if return_dict else (frames,)

    def _encode(
        self, x: torch.Tensor, compute_dtype: torch.dtype | None = None
    ) -> DiagonalGaussianDistribution:
        x = x.to(compute_dtype or x.dtype).contiguous(memory_format=torch.channels_last)
        run = self._stages_runner(*x.shape[-2:])
        with computing_in(self, compute_dtype):
            return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x, run)))

    def _decode(
        self, z: torch.Tensor, num_frames: int, compute_dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        if num_frames < 1 or z.shape[0] % num_frames:
            raise InputError(
                f"{z.shape[0]} latents are no whole number of videos of {num_frames} frames."
            )
        z = z.to(compute_dtype or z.dtype).contiguous(memory_format=torch.channels_last)
        height = z.shape[-2] * self.spatial_compression_ratio
        width = z.shape[-1] * self.spatial_compression_ratio
        run = self._stages_runner(height, width)
        with computing_in(self, compute_dtype):
            return self.decoder(z, num_frames, run)

    def _stages_runner(self, height: int, width: int) -> StagesRunner:
        """How to run stages on frames of this size in pixels: in tiles, if tiling is on and the
        frames are larger than a tile.
        """
        fits = height <= self.tile_sample_min_height and width <= self.tile_sample_min_width
        if not self.use_tiling or fits:
            return run_stages
        ratio = self.spatial_compression_ratio
        tile_height = self.tile_sample_min_height // ratio
        tile_width = self.tile_sample_min_width // ratio
        rows = EvenTileLayout(
            length=height // ratio,
            size=tile_height,
            overlap=tile_height - self.tile_sample_stride_height // ratio,
        )
        columns = EvenTileLayout(
            length=width // ratio,
            size=tile_width,
            overlap=tile_width - self.tile_sample_stride_width // ratio,
        )
        return TiledRun(rows, columns, ratio)
