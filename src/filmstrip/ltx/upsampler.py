"""LTX's latent upsampler (Lightricks/LTX-Video, `latent_upsampler.py`), and the pipeline of it alone."""

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from filmstrip.errors import InputError
from filmstrip.ltx.coding import Decoding, PerVideo, decode_latents, encode_videos
from filmstrip.ltx.inputs import fitting
from filmstrip.ltx.latents import adain, denormalize, normalize, tone_map
from filmstrip.ltx.single_file import read_upsampler
from filmstrip.ltx.vae_blocks import depth_to_space
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.layout import as_frames, as_video, weights_channels_last
from filmstrip.nn.noise import Generators
from filmstrip.nn.norms import GroupNorm
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.weights.model import Model

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class ResBlock(nn.Module):
    """Convolution and norm, twice, each before SiLU; the input is added before the last."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.conv1 = CONVOLUTIONS[dims](channels, channels, 3, padding=1)
        self.norm1 = GroupNorm(channels, eps=1e-5, activate=True)
        self.conv2 = CONVOLUTIONS[dims](channels, channels, 3, padding=1)
        self.norm2 = GroupNorm(channels, eps=1e-5)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`(N, C, ...)` to the same."""
        changed = self.norm2(self.conv2(self.norm1(self.conv1(hidden))))
        return F.silu(changed + hidden)


class LTXLatentUpsamplerModel(Model):
    """Makes latent videos larger, longer, or both.

    Args:
        in_channels: of the latents.
        mid_channels: width; a multiple of 32.
        num_blocks_per_stage: residual blocks before the upsampling, and after it.
        dims: of the convolutions in the blocks: 2 looks at each frame alone, 3 at neighbouring frames too.
        spatial_upsample: double height and width.
        temporal_upsample: double the frames but for the first, which stands for one frame of the video.

    Raises:
        InputError: nothing to upsample, or `dims` is neither 2 nor 3.
    """

    read_original = staticmethod(read_upsampler)

    def __init__(
        self,
        in_channels: int = 128,
        mid_channels: int = 512,
        num_blocks_per_stage: int = 4,
        dims: int = 3,
        spatial_upsample: bool = True,
        temporal_upsample: bool = False,
    ) -> None:
        super().__init__()
        if dims not in CONVOLUTIONS:
            raise InputError(f"dims is {dims!r}; a latent upsampler has convolutions of 2 or 3 dimensions.")
        if not spatial_upsample and not temporal_upsample:
            raise InputError("spatial_upsample and temporal_upsample are both off; switch on what to upsample.")
        space, time = 2 if spatial_upsample else 1, 2 if temporal_upsample else 1
        self.stride = (time, space, space)
        self.flat, self.upsamples_flat = dims == 2, not temporal_upsample
        widening = CONVOLUTIONS[2 if self.upsamples_flat else 3]

        self.initial_conv = CONVOLUTIONS[dims](in_channels, mid_channels, 3, padding=1)
        self.initial_norm = GroupNorm(mid_channels, eps=1e-5, activate=True)
        self.res_blocks = nn.ModuleList(ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage))
        self.upsampler = nn.ModuleList([widening(mid_channels, prod(self.stride) * mid_channels, 3, padding=1)])
        self.post_upsample_res_blocks = nn.ModuleList(ResBlock(mid_channels, dims) for _ in range(num_blocks_per_stage))
        self.final_conv = CONVOLUTIONS[dims](mid_channels, in_channels, 3, padding=1)
        weights_channels_last(self)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The autoencoder's own latents `(B, C, t, h, w)` to `(B, C, t or 2 t - 1, h or 2 h, w or 2 w)`."""
        latents = hidden_states.contiguous(memory_format=torch.channels_last_3d)
        hidden = _run([self.initial_conv, self.initial_norm, *self.res_blocks], latents, self.flat)
        hidden = depth_to_space(_run(self.upsampler, hidden, self.upsamples_flat), self.stride)
        hidden = hidden[:, :, self.stride[0] - 1 :]
        return _run([*self.post_upsample_res_blocks, self.final_conv], hidden, self.flat)


def _run(layers: Iterable[nn.Module], video: torch.Tensor, flat: bool) -> torch.Tensor:
    """Run layers on a video `(B, C, t, h, w)`; on each of its frames alone where they are `flat`."""
    hidden = as_frames(video) if flat else video
    for layer in layers:
        hidden = layer(hidden)
    return as_video(hidden, video.shape[2]) if flat else hidden


class LTXLatentUpsamplePipeline(DiffusionPipeline):
    """Upsamples videos or latents.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        latent_upsampler: an `LTXLatentUpsamplerModel`.
    """

    def __init__(self, vae: Any, latent_upsampler: Any) -> None:
        super().__init__()
        self.vae, self.latent_upsampler = vae, latent_upsampler
        self.vae_spatial_compression_ratio = vae.spatial_compression_ratio if vae is not None else 32
        self.vae_temporal_compression_ratio = vae.temporal_compression_ratio if vae is not None else 8
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_spatial_compression_ratio)

    @torch.no_grad()
    def __call__(
        self,
        video: Any = None,
        height: int = 512,
        width: int = 704,
        latents: torch.Tensor | None = None,
        decode_timestep: PerVideo = 0.0,
        decode_noise_scale: PerVideo | None = None,
        adain_factor: float = 0.0,
        tone_map_compression_ratio: float = 0.0,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Upsample a video or latents.

        Args:
            video: a list of frames, or whatever `VideoProcessor.preprocess_video` takes.
            height, width: what the video is resized to first, in multiples of the autoencoder's compression.
            latents: `(B, C, t, h, w)` as `LTXConditionPipeline` gives them, instead of a video.
            adain_factor: above 0, the share of the original latents' mean and deviation in each channel.
            tone_map_compression_ratio: how much large values are compressed, 0 to 1.
            generator: of the encoder's draw and the noise; a list has one for each video.
            output_type: "pil", "np", "pt", or "latent" for latents like the given ones.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        checks.check_multiple(height, width, self.vae_spatial_compression_ratio)
        checks.check_output_type(output_type)
        checks.check_numbers({"adain_factor": adain_factor})
        checks.check_share(tone_map_compression_ratio, "tone_map_compression_ratio")
        self._require("vae", "latent_upsampler")
        vae, device = self.vae, self._execution_device
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        given = self._given(video, latents, height, width)
        checks.check_generators(generator, len(given))
        decoding.per_video(len(given))

        if video is not None:
            with self.progress.stage("encode video"):
                given = encode_videos(vae, given, generator, len(given))
        statistics = (vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
        original = denormalize(given.to(device, torch.float32), *statistics).to(self.latent_upsampler.dtype)
        with self.progress.stage("upsample"):
            upsampled = self.latent_upsampler(original)
        if adain_factor > 0:
            upsampled = adain(upsampled, original, adain_factor)
        if tone_map_compression_ratio > 0:
            upsampled = tone_map(upsampled, tone_map_compression_ratio)

        frames: Any = normalize(upsampled, *statistics)
        if output_type != "latent":
            with self._keeping(frames, "pipe.vae.enable_tiling()"), self.progress.stage("decode"):
                decoded = decode_latents(vae, upsampled, decoding)
                frames = self.video_processor.postprocess_video(decoded, output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def _given(self, video: Any, latents: torch.Tensor | None, height: int, width: int) -> torch.Tensor:
        """The pixels `(B, 3, T, H, W)`, of `ratio * k + 1` frames, or latents that a call was given: one of them."""
        if (video is None) == (latents is None):
            what = "Neither video nor latents was" if video is None else "Both video and latents were"
            raise InputError(f"{what} given; give one of them.")
        if latents is not None:
            channels = self.vae.config.latent_channels
            if latents.ndim != 5 or latents.shape[1] != channels:
                wanted = f"(videos, {channels}, frames, height, width) is wanted, as LTXConditionPipeline gives"
                raise InputError(f"latents have the shape {tuple(latents.shape)}; {wanted}.")
            return latents
        pixels = self.video_processor.preprocess_video(video, height, width)
        given = pixels.shape[2]
        return pixels[:, :, fitting(given, given, self.vae_temporal_compression_ratio, "The video")]
