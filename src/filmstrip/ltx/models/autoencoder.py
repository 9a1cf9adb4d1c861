"""LTX's video autoencoder in all published variants (arXiv 2501.00103, section 2.1;
Lightricks/LTX-Video).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from filmstrip.ltx.models.autoencoder_blocks import Decoder3d, Encoder3d
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.tiling import Tiled, Tiles, fade, run_tiled
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.weights.model import Model

Coder = Callable[[torch.Tensor], torch.Tensor]


class AutoencoderKLLTXVideo(Tiled, Model):
    """The variational autoencoder of LTX-Video.

    The lists of the encoder run from pixels to latents, and so do those of the decoder. Layers have
    one entry more than widths: the last is the middle block's.

    Args:
        in_channels, out_channels: of a pixel.
        latent_channels: of a latent.
        block_out_channels, decoder_block_out_channels: widths.
        down_block_types: of `filmstrip.ltx.models.autoencoder_blocks.DOWN_BLOCK_TYPES`, one for
            each block.
        layers_per_block, decoder_layers_per_block: residual blocks.
        spatio_temporal_scaling, decoder_spatio_temporal_scaling: which blocks resample.
        decoder_inject_noise: which blocks of the decoder add noise.
        downsample_type: "conv", "spatial", "temporal" or "spatiotemporal", one for each block.
        upsample_residual, upsample_factor: of the decoder's upsamplings; the factor is by how much
            each narrows.
        timestep_conditioning: whether the decoder is told how noisy its latents are.
        patch_size, patch_size_t: pixels and frames that are folded into channels before the first
            convolution.
        resnet_norm_eps: of the norm before a shortcut's convolution.
        scaling_factor: latents are multiplied by it, after normalisation, for the transformer.
        encoder_causal, decoder_causal: whether frames see only earlier ones.
        spatial_compression_ratio, temporal_compression_ratio: pixels and frames per latent; `None`
            computes them from `spatio_temporal_scaling`, which is right where every resampling acts
            on space and time.

    Raises:
        InputError: an unknown block or downsampling type, or widths that a conditioned decoder
            cannot have.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 128,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        down_block_types: Sequence[str] = ("LTXVideoDownBlock3D",) * 4,
        decoder_block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: Sequence[int] = (4, 3, 3, 3, 4),
        decoder_layers_per_block: Sequence[int] = (4, 3, 3, 3, 4),
        spatio_temporal_scaling: Sequence[bool] = (True, True, True, False),
        decoder_spatio_temporal_scaling: Sequence[bool] = (True, True, True, False),
        decoder_inject_noise: Sequence[bool] = (False, False, False, False, False),
        downsample_type: Sequence[str] = ("conv", "conv", "conv", "conv"),
        upsample_residual: Sequence[bool] = (False, False, False, False),
        upsample_factor: Sequence[int] = (1, 1, 1, 1),
        timestep_conditioning: bool = False,
        patch_size: int = 4,
        patch_size_t: int = 1,
        resnet_norm_eps: float = 1e-6,
        scaling_factor: float = 1.0,
        encoder_causal: bool = True,
        decoder_causal: bool = False,
        spatial_compression_ratio: int | None = None,
        temporal_compression_ratio: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder3d(self.config), Decoder3d(self.config)
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))
        scalings = 2 ** sum(spatio_temporal_scaling)
        self.spatial_compression_ratio = spatial_compression_ratio or patch_size * scalings
        self.temporal_compression_ratio = temporal_compression_ratio or patch_size_t * scalings

        self.use_slicing = self.use_framewise_encoding = self.use_framewise_decoding = False
        self.tile_sample_min_height = self.tile_sample_min_width = 512
        self.tile_sample_stride_height = self.tile_sample_stride_width = 448
        self.tile_sample_min_num_frames, self.tile_sample_stride_num_frames = 16, 8
        weights_channels_last(self)

    def enable_tiling(
        self,
        tile_sample_min_height: int | None = None,
        tile_sample_min_width: int | None = None,
        tile_sample_min_num_frames: int | None = None,
        tile_sample_stride_height: int | None = None,
        tile_sample_stride_width: int | None = None,
        tile_sample_stride_num_frames: int | None = None,
    ) -> None:
        """Encode and decode in overlapping tiles, which bounds memory. `None` keeps what is set.

        Args:
            tile_sample_min_height, tile_sample_min_width, tile_sample_min_num_frames: size of a
                tile in pixels and frames; a smaller video is not tiled.
            tile_sample_stride_height, tile_sample_stride_width, tile_sample_stride_num_frames: from
                tile to tile.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        space, time = self.spatial_compression_ratio, self.temporal_compression_ratio
        self._tile(
            height=(tile_sample_min_height, tile_sample_stride_height, space),
            width=(tile_sample_min_width, tile_sample_stride_width, space),
            num_frames=(tile_sample_min_num_frames, tile_sample_stride_num_frames, time),
        )

    def enable_slicing(self) -> None:
        """Encode and decode one video of a batch at a time."""
        self.use_slicing = True

    def disable_slicing(self) -> None:
        """Encode and decode a batch at once."""
        self.use_slicing = False

    def encode(
        self, x: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """The posterior over latents `(B, C, t, h, w)` of a video `(B, 3, T, H, W)` in [-1, 1]."""
        rows = x.split(1) if self.use_slicing else (x,)
        posterior = DiagonalGaussianDistribution(
            torch.cat([self._run(self.encoder, row, False) for row in rows])
        )
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    def decode(
        self, z: torch.Tensor, temb: torch.Tensor | None = None, return_dict: bool = True
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """The video `(B, 3, T, H, W)` in [-1, 1] of latents `(B, C, t, h, w)`.

        A timestep-conditioned decoder needs `temb`, how noisy the latents are, `(B,)` in [0, 1].
        """
        rows = z.split(1) if self.use_slicing else (z,)
        times = temb.split(1) if self.use_slicing and temb is not None else (temb,) * len(rows)
        decoders = [partial(self.decoder, timestep=time) for time in times]
        videos = [self._run(decode, row, True) for decode, row in zip(decoders, rows, strict=True)]
        video = videos[0] if len(videos) == 1 else torch.cat(videos)
        return DecoderOutput(video) if return_dict else (video,)

    def forward(
        self,
        sample: torch.Tensor,
        temb: torch.Tensor | None = None,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Encode and decode a video `(B, 3, T, H, W)`, through a draw from the posterior or its
        mode.
        """
        (posterior,) = self.encode(sample, return_dict=False)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(latents, temb, return_dict)

    def _run(self, coder: Coder, x: torch.Tensor, decodes: bool) -> torch.Tensor:
        """Encode or decode `(B, C, T, H, W)`; in tiles in time, each fading in over the one before,
        if switched on.
        """
        ratio = self.temporal_compression_ratio
        tiles = self._tiles("num_frames", ratio, decodes)
        # diffusers lets this switch, named for decoding, choose for encoding as well.
        if not self.use_framewise_decoding or x.shape[2] <= tiles.size:
            return self._run_spatially(coder, x, decodes)
        # Each tile has one element more; the later ones give up the latent of their first frame, or
        # their last frame.
        later = slice(None, -1) if decodes else slice(1, None)
        kept: list[torch.Tensor] = []
        before = None
        for start in tiles.starts(x.shape[2]):
            tile = self._run_spatially(coder, x[:, :, start : start + tiles.size + 1], decodes)
            if before is not None:
                tile = fade(before, tile[:, :, later], tiles.blend, dim=2)
            kept.append(tile[:, :, : tiles.out_stride + (not kept)])
            before = tile
        steps = x.shape[2] - 1
        return torch.cat(kept, dim=2)[:, :, : (steps * ratio if decodes else steps // ratio) + 1]

    def _run_spatially(self, coder: Coder, x: torch.Tensor, decodes: bool) -> torch.Tensor:
        ratio, sides = self.spatial_compression_ratio, x.shape[-2:]
        rows, columns = (self._tiles(side, ratio, decodes) for side in ("height", "width"))
        if not self.use_tiling or (sides[0] <= rows.size and sides[1] <= columns.size):
            return coder(x)
        height, width = (side * ratio if decodes else side // ratio for side in sides)
        return run_tiled(coder, x, rows, columns)[..., :height, :width]

    def _tiles(self, side: str, ratio: int, decodes: bool) -> Tiles:
        """How a dimension is cut, of latents where they are decoded, else of pixels or frames."""
        size, stride = (
            getattr(self, f"tile_sample_min_{side}"),
            getattr(self, f"tile_sample_stride_{side}"),
        )
        if decodes:
            return Tiles(size // ratio, stride // ratio, stride, size - stride)
        return Tiles(size, stride, stride // ratio, size // ratio - stride // ratio)
