"""LTX pipelines with diffusers' calls: from text, from a picture, from pictures and clips."""

from functools import partial
from typing import Any, ClassVar

import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import LatentShape, pack, unpack
from filmstrip.ltx.pipelines.base import LTXBase
from filmstrip.ltx.pipelines.check_inputs import CallInputs, SamplingOptions, check_tokens
from filmstrip.ltx.pipelines.conditions import (
    LTXVideoCondition,
    apply_conditioning,
    find_overlaps,
    list_conditions,
    overlap_problem,
    preprocess_condition,
)
from filmstrip.ltx.pipelines.decode import DecodeOptions, PerVideo
from filmstrip.ltx.pipelines.encode import encode_each, encode_pixels
from filmstrip.ltx.pipelines.prompts import PromptEmbeds, PromptInputs
from filmstrip.ltx.pipelines.steppers import FirstFrameStepper, MaskedStepper
from filmstrip.ltx.schedules import linear_quadratic_schedule
from filmstrip.ltx.video_shape import VideoShape
from filmstrip.nn.noise import Generators
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.step_callbacks import CallbackFunction, StepCallback
from filmstrip.pipeline.steppers import EulerStepper

logger = get_logger(__name__)


class LTXPipeline(LTXBase):
    """Makes videos from text. Its components are those of `LTXBase`."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int = 512,
        width: int = 704,
        num_frames: int = 161,
        frame_rate: int = 25,
        num_inference_steps: int = 50,
        timesteps: list[float] | None = None,
        guidance_scale: float = 3,
        guidance_rescale: float = 0.0,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        decode_timestep: PerVideo = 0.0,
        decode_noise_scale: PerVideo | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: CallbackFunction | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (only read)
        max_sequence_length: int = 128,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos.

        Args:
            prompt, negative_prompt: a text or a list of texts.
            height, width: in pixels, multiples of 32.
            num_frames: 8 k + 1; another number is rounded down to that, with a warning.
            frame_rate: frames per second that the motion is meant for.
            num_inference_steps: denoising steps.
            timesteps: the model's input at each step, in (0, 1000], falling, instead of those of
                the scheduler.
            guidance_scale: of classifier-free guidance; 1 or less switches it off.
            guidance_rescale: weight of the rescaled prediction (`rescale_noise_cfg`), 0 to 1.
            num_videos_per_prompt: videos of each prompt; those of a prompt are consecutive.
            generator: of the noise; a list has one for each video.
            latents: tokens `(B, N, C)` to use as the noise instead of drawing it.
            prompt_embeds, negative_prompt_embeds: prompts that `encode_prompt` embedded,
                `(B, L, C)`, with `prompt_attention_mask` and `negative_prompt_attention_mask`,
                `(B, L)`.
            decode_timestep: the noise level for a timestep-conditioned decoder, 0 to 1; a number,
                or one for each prompt or video.
            decode_noise_scale: weight of the noise mixed into the latents before decoding; by
                default `decode_timestep`.
            output_type: "pil", "np", "pt", or "latent" for the tokens.
            return_dict: return the output class rather than a tuple of one.
            attention_kwargs: passed to the transformer.
            callback_on_step_end: called after each step as `callback(pipeline, step_index,
                timestep, tensors)`. Tensors that it returns under "latents" and "prompt_embeds"
                (`[negative; positive]` under guidance) replace those of the call.
            callback_on_step_end_tensor_inputs: names of the tensors that it gets.
            max_sequence_length: tokens that a prompt is padded or cut to.

        Returns:
            Videos: lists of PIL images, an array `(B, T, H, W, C)` or a tensor `(B, T, C, H, W)`
            in [0, 1]; or tokens.

        Raises:
            InputError: an argument that cannot be used, before any computation.
        """
        embeds = PromptEmbeds(
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )
        inputs = CallInputs(
            PromptInputs(
                prompt, negative_prompt, embeds, num_videos_per_prompt, max_sequence_length
            ),
            VideoShape(height, width, num_frames, frame_rate),
            SamplingOptions(
                num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
            ),
            DecodeOptions(decode_timestep, decode_noise_scale, generator, output_type),
            StepCallback(callback_on_step_end, callback_on_step_end_tensor_inputs),
        )
        num_videos, shape = self._start_call(inputs)
        check_tokens(latents, num_videos, shape.num_tokens)

        prompts = self._encode_prompts(inputs.prompts)
        if latents is None:
            latents = pack(self._initial_noise(num_videos, shape, generator))
        schedule = self.set_timesteps(num_inference_steps, shape.num_tokens, timesteps)
        positions = self._token_positions(frame_rate, False, shape)
        stepper = EulerStepper(self._scheduler_step)
        tokens = self._denoise(latents, schedule, prompts, stepper, positions, inputs.callback)
        return self._make_output(tokens, inputs, return_dict)


class LTXImageToVideoPipeline(LTXBase):
    """Makes videos that begin with a picture. Its components are those of `LTXBase`."""

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int = 512,
        width: int = 704,
        num_frames: int = 161,
        frame_rate: int = 25,
        num_inference_steps: int = 50,
        timesteps: list[float] | None = None,
        guidance_scale: float = 3,
        guidance_rescale: float = 0.0,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        decode_timestep: PerVideo = 0.0,
        decode_noise_scale: PerVideo | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: CallbackFunction | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (only read)
        max_sequence_length: int = 128,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos that begin with a picture.

        Args:
            image: a picture, or a list, array or tensor of them, one for all videos or one for
                each prompt or video; it is stretched to the size of the video.
            latents: tokens `(B, N, C)`, those of the first latent frame without noise, instead of
                `image`.
            generator: of the draw from the picture's posterior and the noise; a list has one for
                each video.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        embeds = PromptEmbeds(
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )
        inputs = CallInputs(
            PromptInputs(
                prompt, negative_prompt, embeds, num_videos_per_prompt, max_sequence_length
            ),
            VideoShape(height, width, num_frames, frame_rate),
            SamplingOptions(
                num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
            ),
            DecodeOptions(decode_timestep, decode_noise_scale, generator, output_type),
            StepCallback(callback_on_step_end, callback_on_step_end_tensor_inputs),
        )
        num_videos, shape = self._start_call(inputs)
        check_tokens(latents, num_videos, shape.num_tokens)
        first_frame = torch.empty(0)
        if latents is None:
            first_frame = self._first_frame(image, inputs.shape, num_videos)

        prompts = self._encode_prompts(inputs.prompts)
        if latents is None:
            latents = self._initial_latents(first_frame, num_videos, shape, generator)
        schedule = self.set_timesteps(num_inference_steps, shape.num_tokens, timesteps)
        positions = self._token_positions(frame_rate, False, shape)
        stepper = FirstFrameStepper(self._scheduler_step, shape)
        tokens = self._denoise(latents, schedule, prompts, stepper, positions, inputs.callback)
        return self._make_output(tokens, inputs, return_dict)

    def _first_frame(self, image: Any, shape: VideoShape, num_videos: int) -> torch.Tensor:
        """The picture's pixels, `(R, 3, 1, H, W)` in [-1, 1]."""
        if image is None:
            raise InputError(
                "Neither image nor latents was given; give the picture that the video begins with."
            )
        self._require("vae")
        condition = preprocess_condition(
            LTXVideoCondition(image),
            self.video_processor,
            shape,
            self.vae_temporal_compression_ratio,
            num_videos,
        )
        return condition.pixels

    def _initial_latents(
        self,
        pixels: torch.Tensor,
        num_videos: int,
        shape: LatentShape,
        generator: Generators,
    ) -> torch.Tensor:
        """Tokens `(B, N, C)`: the picture's latents in the first frame, noise in the others."""
        device = self._execution_device
        with self.progress.stage("encode picture"):
            first = encode_each(self.vae, pixels, generator, num_videos, device)
        noise = self._initial_noise(num_videos, shape, generator)
        return pack(torch.cat([first, noise[:, :, 1:]], dim=2))


class LTXConditionPipeline(LTXBase):
    """Makes videos that show pictures and clips at some frames.

    Its components are those of `LTXBase`.
    """

    _max_sequence_length: ClassVar[int] = 256
    _masks_padding: ClassVar[bool] = True

    def set_timesteps(
        self, num_inference_steps: int, num_tokens: int, timesteps: list[float] | None
    ) -> torch.Tensor:
        """Set the linear-quadratic schedule.

        A scheduler with a dynamic shift, as that of 0.9.0 and 0.9.1, uses its default sigmas
        instead; if `timesteps` are given, its sigmas are set to agree with them. The arguments are
        those of `LTXBase.set_timesteps`.

        Returns:
            The timesteps of the schedule, `(num_steps,)`.
        """
        is_dynamic = self.scheduler.config.use_dynamic_shifting
        if timesteps is None and not is_dynamic:
            sigmas = linear_quadratic_schedule(num_inference_steps)
            return self._set_timesteps(num_tokens, sigmas=sigmas, timesteps=sigmas * 1000)
        schedule = super().set_timesteps(num_inference_steps, num_tokens, timesteps)
        if timesteps is not None and is_dynamic:
            self.scheduler.sigmas = torch.cat([schedule / 1000, schedule.new_zeros(1)])
        return schedule

    @torch.no_grad()
    def __call__(
        self,
        conditions: LTXVideoCondition | list[LTXVideoCondition] | None = None,
        image: Any = None,
        video: Any = None,
        frame_index: int | list[int] = 0,
        strength: float | list[float] = 1.0,
        denoise_strength: float = 1.0,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int = 512,
        width: int = 704,
        num_frames: int = 161,
        frame_rate: int = 25,
        num_inference_steps: int = 50,
        timesteps: list[float] | None = None,
        guidance_scale: float = 3,
        guidance_rescale: float = 0.0,
        image_cond_noise_scale: float = 0.15,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        decode_timestep: PerVideo = 0.0,
        decode_noise_scale: PerVideo | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: CallbackFunction | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (only read)
        max_sequence_length: int = 256,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos that show pictures and clips at some frames.

        Args:
            conditions: pictures and clips, each with its frame and strength.
            image, video, frame_index, strength: the values of one condition, or lists of them,
                instead of `conditions`.
            denoise_strength: fraction of the steps that are taken, 0 to 1. Below 1 the first step
                starts from `latents` with noise mixed in.
            image_cond_noise_scale: scale, at timestep 1000, of the noise that fully conditioned
                frames get before each step.
            generator: of all draws; a list has one for each video.
            latents: `(B, C, t, h, w)`, such as a call returns with `output_type="latent"`; used if
                `denoise_strength` is below 1.
            output_type: "pil", "np", "pt", or "latent" for latents `(B, C, t, h, w)`.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        condition_list = list_conditions(conditions, image, video, frame_index, strength)
        embeds = PromptEmbeds(
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )
        inputs = CallInputs(
            PromptInputs(
                prompt, negative_prompt, embeds, num_videos_per_prompt, max_sequence_length
            ),
            VideoShape(height, width, num_frames, frame_rate),
            SamplingOptions(
                num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
            ),
            DecodeOptions(decode_timestep, decode_noise_scale, generator, output_type),
            StepCallback(callback_on_step_end, callback_on_step_end_tensor_inputs),
        )
        num_videos, shape = self._start_call(inputs)
        latents = self._check_latents(latents, denoise_strength, num_videos, shape)
        checks.check_numbers({"image_cond_noise_scale": image_cond_noise_scale})
        pixels = self._preprocess_conditions(condition_list, inputs.shape, num_videos)

        prompts = self._encode_prompts(inputs.prompts)
        schedule = self.set_timesteps(num_inference_steps, shape.num_tokens, timesteps)
        first_step = len(schedule) - int(len(schedule) * denoise_strength)
        schedule = schedule[first_step:]
        self.num_timesteps = len(schedule)
        initial = self._initial_noise(num_videos, shape, generator)
        if latents is not None:
            sigma = float(self.scheduler.host_sigmas[first_step])
            initial = sigma * initial + (1 - sigma) * latents.to(initial)
        with self.progress.stage("encode conditions"):
            conditioned = apply_conditioning(
                initial,
                pixels,
                encode=partial(
                    encode_pixels, self.vae, generator=generator, device=self._execution_device
                ),
                positions=partial(self._token_positions, frame_rate, True),
                temporal_compression_ratio=self.vae_temporal_compression_ratio,
                generator=generator,
            )
        stepper = MaskedStepper(
            euler_step=self._token_euler_step,
            conditioned=conditioned.tokens,
            strength=conditioned.strength,
            noise_scale=image_cond_noise_scale if condition_list else 0.0,
            generator=generator,
        )
        positions = conditioned.positions
        tokens = self._denoise(
            conditioned.tokens, schedule, prompts, stepper, positions, inputs.callback
        )
        video_latents = unpack(tokens[:, conditioned.num_extra_tokens :], shape)
        return self._make_output(video_latents, inputs, return_dict)

    def _preprocess_conditions(
        self, conditions: list[LTXVideoCondition], shape: VideoShape, num_videos: int
    ) -> list[Any]:
        """The pixels of the conditions; warns of conditions that overlap."""
        if conditions:
            self._require("vae")
        pixels = [
            preprocess_condition(
                condition,
                self.video_processor,
                shape,
                self.vae_temporal_compression_ratio,
                num_videos,
            )
            for condition in conditions
        ]
        spans = [(item.frame_index, item.pixels.shape[2]) for item in pixels]
        for frame in find_overlaps(spans):
            logger.warning(overlap_problem(frame))
        return pixels

    def _token_euler_step(
        self,
        latents: torch.Tensor,
        velocity: torch.Tensor,
        timesteps: torch.Tensor,
        step: Step,
    ) -> torch.Tensor:
        # With a timestep for each token, the scheduler takes the negative velocity.
        return self._scheduler_step(latents, -velocity, step, per_token_timesteps=timesteps)

    def _check_latents(
        self,
        latents: torch.Tensor | None,
        denoise_strength: float,
        num_videos: int,
        shape: LatentShape,
    ) -> torch.Tensor | None:
        """The latents that the first step starts from, or `None` if it starts from noise."""
        checks.check_fraction(denoise_strength, "denoise_strength")
        if latents is not None and denoise_strength == 1:
            logger.warning("latents are not used where denoise_strength is 1; give a smaller one.")
            return None
        if latents is None and denoise_strength < 1:
            logger.warning(
                "denoise_strength is %g and there are no latents: sampling starts from noise at a "
                "later step.",
                denoise_strength,
            )
        if latents is None:
            return None
        checks.check_shape(latents, tuple(self._latent_size(num_videos, shape)))
        return latents
