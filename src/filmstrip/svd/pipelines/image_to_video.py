"""A picture to a video with Stable Video Diffusion."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from filmstrip.logging import get_logger
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import StableVideoDiffusionPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.pipeline.denoise import Callback, Step, StepCallbacks, callback_names, denoise
from filmstrip.pipeline.guiders import ClassifierFreeGuidance, linear_guidance
from filmstrip.svd.limits import SIZE_MULTIPLE, untrained_settings
from filmstrip.svd.pipelines import check_inputs as inputs
from filmstrip.svd.pipelines.decode import decode_latents
from filmstrip.svd.pipelines.images import clip_input, to_images, vae_input
from filmstrip.svd.pipelines.predictor import UNetPredictor

logger = get_logger(__name__)


class StableVideoDiffusionPipeline(DiffusionPipeline):
    """Makes videos that start from a picture.

    A scheduler whose config the model cannot work with is warned of, here and in a call.

    Args:
        vae: an `AutoencoderKLTemporalDecoder`.
        image_encoder: a `CLIPVisionModelWithProjection` of transformers.
        unet: a `UNetSpatioTemporalConditionModel`, plain or compiled.
        scheduler: an `EulerDiscreteScheduler` with v-prediction and continuous timesteps.
        feature_extractor: the `CLIPImageProcessor` of that CLIP.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents",)

    def __init__(
        self, vae: Any, image_encoder: Any, unet: Any, scheduler: Any, feature_extractor: Any
    ) -> None:
        super().__init__()
        self.vae, self.image_encoder, self.unet = vae, image_encoder, unet
        self.scheduler, self.feature_extractor = scheduler, feature_extractor
        self.vae_scale_factor = (
            2 ** (len(vae.config.block_out_channels) - 1) if vae is not None else 8
        )
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_scale_factor)
        self._guidance_scale: float | torch.Tensor = 1.0
        self._checked_scheduler: Any = None
        self._check_scheduler()

    @property
    def guidance_scale(self) -> float | torch.Tensor:
        """Of the call that runs, `(B, T, 1, 1, 1)`; a callback may set `_guidance_scale`, to a
        number too.
        """
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the answer without a picture has a say at this step."""
        return ClassifierFreeGuidance(self._guidance_scale).enabled

    @torch.no_grad()
    def encode_image(self, image: Any, num_videos_per_prompt: int = 1) -> torch.Tensor:
        """CLIP's embeddings of pictures, a row for each video, picture by picture: `(B, 1, C)`."""
        pictures = clip_input(to_images(image), self.image_encoder.config.image_size)
        pixels = self.feature_extractor(
            images=pictures,
            do_normalize=True,
            do_center_crop=False,
            do_resize=False,
            do_rescale=False,
            return_tensors="pt",
        ).pixel_values
        embeds = self.image_encoder(
            pixels.to(self._execution_device, self.image_encoder.dtype)
        ).image_embeds
        return embeds.repeat_interleave(num_videos_per_prompt, dim=0)[:, None]

    @torch.no_grad()
    def encode_picture(
        self,
        image: Any,
        height: int,
        width: int,
        noise_aug_strength: float = 0.02,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
    ) -> torch.Tensor:
        """Latents of noised pictures, `(B, C, h, w)`, a row for each video, picture by picture.

        The noise is drawn for each picture; from a list of generators for each video, so that it is
        the video that its generator gives alone. A VAE in float16 that asks for it (`force_upcast`)
        encodes in float32.
        """
        device, each = self._execution_device, num_videos_per_prompt
        pixels = vae_input(to_images(image), self.video_processor, height, width).to(device)
        if each > 1 and isinstance(generator, list) and len(generator) > 1:
            pixels, each = pixels.repeat_interleave(each, dim=0), 1
        noised = pixels + noise_aug_strength * randn(pixels.shape, generator, device, pixels.dtype)
        upcast = self.vae.dtype == torch.float16 and self.vae.config.force_upcast
        try:
            self.vae.to(dtype=torch.float32 if upcast else self.vae.dtype)
            latents = self.vae.encode(noised.to(self.vae.dtype)).latent_dist.mode()
        finally:
            self.vae.to(dtype=torch.float16 if upcast else self.vae.dtype)
        return latents.repeat_interleave(each, dim=0)

    def prepare_latents(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        generator: Generators,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The noise that the walk starts from, `(B, T, C, h, w)` at the scheduler's first level,
        drawn in `dtype`.
        """
        device = self._execution_device
        latents = randn(shape, generator, device, dtype) if latents is None else latents.to(device)
        return latents.float() * self.scheduler.init_noise_sigma

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        height: int = 576,
        width: int = 1024,
        num_frames: int | None = None,
        num_inference_steps: int = 25,
        sigmas: list[float] | None = None,
        min_guidance_scale: float = 1.0,
        max_guidance_scale: float = 3.0,
        fps: int = 7,
        motion_bucket_id: int = 127,
        noise_aug_strength: float = 0.02,
        decode_chunk_size: int | None = None,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (diffusers' signature; only read)
        return_dict: bool = True,
    ) -> Any:
        """Make videos.

        Args:
            image: the picture, or a list or batch of them, of any size: see
                `filmstrip.svd.pipelines.images.to_images`.
            height, width: in pixels, multiples of 8, 64 is better; 0 or `None` is what the model
                was trained for.
            num_frames: what the model was trained for by default, 14 or 25.
            num_inference_steps: steps of the walk.
            sigmas: noise levels, falling, instead of the scheduler's own.
            min_guidance_scale, max_guidance_scale: guidance of the first and the last frame, evenly
                between them; if none is above 1 there is no guidance.
            fps: frames per second that the motion is meant for. The model is told one less, as it
                was trained.
            motion_bucket_id: how much shall move, 0 to 255.
            noise_aug_strength: noise on the picture that the VAE sees; more noise, more freedom.
            decode_chunk_size: frames that are decoded at a time, of one video; all by default.
            num_videos_per_prompt: videos of each picture; they come one picture after the other.
            generator: of the noise; a list has one for each video.
            latents: the noise itself, `(B, T, C, h, w)`, with deviation 1.
            output_type: "pil", "np", "pt", or "latent" for the latents.
            callback_on_step_end: called after each step as `callback(pipeline, index, timestep,
                tensors)`; what it returns under "latents" is gone on with.
            callback_on_step_end_tensor_inputs: names of the tensors that it is handed.
            return_dict: return the output class rather than the frames themselves.

        Returns:
            Videos: lists of PIL images, an array `(B, T, H, W, C)` or a tensor `(B, T, C, H, W)` in
                [0, 1]; or latents.

        Raises:
            InputError: an argument that cannot be used, before any work.
        """
        names = callback_names(
            callback_on_step_end, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs
        )
        self._require("vae", "image_encoder", "unet", "scheduler", "feature_extractor")
        self._check_scheduler()
        inputs.check_models(self.unet, self.vae, self.image_encoder)
        config, ratio = self.unet.config, self.vae_scale_factor
        height, width = height or config.sample_size * ratio, width or config.sample_size * ratio
        num_frames = config.num_frames if num_frames is None else num_frames
        checks.check_multiple(height, width, SIZE_MULTIPLE)
        checks.check_count(num_frames, "num_frames")
        micro = {
            "fps": fps,
            "motion_bucket_id": motion_bucket_id,
            "noise_aug_strength": noise_aug_strength,
        }
        guidance = {
            "min_guidance_scale": min_guidance_scale,
            "max_guidance_scale": max_guidance_scale,
        }
        checks.check_numbers(micro | guidance)
        inputs.warn_of_guidance(**guidance)
        for sentence in untrained_settings(num_frames, config.num_frames, fps, motion_bucket_id):
            logger.warning(sentence)
        checks.check_schedule(num_inference_steps, sigmas, "sigmas")
        checks.check_output_type(output_type)
        checks.check_count(num_videos_per_prompt, "num_videos_per_prompt")
        checks.check_count(decode_chunk_size or num_frames, "decode_chunk_size")
        images = to_images(image)
        videos = len(images) * num_videos_per_prompt
        shape = (videos, num_frames, config.in_channels // 2, height // ratio, width // ratio)
        checks.check_generators(generator, videos)
        checks.check_shape(latents, shape)
        self._guidance_scale = linear_guidance(
            min_guidance_scale, max_guidance_scale, num_frames, videos
        )
        self._interrupt = False
        levels = (
            {"num_inference_steps": num_inference_steps} if sigmas is None else {"sigmas": sigmas}
        )
        schedule = self._schedule(**levels)

        with self.progress.stage("encode image"):
            embeds = self.encode_image(images, num_videos_per_prompt)
            picture = self.encode_picture(
                images, height, width, noise_aug_strength, num_videos_per_prompt, generator
            )
        latents = self.prepare_latents(shape, embeds.dtype, generator, latents)
        ids = torch.tensor([[fps - 1, motion_bucket_id, noise_aug_strength]] * videos).to(embeds)
        predict = UNetPredictor(self.unet, self.scheduler, embeds, picture.to(embeds), ids)
        with self.progress.stage("denoise", len(schedule)) as advance:
            watch = StepCallbacks(self, {}, callback_on_step_end, names, advance)
            latents = denoise(
                latents, watch.steps(schedule), predict, self._guidance, self._advance, watch
            )
        frames = (
            latents
            if output_type == "latent"
            else self.decode(latents, decode_chunk_size, output_type)
        )
        return StableVideoDiffusionPipelineOutput(frames) if return_dict else frames

    @torch.no_grad()
    def decode(
        self, latents: torch.Tensor, decode_chunk_size: int | None = None, output_type: str = "pil"
    ) -> Any:
        """Decode latents `(B, T, C, h, w)`, such as a call gives with `output_type="latent"`, to
        frames.

        If it fails, the latents are in `pipe.latents`, so that nothing that was sampled is lost.
        """
        again = "pipe.decode(pipe.latents, decode_chunk_size=1)"
        with (
            self._keeping(latents, f"pipe.vae.enable_tiling() and then {again}"),
            self.progress.stage("decode"),
        ):
            video = decode_latents(self.vae, latents, decode_chunk_size or latents.shape[1])
            return self.video_processor.postprocess_video(video, output_type)

    def _check_scheduler(self) -> None:
        """Warn once of a scheduler that does not suit the model."""
        if self.scheduler is not None and self.scheduler is not self._checked_scheduler:
            inputs.warn_of_scheduler(self.scheduler)
        self._checked_scheduler = self.scheduler

    def _guidance(self, step: Step) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(self._guidance_scale)
