"""LTX-Video's autoencoder in all published variants (arXiv 2501.00103, section 2.1;
Lightricks/LTX-Video).
"""

from collections.abc import Sequence
from functools import partial

import torch

from filmstrip.ltx.models.autoencoder_blocks import Decoder3d, Encoder3d
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.hooks import hookable
from filmstrip.nn.memory_layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.tiling import (
    StridedTileLayout,
    TileFunction,
    TilingMixin,
    blend,
    run_strided_tiles,
)
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.weights.model import Model


class AutoencoderKLLTXVideo(TilingMixin, Model):
    """The variational autoencoder of LTX-Video.

    Lists for the encoder and for the decoder both run from pixels to latents. Layers and
    `decoder_inject_noise` have one entry more than widths; the last one is the middle block's.

    Args:
        in_channels, out_channels: channels of a pixel.
        latent_channels: channels of a latent.
        block_out_channels, decoder_block_out_channels: widths of the blocks.
        down_block_types: names of `filmstrip.ltx.models.autoencoder_blocks.DOWN_BLOCK_TYPES`, one
            for each block.
        layers_per_block, decoder_layers_per_block: residual blocks in each block.
        spatio_temporal_scaling, decoder_spatio_temporal_scaling: which blocks resample.
        decoder_inject_noise: which blocks of the decoder add noise.
        downsample_type: "conv", "spatial", "temporal" or "spatiotemporal", one for each block.
        upsample_residual: which of the decoder's upsamplers have a shortcut.
        upsample_factor: by how much each of the decoder's upsamplers divides the width.
        timestep_conditioning: whether the decoder gets the noise level of its latents as a
            timestep.
        patch_size, patch_size_t: pixels and frames that are folded into channels before the first
            convolution.
        resnet_norm_eps: of the norm before a shortcut's convolution.
        scaling_factor: normalised latents are multiplied by it for the transformer.
        encoder_causal, decoder_causal: whether a frame depends only on itself and earlier ones.
        spatial_compression_ratio, temporal_compression_ratio: pixels and frames per latent; `None`
            computes them from `spatio_temporal_scaling`, which is right if every resampling acts on
            space and time.

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
        self.encoder = Encoder3d(self.config)
        self.decoder = Decoder3d(self.config)
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))
        scalings = 2 ** sum(spatio_temporal_scaling)
        self.spatial_compression_ratio = spatial_compression_ratio or patch_size * scalings
        self.temporal_compression_ratio = temporal_compression_ratio or patch_size_t * scalings

        self.use_slicing = False
        self.use_framewise_encoding = False
        self.use_framewise_decoding = False
        self.tile_sample_min_height = 512
        self.tile_sample_min_width = 512
        self.tile_sample_min_num_frames = 16
        self.tile_sample_stride_height = 448
        self.tile_sample_stride_width = 448
        self.tile_sample_stride_num_frames = 8
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
        """Encode and decode in overlapping tiles, which bounds memory. `None` keeps a value.

        Args:
            tile_sample_min_height, tile_sample_min_width, tile_sample_min_num_frames: size of a
                tile in pixels and frames; a smaller video is not tiled.
            tile_sample_stride_height, tile_sample_stride_width, tile_sample_stride_num_frames:
                from one tile to the next.

        Raises:
            InputError: a stride is longer than its tile, or shorter than a latent.
        """
        spatial_ratio = self.spatial_compression_ratio
        temporal_ratio = self.temporal_compression_ratio
        self._set_tiling(
            height=(tile_sample_min_height, tile_sample_stride_height, spatial_ratio),
            width=(tile_sample_min_width, tile_sample_stride_width, spatial_ratio),
            num_frames=(tile_sample_min_num_frames, tile_sample_stride_num_frames, temporal_ratio),
        )

    def enable_slicing(self) -> None:
        """Encode and decode one video of a batch at a time."""
        self.use_slicing = True

    def disable_slicing(self) -> None:
        """Encode and decode a batch at once."""
        self.use_slicing = False

    @hookable
    def encode(
        self, x: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """The posterior over latents of a video.

        Args:
            x: `(B, 3, T, H, W)` in [-1, 1]; T is 8 k + 1.
            return_dict: return the output class rather than a tuple of one.

        Returns:
            A distribution over latents `(B, C, t, h, w)`.
        """
        posterior = self._encode(x)
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    @hookable
    def decode(
        self, z: torch.Tensor, temb: torch.Tensor | None = None, return_dict: bool = True
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Decode latents.

        Args:
            z: latents, not normalised, `(B, C, t, h, w)`.
            temb: their noise level, `(B,)` in [0, 1]; a timestep-conditioned decoder needs it.
            return_dict: return the output class rather than a tuple of one.

        Returns:
            The video `(B, 3, T, H, W)` in [-1, 1].
        """
        video = self._decode(z, temb)
        return DecoderOutput(video) if return_dict else (video,)

    def forward(
        self,
        sample: torch.Tensor,
        temb: torch.Tensor | None = None,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Encode and decode a video `(B, 3, T, H, W)`.

        Args:
            temb: see `decode`.
            sample_posterior: decode a draw from the posterior rather than its mode.
            return_dict: return the output class rather than a tuple of one.
            generator: of that draw.
        """
        posterior = self._encode(sample)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        video = self._decode(latents, temb)
        return DecoderOutput(video) if return_dict else (video,)

    def _encode(self, x: torch.Tensor) -> DiagonalGaussianDistribution:
        videos = x.split(1) if self.use_slicing else (x,)
        parameters = [self._run(self.encoder, video, is_decoding=False) for video in videos]
        return DiagonalGaussianDistribution(torch.cat(parameters))

    def _decode(self, z: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        if not self.use_slicing:
            return self._run(partial(self.decoder, timestep=temb), z, is_decoding=True)
        videos = []
        for i, latents in enumerate(z.split(1)):
            decoder = partial(self.decoder, timestep=None if temb is None else temb[i : i + 1])
            videos.append(self._run(decoder, latents, is_decoding=True))
        return videos[0] if len(videos) == 1 else torch.cat(videos)

    def _run(self, function: TileFunction, x: torch.Tensor, is_decoding: bool) -> torch.Tensor:
        """Run encoder or decoder on `(B, C, T, H, W)`; in tiles along time if switched on."""
        ratio = self.temporal_compression_ratio
        layout = self._layout("num_frames", ratio, is_decoding)
        # In diffusers, too, this switch, named for decoding, is read for encoding.
        if not self.use_framewise_decoding or x.shape[2] <= layout.size:
            return self._run_in_space(function, x, is_decoding)
        # Each tile has one element more, as the first latent is one frame. All tiles but the first
        # drop one: the latent of their first frame, or their last frame.
        later = slice(None, -1) if is_decoding else slice(1, None)
        kept: list[torch.Tensor] = []
        before = None
        for start in layout.starts(x.shape[2]):
            part = x[:, :, start : start + layout.size + 1]
            tile = self._run_in_space(function, part, is_decoding)
            if before is not None:
                tile = blend(before, tile[:, :, later], layout.output_overlap, dim=2)
            kept.append(tile[:, :, : layout.output_stride + (not kept)])
            before = tile
        steps = x.shape[2] - 1
        length = (steps * ratio if is_decoding else steps // ratio) + 1
        return torch.cat(kept, dim=2)[:, :, :length]

    def _run_in_space(
        self, function: TileFunction, x: torch.Tensor, is_decoding: bool
    ) -> torch.Tensor:
        """Run encoder or decoder; in tiles along height and width if that is switched on."""
        ratio = self.spatial_compression_ratio
        height, width = x.shape[-2:]
        rows = self._layout("height", ratio, is_decoding)
        columns = self._layout("width", ratio, is_decoding)
        if not self.use_tiling or (height <= rows.size and width <= columns.size):
            return function(x)
        joined = run_strided_tiles(function, x, rows, columns)
        if is_decoding:
            return joined[..., : height * ratio, : width * ratio]
        return joined[..., : height // ratio, : width // ratio]

    def _layout(self, dimension: str, ratio: int, is_decoding: bool) -> StridedTileLayout:
        """The tiles along "height", "width" or "num_frames", of latents or of pixels and frames."""
        size = getattr(self, f"tile_sample_min_{dimension}")
        stride = getattr(self, f"tile_sample_stride_{dimension}")
        if is_decoding:
            return StridedTileLayout(
                size=size // ratio,
                stride=stride // ratio,
                output_stride=stride,
                output_overlap=size - stride,
            )
        return StridedTileLayout(
            size=size,
            stride=stride,
            output_stride=stride // ratio,
            output_overlap=size // ratio - stride // ratio,
        )
