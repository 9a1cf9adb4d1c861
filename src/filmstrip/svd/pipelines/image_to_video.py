"""The pipeline of Stable Video Diffusion: from a picture to a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from filmstrip.logging import get_logger
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import StableVideoDiffusionPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.pipeline.denoise import Step, denoise
from filmstrip.pipeline.guiders import ClassifierFreeGuidance, linear_guidance
from filmstrip.pipeline.step_callbacks import CallbackFunction, StepCallback, StepCallbacks
from filmstrip.pipeline.steppers import EulerStepper
from filmstrip.svd.limits import SIZE_MULTIPLE, untrained_settings
from filmstrip.svd.pipelines.check_inputs import (
    check_models,
    warn_of_guidance,
    warn_of_scheduler,
)
from filmstrip.svd.pipelines.decode import decode_latents
from filmstrip.svd.pipelines.images import clip_input, to_images, vae_input
from filmstrip.svd.pipelines.predictor import UNetPredictor

logger = get_logger(__name__)


@dataclass(frozen=True)
class MicroConditions:
    """The numbers that condition the model: frame rate, motion and noise on the picture."""

    fps: float  # frames per second that the motion is meant for
    motion_bucket_id: float  # amount of motion, 0 to 255
    noise_aug_strength: float  # scale of the noise on the picture that the VAE encodes

    def time_ids(self, num_videos: int, like: torch.Tensor) -> torch.Tensor:
        """The time ids that the UNet embeds, `(num_videos, 3)`; SVD was trained with fps - 1.

        Args:
            num_videos: rows of the result.
            like: a tensor with the device and dtype of the result.
        """
        row = [self.fps - 1, self.motion_bucket_id, self.noise_aug_strength]
        return torch.tensor([row] * num_videos).to(like)


class StableVideoDiffusionPipeline(DiffusionPipeline):
    """Makes videos that start from a picture.

    The constructor and calls warn of a scheduler whose config does not suit the model.

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
        self.vae = vae
        self.image_encoder = image_encoder
        self.unet = unet
        self.scheduler = scheduler
        self.feature_extractor = feature_extractor
        self.vae_scale_factor = 8
        if vae is not None:
            self.vae_scale_factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_scale_factor)
        self._guidance_scale: float | torch.Tensor = 1.0
        self._checked_scheduler: Any = None
        self._check_scheduler()

    @property
    def guidance_scale(self) -> float | torch.Tensor:
        """Of the running call, `(B, T, 1, 1, 1)`.

        A callback may set `_guidance_scale` to a tensor or a number.
        """
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether this step needs the negative branch, which has no picture."""
        return ClassifierFreeGuidance(self._guidance_scale).enabled

    @torch.no_grad()
    def encode_image(self, image: Any, num_videos_per_prompt: int = 1) -> torch.Tensor:
        """Embed pictures by CLIP.

        Args:
            image: one picture or several, see `filmstrip.svd.pipelines.images.to_images`.
            num_videos_per_prompt: rows for each picture, which are consecutive.

        Returns:
            `(B, 1, C)`, a row for each video.
        """
        pictures = clip_input(to_images(image), self.image_encoder.config.image_size)
        pixels = self.feature_extractor(
            images=pictures,
            do_normalize=True,
            do_center_crop=False,
            do_resize=False,
            do_rescale=False,
            return_tensors="pt",
        ).pixel_values
        pixels = pixels.to(self._execution_device, self.image_encoder.dtype)
        embeds = self.image_encoder(pixels).image_embeds
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
        """Encode pictures with noise on them.

        A generator draws noise for each picture; a list of generators draws it for each video, so
        that each video is the same as in a single run. A VAE in float16 whose config has
        `force_upcast` encodes in float32.

        Args:
            image: one picture or several, see `filmstrip.svd.pipelines.images.to_images`.
            height, width: of the video, in pixels.
            noise_aug_strength: scale of the noise.
            num_videos_per_prompt: rows for each picture, which are consecutive.
            generator: of the noise.

        Returns:
            Latents, not scaled, `(B, C, h, w)`, a row for each video.
        """
        device = self._execution_device
        num_copies = num_videos_per_prompt
        pixels = vae_input(to_images(image), self.video_processor, height, width).to(device)
        if num_copies > 1 and isinstance(generator, list) and len(generator) > 1:
            pixels = pixels.repeat_interleave(num_copies, dim=0)
            num_copies = 1
        noise = randn(pixels.shape, generator, device, pixels.dtype)
        noised = pixels + noise_aug_strength * noise
        compute_dtype = self.vae.dtype
        if compute_dtype == torch.float16 and self.vae.config.force_upcast:
            compute_dtype = torch.float32
        posterior = self.vae.encode(
            noised.to(compute_dtype), compute_dtype=compute_dtype
        ).latent_dist
        return posterior.mode().repeat_interleave(num_copies, dim=0)

    def prepare_latents(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        generator: Generators,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The latents before the first step, `(B, T, C, h, w)` at the scheduler's first sigma.

        Args:
            shape: `(B, T, C, h, w)`.
            dtype: of the drawn noise.
            latents: noise of deviation 1, instead of drawing it.
        """
        device = self._execution_device
        noise = randn(shape, generator, device, dtype) if latents is None else latents.to(device)
        return noise.float() * self.scheduler.init_noise_sigma

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
        callback_on_step_end: CallbackFunction | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (only read)
        return_dict: bool = True,
    ) -> Any:
        """Make videos.

        Args:
            image: the picture, or a list or batch of them, of any size: see
                `filmstrip.svd.pipelines.images.to_images`.
            height, width: in pixels, multiples of 8 or better 64; 0 or `None` is the trained size.
            num_frames: by default the trained number, 14 or 25.
            num_inference_steps: denoising steps.
            sigmas: noise levels, falling, instead of those of the scheduler.
            min_guidance_scale, max_guidance_scale: guidance of the first and the last frame,
                linear between them; if none is above 1 there is no guidance.
            fps: frames per second that the motion is meant for. The model gets one less, as in
                training.
            motion_bucket_id: amount of motion, 0 to 255.
            noise_aug_strength: scale of the noise on the picture that the VAE encodes; with more
                noise the video may differ more from the picture.
            decode_chunk_size: frames that are decoded at a time, of one video; all by default.
            num_videos_per_prompt: videos of each picture; those of a picture are consecutive.
            generator: of the noise; a list has one for each video.
            latents: noise `(B, T, C, h, w)` of deviation 1, instead of drawing it.
            output_type: "pil", "np", "pt", or "latent" for the latents.
            callback_on_step_end: called after each step as `callback(pipeline, step_index,
                timestep, tensors)`; latents that it returns under "latents" replace those of the
                call.
            callback_on_step_end_tensor_inputs: names of the tensors that it gets.
            return_dict: return the output class rather than the frames.

        Returns:
            Videos: lists of PIL images, an array `(B, T, H, W, C)` or a tensor `(B, T, C, H, W)`
            in [0, 1]; or latents.

        Raises:
            InputError: an argument that cannot be used, before any computation.
        """
        callback = StepCallback(callback_on_step_end, callback_on_step_end_tensor_inputs)
        callback.tensor_names(self._callback_tensor_inputs)
        self._check_components()
        height, width, num_frames = self._check_size(height, width, num_frames)
        micro_conditions = MicroConditions(fps, motion_bucket_id, noise_aug_strength)
        self._check_settings(micro_conditions, num_frames, min_guidance_scale, max_guidance_scale)
        checks.check_schedule(num_inference_steps, sigmas, "sigmas")
        checks.check_output_type(output_type)
        checks.check_count(num_videos_per_prompt, "num_videos_per_prompt")
        checks.check_count(decode_chunk_size or num_frames, "decode_chunk_size")
        images = to_images(image)
        num_videos = len(images) * num_videos_per_prompt
        shape = self._latent_size(num_videos, num_frames, height, width)
        checks.check_generators(generator, num_videos)
        checks.check_shape(latents, shape)

        self._guidance_scale = linear_guidance(
            min_guidance_scale, max_guidance_scale, num_frames, num_videos
        )
        self._interrupt = False
        if sigmas is None:
            schedule = self._set_schedule(num_inference_steps=num_inference_steps)
        else:
            schedule = self._set_schedule(sigmas=sigmas)
        with self.progress.stage("encode image"):
            embeds = self.encode_image(images, num_videos_per_prompt)
            image_latents = self.encode_picture(
                images, height, width, noise_aug_strength, num_videos_per_prompt, generator
            )
        latents = self.prepare_latents(shape, embeds.dtype, generator, latents)
        time_ids = micro_conditions.time_ids(num_videos, embeds)
        predictor = UNetPredictor(
            self.unet, self.scheduler, embeds, image_latents.to(embeds), time_ids
        )
        latents = self._denoise(latents, schedule, predictor, callback)
        frames: Any = latents
        if output_type != "latent":
            frames = self.decode(latents, decode_chunk_size, output_type)
        return StableVideoDiffusionPipelineOutput(frames) if return_dict else frames

    @torch.no_grad()
    def decode(
        self,
        latents: torch.Tensor,
        decode_chunk_size: int | None = None,
        output_type: str = "pil",
    ) -> Any:
        """Decode the output of a call with `output_type="latent"` to frames.

        If it fails, the latents are kept in `pipe.latents`.

        Args:
            latents: `(B, T, C, h, w)`.
            decode_chunk_size, output_type: as in a call.
        """
        call = "pipe.decode(pipe.latents, decode_chunk_size=1)"
        advice = f"pipe.vae.enable_tiling() and then {call}"
        with self._keep_latents(latents, advice), self.progress.stage("decode"):
            video = decode_latents(self.vae, latents, decode_chunk_size or latents.shape[1])
            return self.video_processor.postprocess_video(video, output_type)

    def _denoise(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        predictor: UNetPredictor,
        callback: StepCallback,
    ) -> torch.Tensor:
        """Denoise latents `(B, T, C, h, w)`."""
        with self.progress.stage("denoise", len(timesteps)) as advance:
            callbacks = StepCallbacks(self, advance, callback)
            return denoise(
                latents,
                callbacks.steps(timesteps),
                predictor,
                self._guider,
                EulerStepper(self._scheduler_step),
                callbacks,
            )

    def _check_components(self) -> None:
        """Raise an `InputError` if a component is missing or is not SVD's."""
        self._require("vae", "image_encoder", "unet", "scheduler", "feature_extractor")
        self._check_scheduler()
        check_models(self.unet, self.vae, self.image_encoder)

    def _check_scheduler(self) -> None:
        """Warn once of a scheduler that does not suit the model."""
        if self.scheduler is not None and self.scheduler is not self._checked_scheduler:
            warn_of_scheduler(self.scheduler)
        self._checked_scheduler = self.scheduler

    def _check_size(
        self, height: int | None, width: int | None, num_frames: int | None
    ) -> tuple[int, int, int]:
        """Height, width and number of frames of a call; by default those of the model."""
        config = self.unet.config
        height = height or config.sample_size * self.vae_scale_factor
        width = width or config.sample_size * self.vae_scale_factor
        num_frames = config.num_frames if num_frames is None else num_frames
        checks.check_multiple(height, width, SIZE_MULTIPLE)
        checks.check_count(num_frames, "num_frames")
        return height, width, num_frames

    def _check_settings(
        self,
        micro_conditions: MicroConditions,
        num_frames: int,
        min_guidance_scale: float,
        max_guidance_scale: float,
    ) -> None:
        """Refuse values that are not numbers; warn of those that the model was not trained for."""
        fps = micro_conditions.fps
        motion_bucket_id = micro_conditions.motion_bucket_id
        checks.check_numbers(
            {
                "fps": fps,
                "motion_bucket_id": motion_bucket_id,
                "noise_aug_strength": micro_conditions.noise_aug_strength,
                "min_guidance_scale": min_guidance_scale,
                "max_guidance_scale": max_guidance_scale,
            }
        )
        warn_of_guidance(min_guidance_scale, max_guidance_scale)
        trained_frames = self.unet.config.num_frames
        for problem in untrained_settings(num_frames, trained_frames, fps, motion_bucket_id):
            logger.warning(problem)

    def _latent_size(
        self, num_videos: int, num_frames: int, height: int, width: int
    ) -> tuple[int, ...]:
        ratio = self.vae_scale_factor
        channels = self.unet.config.in_channels // 2
        return (num_videos, num_frames, channels, height // ratio, width // ratio)

    def _guider(self, step: Step) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(self._guidance_scale)
