"""The pipeline that upsamples videos or latents with a latent upsampler."""

from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import adain, denormalize, normalize, tone_map
from filmstrip.ltx.pipelines.check_inputs import crop_frames
from filmstrip.ltx.pipelines.decode import DecodeOptions, PerVideo, decode_latents
from filmstrip.ltx.pipelines.encode import compression_ratios, encode_each
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline


class LTXLatentUpsamplePipeline(DiffusionPipeline):
    """Upsamples videos or latents.

    Args:
        vae: an `AutoencoderKLLTXVideo`.
        latent_upsampler: an `LTXLatentUpsamplerModel`.
    """

    def __init__(self, vae: Any, latent_upsampler: Any) -> None:
        super().__init__()
        self.vae = vae
        self.latent_upsampler = latent_upsampler
        temporal_ratio, spatial_ratio = compression_ratios(vae)
        self.vae_temporal_compression_ratio = temporal_ratio
        self.vae_spatial_compression_ratio = spatial_ratio
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
            height, width: size in pixels to which the video is first resized, multiples of the
                autoencoder's compression ratio.
            latents: `(B, C, t, h, w)` as `LTXConditionPipeline` returns them, instead of a video.
            adain_factor: weight of the original latents' mean and deviation in each channel.
            tone_map_compression_ratio: how much large values are compressed, 0 to 1.
            generator: of the encoder's draw and the noise; a list has one for each video.
            output_type: "pil", "np", "pt", or "latent" for latents `(B, C, t, h, w)`.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        checks.check_multiple(height, width, self.vae_spatial_compression_ratio)
        checks.check_output_type(output_type)
        checks.check_numbers({"adain_factor": adain_factor})
        checks.check_fraction(tone_map_compression_ratio, "tone_map_compression_ratio")
        self._require("vae", "latent_upsampler")
        decoding = DecodeOptions(decode_timestep, decode_noise_scale, generator, output_type)
        inputs = self._check_video_or_latents(video, latents, height, width)
        num_videos = len(inputs)
        checks.check_generators(generator, num_videos)
        decoding.timesteps(num_videos)
        decoding.noise_scales(num_videos)

        if video is not None:
            inputs = self._encode(inputs, generator)
        vae = self.vae
        statistics = (vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
        inputs = inputs.to(self._execution_device, torch.float32)
        original = denormalize(inputs, *statistics).to(self.latent_upsampler.dtype)
        with self.progress.stage("upsample"):
            upsampled = self.latent_upsampler(original)
        if adain_factor > 0:
            upsampled = adain(upsampled, original, adain_factor)
        if tone_map_compression_ratio > 0:
            upsampled = tone_map(upsampled, tone_map_compression_ratio)

        frames: Any = normalize(upsampled, *statistics)
        if output_type != "latent":
            advice = "pipe.vae.enable_tiling()"
            with self._keep_latents(frames, advice), self.progress.stage("decode"):
                decoded = decode_latents(vae, upsampled, decoding)
                frames = self.video_processor.postprocess_video(decoded, output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def _encode(self, pixels: torch.Tensor, generator: Generators) -> torch.Tensor:
        """Normalised latents of pixels `(B, 3, T, H, W)`."""
        with self.progress.stage("encode video"):
            return encode_each(self.vae, pixels, generator, len(pixels), self._execution_device)

    def _check_video_or_latents(
        self, video: Any, latents: torch.Tensor | None, height: int, width: int
    ) -> torch.Tensor:
        """The pixels `(B, 3, T, H, W)`, T being `ratio * k + 1`, or the latents of a call."""
        if video is None and latents is None:
            raise InputError("Neither video nor latents was given; give one of them.")
        if video is not None and latents is not None:
            raise InputError("Both video and latents were given; give one of them.")
        if latents is not None:
            channels = self.vae.config.latent_channels
            if latents.ndim != 5 or latents.shape[1] != channels:
                raise InputError(
                    f"latents have the shape {tuple(latents.shape)}; (videos, {channels}, frames, "
                    "height, width) is needed, as LTXConditionPipeline returns."
                )
            return latents
        pixels = self.video_processor.preprocess_video(video, height, width)
        num_frames = pixels.shape[2]
        ratio = self.vae_temporal_compression_ratio
        return pixels[:, :, crop_frames(num_frames, num_frames, ratio, "The video")]
