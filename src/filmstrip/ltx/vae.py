"""LTX's video autoencoder in all published variants (arXiv 2501.00103, section 2.1; Lightricks/LTX-Video)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.errors import InputError
from filmstrip.ltx.single_file import read_vae
from filmstrip.ltx.vae_blocks import (
    NORM_EPS,
    CausalConv3d,
    DownBlock3D,
    MidBlock3d,
    UpBlock3d,
    depth_to_space,
    embed_timestep,
    space_to_depth,
)
from filmstrip.nn.embeddings import TimestepEmbedder
from filmstrip.nn.gaussian import DiagonalGaussianDistribution
from filmstrip.nn.layout import weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.norms import channel_rms_norm, modulate
from filmstrip.nn.tiling import Tiles, fade, run_tiled
from filmstrip.outputs import AutoencoderKLOutput, DecoderOutput
from filmstrip.weights.model import Model

# Whether a residual block changes the width (0.9.0 and 0.9.1), or the downsampler does (0.9.5 and later).
DOWN_BLOCK_TYPES = {"LTXVideoDownBlock3D": True, "LTXVideo095DownBlock3D": False}


class Encoder3d(nn.Module):
    """Pixels to the parameters of the posterior."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int],
        down_block_types: Sequence[str],
        spatio_temporal_scaling: Sequence[bool],
        layers_per_block: Sequence[int],
        downsample_type: Sequence[str],
        patch_size: int,
        patch_size_t: int,
        resnet_norm_eps: float,
        is_causal: bool,
    ) -> None:
        super().__init__()
        unknown = sorted(set(down_block_types) - set(DOWN_BLOCK_TYPES))
        if unknown:
            raise InputError(f"down_block_types holds {unknown[0]!r}; choose of {', '.join(DOWN_BLOCK_TYPES)}.")
        self.patch = (patch_size_t, patch_size, patch_size)
        widths = list(block_out_channels)
        if DOWN_BLOCK_TYPES[down_block_types[-1]]:
            widths.append(widths[-1])
        self.conv_in = CausalConv3d(in_channels * patch_size**2, widths[0], is_causal=is_causal)
        self.down_blocks = nn.ModuleList(
            DownBlock3D(
                widths[i],
                widths[i + 1],
                layers_per_block[i],
                resnet_norm_eps,
                downsample_type[i] if spatio_temporal_scaling[i] else None,
                DOWN_BLOCK_TYPES[down_block_types[i]],
                is_causal,
            )
            for i in range(len(widths) - 1)
        )
        self.mid_block = MidBlock3d(widths[-1], layers_per_block[-1], resnet_norm_eps, is_causal)
        self.conv_out = CausalConv3d(widths[-1], out_channels + 1, is_causal=is_causal)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """`(B, 3, T, H, W)` in [-1, 1] to mean and log variance `(B, 2 * C, t, h, w)`; all C share the latter."""
        hidden = self.conv_in(_flip_patch(space_to_depth(video, self.patch), self.patch))
        for block in self.down_blocks:
            hidden = block(hidden)
        hidden = self.mid_block(hidden)
        hidden = self.conv_out(F.silu(channel_rms_norm(hidden, NORM_EPS)))
        mean, logvar = hidden[:, :-1], hidden[:, -1:]
        return torch.cat([mean, logvar.expand_as(mean)], dim=1)


class Decoder3d(nn.Module):
    """Latents to pixels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int],
        spatio_temporal_scaling: Sequence[bool],
        layers_per_block: Sequence[int],
        patch_size: int,
        patch_size_t: int,
        resnet_norm_eps: float,
        is_causal: bool,
        inject_noise: Sequence[bool],
        timestep_conditioning: bool,
        upsample_residual: Sequence[bool],
        upsample_factor: Sequence[int],
    ) -> None:
        super().__init__()
        self.patch = (patch_size_t, patch_size, patch_size)
        # Configs list the blocks of the decoder from pixels to latents.
        widths, layers, noise = block_out_channels[::-1], layers_per_block[::-1], inject_noise[::-1]
        scaling, residual, factors = (
            spatio_temporal_scaling[::-1],
            upsample_residual[::-1],
            upsample_factor[::-1],
        )

        self.conv_in = CausalConv3d(in_channels, widths[0], is_causal=is_causal)
        self.mid_block = MidBlock3d(widths[0], layers[0], resnet_norm_eps, is_causal, noise[0], timestep_conditioning)
        self.up_blocks = nn.ModuleList()
        width = widths[0]
        for i, block_width in enumerate(widths):
            before, width = width // factors[i], block_width // factors[i]
            self.up_blocks.append(
                UpBlock3d(
                    before,
                    width,
                    layers[i + 1],
                    resnet_norm_eps,
                    scaling[i],
                    is_causal,
                    noise[i + 1],
                    timestep_conditioning,
                    residual[i],
                    factors[i],
                )
            )
        self.conv_out = CausalConv3d(width, out_channels * patch_size**2, is_causal=is_causal)
        self.timestep_scale_multiplier = self.time_embedder = self.scale_shift_table = None
        if timestep_conditioning:
            self.timestep_scale_multiplier = nn.Parameter(torch.tensor(1000.0))
            self.time_embedder = TimestepEmbedder(2 * width)
            self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor | None = None) -> torch.Tensor:
        """`(B, C, t, h, w)` to `(B, 3, T, H, W)`; `timestep` in [0, 1], `(B,)`, for a conditioned decoder."""
        hidden = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d))
        if self.timestep_scale_multiplier is not None and timestep is not None:
            timestep = timestep * self.timestep_scale_multiplier
        hidden = self.mid_block(hidden, timestep)
        for block in self.up_blocks:
            hidden = block(hidden, timestep)
        hidden = channel_rms_norm(hidden, NORM_EPS)
        modulation = embed_timestep(self.time_embedder, timestep, hidden.dtype)
        if modulation is not None and self.scale_shift_table is not None:
            table = modulation.unflatten(1, (2, -1)) + self.scale_shift_table
            shift, scale = table[..., None, None, None].unbind(dim=1)
            hidden = modulate(hidden, shift, scale)
        hidden = self.conv_out(F.silu(hidden))
        return depth_to_space(_flip_patch(hidden, self.patch), self.patch)


def _flip_patch(video: torch.Tensor, patch: tuple[int, int, int]) -> torch.Tensor:
    """Exchange rows and columns within the patches: the checkpoints hold a patch's pixels column by column."""
    t, h, w = patch
    rows = video.movedim(1, -1).unflatten(-1, (-1, t, h, w))
    return rows.transpose(-1, -2).flatten(4).movedim(-1, 1)


class AutoencoderKLLTXVideo(Model):
    """The variational autoencoder of LTX-Video.

    The lists of the encoder run from pixels to latents, and so do those of the decoder. Layers have one entry more than
    widths: the last is the middle block's.

    Args:
        in_channels, out_channels: of a pixel.
        latent_channels: of a latent.
        block_out_channels, decoder_block_out_channels: widths.
        down_block_types: of `DOWN_BLOCK_TYPES`, one for each block.
        layers_per_block, decoder_layers_per_block: residual blocks.
        spatio_temporal_scaling, decoder_spatio_temporal_scaling: which blocks resample.
        decoder_inject_noise: which blocks of the decoder add noise.
        downsample_type: "conv", "spatial", "temporal" or "spatiotemporal", one for each block.
        upsample_residual, upsample_factor: of the decoder's upsamplings; the factor is by how much each narrows.
        timestep_conditioning: whether the decoder is told how noisy its latents are.
        patch_size, patch_size_t: pixels and frames that are folded into channels before the first convolution.
        resnet_norm_eps: of the norm before a shortcut's convolution.
        scaling_factor: latents are multiplied by it, after normalisation, for the transformer.
        encoder_causal, decoder_causal: whether frames see only earlier ones.
        spatial_compression_ratio, temporal_compression_ratio: pixels and frames per latent; `None` computes them from
            `spatio_temporal_scaling`, which is right where every resampling acts on space and time.

    Raises:
        InputError: an unknown block or downsampling type, or widths that a conditioned decoder cannot have.
    """

    read_original = staticmethod(read_vae)

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 128,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        down_block_types: Sequence[str] = (
            "LTXVideoDownBlock3D",
            "LTXVideoDownBlock3D",
            "LTXVideoDownBlock3D",
            "LTXVideoDownBlock3D",
        ),
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
        self.encoder = Encoder3d(
            in_channels,
            latent_channels,
            block_out_channels,
            down_block_types,
            spatio_temporal_scaling,
            layers_per_block,
            downsample_type,
            patch_size,
            patch_size_t,
            resnet_norm_eps,
            encoder_causal,
        )
        self.decoder = Decoder3d(
            latent_channels,
            out_channels,
            decoder_block_out_channels,
            decoder_spatio_temporal_scaling,
            decoder_layers_per_block,
            patch_size,
            patch_size_t,
            resnet_norm_eps,
            decoder_causal,
            decoder_inject_noise,
            timestep_conditioning,
            upsample_residual,
            upsample_factor,
        )
        self.register_buffer("latents_mean", torch.zeros(latent_channels))
        self.register_buffer("latents_std", torch.ones(latent_channels))
        scalings = 2 ** sum(spatio_temporal_scaling)
        self.spatial_compression_ratio = spatial_compression_ratio or patch_size * scalings
        self.temporal_compression_ratio = temporal_compression_ratio or patch_size_t * scalings

        self.use_slicing = False
        self.use_tiling = False
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
        """Encode and decode in overlapping tiles, which bounds memory. `None` keeps what is set.

        Args:
            tile_sample_min_height, tile_sample_min_width, tile_sample_min_num_frames: size of a tile in pixels and
                frames; a smaller video is not tiled.
            tile_sample_stride_height, tile_sample_stride_width, tile_sample_stride_num_frames: from tile to tile.
        """
        self.use_tiling = True
        self.tile_sample_min_height = tile_sample_min_height or self.tile_sample_min_height
        self.tile_sample_min_width = tile_sample_min_width or self.tile_sample_min_width
        self.tile_sample_min_num_frames = tile_sample_min_num_frames or self.tile_sample_min_num_frames
        self.tile_sample_stride_height = tile_sample_stride_height or self.tile_sample_stride_height
        self.tile_sample_stride_width = tile_sample_stride_width or self.tile_sample_stride_width
        self.tile_sample_stride_num_frames = tile_sample_stride_num_frames or self.tile_sample_stride_num_frames

    def disable_tiling(self) -> None:
        """Encode and decode in one piece."""
        self.use_tiling = False

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
        posterior = DiagonalGaussianDistribution(torch.cat([self._encode(row) for row in rows]))
        return AutoencoderKLOutput(posterior) if return_dict else (posterior,)

    def decode(
        self, z: torch.Tensor, temb: torch.Tensor | None = None, return_dict: bool = True
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """The video `(B, 3, T, H, W)` in [-1, 1] of latents `(B, C, t, h, w)`.

        Args:
            temb: how noisy the latents are, `(B,)` in [0, 1], for a timestep-conditioned decoder.

        Raises:
            InputError: a conditioned decoder without `temb`.
        """
        rows = z.split(1) if self.use_slicing else (z,)
        times = temb.split(1) if self.use_slicing and temb is not None else (temb,) * len(rows)
        videos = [self._decode(row, time) for row, time in zip(rows, times, strict=True)]
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
        """Encode and decode a video `(B, 3, T, H, W)`, through a draw from the posterior or its mode."""
        (posterior,) = self.encode(sample, return_dict=False)
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(latents, temb, return_dict)

    def _encode(self, x: torch.Tensor) -> torch.Tensor:
        # diffusers lets this switch, named for decoding, choose for encoding as well.
        if self.use_framewise_decoding and x.shape[2] > self.tile_sample_min_num_frames:
            return self._encode_framewise(x)
        return self._encode_spatially(x)

    def _decode(self, z: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        minimum = self.tile_sample_min_num_frames // self.temporal_compression_ratio
        if self.use_framewise_decoding and z.shape[2] > minimum:
            return self._decode_framewise(z, temb)
        return self._decode_spatially(z, temb)

    def _encode_spatially(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        if not self.use_tiling or (height <= self.tile_sample_min_height and width <= self.tile_sample_min_width):
            return self.encoder(x)
        ratio = self.spatial_compression_ratio
        rows, columns = (
            Tiles(size, stride, stride // ratio, size // ratio - stride // ratio)
            for size, stride in self._sample_tiles()
        )
        return run_tiled(self.encoder, x, rows, columns)[..., : height // ratio, : width // ratio]

    def _decode_spatially(self, z: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        height, width = z.shape[-2:]
        ratio = self.spatial_compression_ratio
        rows, columns = (
            Tiles(size // ratio, stride // ratio, stride, size - stride) for size, stride in self._sample_tiles()
        )
        if not self.use_tiling or (height <= rows.size and width <= columns.size):
            return self.decoder(z, temb)
        decode = partial(self.decoder, timestep=temb)
        return run_tiled(decode, z, rows, columns)[..., : height * ratio, : width * ratio]

    def _sample_tiles(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size and stride of the tiles in pixels: of rows, of columns."""
        return (
            (self.tile_sample_min_height, self.tile_sample_stride_height),
            (self.tile_sample_min_width, self.tile_sample_stride_width),
        )

    def _encode_framewise(self, x: torch.Tensor) -> torch.Tensor:
        ratio = self.temporal_compression_ratio
        size, stride = self.tile_sample_min_num_frames, self.tile_sample_stride_num_frames
        tiles = Tiles(size, stride, stride // ratio, size // ratio - stride // ratio)
        # Each tile has one frame more; the later ones give up the latent of their first.
        encoded = _run_framewise(self._encode_spatially, x, tiles, later=slice(1, None))
        return encoded[:, :, : (x.shape[2] - 1) // ratio + 1]

    def _decode_framewise(self, z: torch.Tensor, temb: torch.Tensor | None) -> torch.Tensor:
        ratio = self.temporal_compression_ratio
        size, stride = self.tile_sample_min_num_frames, self.tile_sample_stride_num_frames
        tiles = Tiles(size // ratio, stride // ratio, stride, size - stride)
        # Each tile has one latent more; the later ones give up their last frame.
        decoded = _run_framewise(partial(self._decode_spatially, temb=temb), z, tiles, later=slice(None, -1))
        return decoded[:, :, : (z.shape[2] - 1) * ratio + 1]


def _run_framewise(
    run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, tiles: Tiles, later: slice
) -> torch.Tensor:
    """Apply `run` to tiles in time of `(B, C, T, H, W)`, each fading in over the one before.

    Of all results but the first, `later` is kept.
    """
    results: list[torch.Tensor] = []
    kept = []
    for start in tiles.starts(x.shape[2]):
        tile = run(x[:, :, start : start + tiles.size + 1])
        if results:
            tile = fade(results[-1], tile[:, :, later], tiles.blend, dim=2)
        kept.append(tile[:, :, : tiles.out_stride + (not results)])
        results.append(tile)
    return torch.cat(kept, dim=2)
