"""LTX-Video with diffusers' calls: from texts, from a picture, and from pictures and clips at any
frame.
"""

from functools import partial
from typing import Any, ClassVar

import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import LatentSize, pack, unpack
from filmstrip.ltx.pipelines import conditions as held
from filmstrip.ltx.pipelines.base import LTXBase
from filmstrip.ltx.pipelines.check_inputs import SamplingOptions, Texts, VideoShape, check_tokens
from filmstrip.ltx.pipelines.conditions import LTXVideoCondition
from filmstrip.ltx.pipelines.encode_decode import Decoding, PerVideo, encode_pixels, encode_videos
from filmstrip.ltx.pipelines.steppers import EulerStepper, FirstFrameStepper, MaskedStepper
from filmstrip.ltx.schedules import linear_quadratic_schedule
from filmstrip.nn.noise import Generators
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.denoise import Callback, Step

logger = get_logger(__name__)


class LTXPipeline(LTXBase):
    """Makes videos from texts. Its components are those of `LTXBase`."""

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
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (diffusers' signature; only read)
        max_sequence_length: int = 128,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos.

        Args:
            prompt, negative_prompt: a text or a list of texts.
            height, width: in pixels, multiples of 32.
            num_frames: 8 k + 1; another number is rounded down to that, with a warning.
            frame_rate: frames per second that the motion is meant for.
            num_inference_steps: steps of the walk.
            timesteps: what the model is told at each step, in (0, 1000], falling, instead of the
                scheduler's own.
            guidance_scale: above 1, how far to go from the negative towards the positive prompt.
            guidance_rescale: how much of the guided prediction's deviation is set back, 0 to 1.
            num_videos_per_prompt: videos of each prompt; they come one prompt after the other.
            generator: of the noise; a list has one for each video.
            latents: the noise itself, tokens `(B, N, C)`.
            prompt_embeds, negative_prompt_embeds: texts that `encode_prompt` embedded, `(B, L, C)`,
                with `prompt_attention_mask` and `negative_prompt_attention_mask`, `(B, L)`.
            decode_timestep: in [0, 1], how noisy a timestep-conditioned decoder shall think its
                latents; a number, or one for each prompt or video.
            decode_noise_scale: how much noise is mixed in for it; as much as `decode_timestep` says
                by default.
            output_type: "pil", "np", "pt", or "latent" for the tokens.
            return_dict: return the output class rather than a tuple of one.
            attention_kwargs: handed to the transformer.
            callback_on_step_end: called after each step as `callback(pipeline, index, timestep,
                tensors)`; what it returns under "latents" and "prompt_embeds" (`[negative;
                positive]` under guidance) is gone on with.
            callback_on_step_end_tensor_inputs: names of the tensors that it is handed.
            max_sequence_length: tokens that a prompt is padded or cut to.

        Returns:
            Videos: lists of PIL images, an array `(B, T, H, W, C)` or a tensor `(B, T, C, H, W)` in
                [0, 1]; or tokens.

        Raises:
            InputError: an argument that cannot be used, before any work.
        """
        embeds, masks = (
            (prompt_embeds, negative_prompt_embeds),
            (prompt_attention_mask, negative_prompt_attention_mask),
        )
        texts = Texts(
            prompt, negative_prompt, (*embeds, *masks), num_videos_per_prompt, max_sequence_length
        )
        clip = VideoShape(height, width, num_frames, frame_rate)
        options = SamplingOptions(
            num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
        )
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        watching = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        videos, size = self._begin(texts, clip, options, decoding, watching)
        check_tokens(latents, videos, size.elements)

        encoded = self._encode_texts(texts, videos)
        if latents is None:
            latents = pack(self._noise(videos, size, generator))
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        where = self._positions(frame_rate, False, size)
        tokens = self._denoise(
            latents, schedule, encoded, EulerStepper(self._advance), where, watching
        )
        return self._finish(tokens, clip, decoding, encoded, return_dict)


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
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (diffusers' signature; only read)
        max_sequence_length: int = 128,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos whose first frame is given.

        Args:
            image: a picture, or a list, array or tensor of them, one for all videos or one for each
                prompt or video; it is stretched to the size of the video.
            latents: tokens `(B, N, C)`, those of the first latent frame clean; then `image` is not
                looked at.
            generator: of the picture's draw and the noise; a list has one for each video.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        embeds, masks = (
            (prompt_embeds, negative_prompt_embeds),
            (prompt_attention_mask, negative_prompt_attention_mask),
        )
        texts = Texts(
            prompt, negative_prompt, (*embeds, *masks), num_videos_per_prompt, max_sequence_length
        )
        clip = VideoShape(height, width, num_frames, frame_rate)
        options = SamplingOptions(
            num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
        )
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        watching = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        videos, size = self._begin(texts, clip, options, decoding, watching)
        check_tokens(latents, videos, size.elements)
        if latents is None:
            if image is None:
                raise InputError(
                    "Neither image nor latents was given; give the picture that the video begins "
                    "with."
                )
            self._require("vae")
            ratio = self.vae_temporal_compression_ratio
            first = held.load_condition(
                LTXVideoCondition(image), self.video_processor, clip, ratio, videos
            )

        encoded = self._encode_texts(texts, videos)
        if latents is None:
            with self.progress.stage("encode picture"):
                still = encode_videos(self.vae, first.pixels, generator, videos)
            noise = self._noise(videos, size, generator)
            latents = pack(torch.cat([still, noise[:, :, 1:]], dim=2))
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        where = self._positions(frame_rate, False, size)
        walk = FirstFrameStepper(self._advance, size)
        tokens = self._denoise(latents, schedule, encoded, walk, where, watching)
        return self._finish(tokens, clip, decoding, encoded, return_dict)


class LTXConditionPipeline(LTXBase):
    """Makes videos that pictures and clips hold at some frames. Its components are those of
    `LTXBase`.
    """

    _max_sequence_length: ClassVar[int] = 256
    _masks_padding: ClassVar[bool] = True

    def set_timesteps(self, steps: int, tokens: int, timesteps: list[float] | None) -> torch.Tensor:
        """As for the other pipelines, but linear-quadratic; returns the timesteps, `(steps,)`.

        A scheduler that shifts by the number of tokens, as that of 0.9.0 and 0.9.1, has its own
        levels; and levels that agree with timesteps that are given.
        """
        dynamic = self.scheduler.config.use_dynamic_shifting
        if timesteps is None and not dynamic:
            sigmas = linear_quadratic_schedule(steps)
            return self._install_schedule(tokens, sigmas=sigmas, timesteps=sigmas * 1000)
        schedule = super().set_timesteps(steps, tokens, timesteps)
        if timesteps is not None and dynamic:
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
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006  (diffusers' signature; only read)
        max_sequence_length: int = 256,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos.

        Args:
            conditions: pictures and clips, each with its frame and strength.
            image, video, frame_index, strength: conditions in another way: one, or lists.
            denoise_strength: from 0 to 1, the share of the steps that are walked. Below 1 the walk
                starts from `latents` with noise mixed in.
            image_cond_noise_scale: of the noise that wholly held frames get before each step, at
                timestep 1000.
            generator: of all draws; a list has one for each video.
            latents: `(B, C, t, h, w)`, such as a call gives with `output_type="latent"`; for
                `denoise_strength`.
            output_type: "pil", "np", "pt", or "latent" for latents `(B, C, t, h, w)`.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        items = held.list_conditions(conditions, image, video, frame_index, strength)
        embeds, masks = (
            (prompt_embeds, negative_prompt_embeds),
            (prompt_attention_mask, negative_prompt_attention_mask),
        )
        texts = Texts(
            prompt, negative_prompt, (*embeds, *masks), num_videos_per_prompt, max_sequence_length
        )
        clip = VideoShape(height, width, num_frames, frame_rate)
        options = SamplingOptions(
            num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs
        )
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        watching = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        videos, size = self._begin(texts, clip, options, decoding, watching)
        given_latents = self._check_latents(latents, denoise_strength, videos, size)
        checks.check_numbers({"image_cond_noise_scale": image_cond_noise_scale})
        self._require(*(("vae",) if items else ()))
        ratio = self.vae_temporal_compression_ratio
        frames = [
            held.load_condition(item, self.video_processor, clip, ratio, videos) for item in items
        ]
        for doubt in held.overlaps((item.frame_index, item.pixels.shape[2]) for item in frames):
            logger.warning(doubt)

        encoded = self._encode_texts(texts, videos)
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        begin = len(schedule) - int(len(schedule) * denoise_strength)
        schedule, level = schedule[begin:], float(self.scheduler.host_sigmas[begin])
        self.num_timesteps = len(schedule)
        start = self._noise(videos, size, generator)
        if given_latents is not None:
            start = level * start + (1 - level) * given_latents.to(start)
        with self.progress.stage("encode conditions"):
            encode = partial(encode_pixels, self.vae, generator=generator)
            where = partial(self._positions, frame_rate, True)
            begun = held.apply_conditioning(start, frames, encode, where, ratio, generator)
        noise_scale = image_cond_noise_scale if items else 0.0
        walk = MaskedStepper(
            self._advance_each, begun.tokens, begun.strength, noise_scale, generator
        )
        tokens = self._denoise(begun.tokens, schedule, encoded, walk, begun.positions, watching)
        made = unpack(tokens[:, begun.own :], size)
        return self._finish(made, clip, decoding, encoded, return_dict)

    def _advance_each(
        self, latents: torch.Tensor, velocity: torch.Tensor, timesteps: torch.Tensor, step: Step
    ) -> torch.Tensor:
        # With a timestep for each token, the scheduler counts the velocity from noise to data.
        return self._advance(latents, -velocity, step, per_token_timesteps=timesteps)

    def _check_latents(
        self, latents: torch.Tensor | None, share: float, videos: int, size: LatentSize
    ) -> torch.Tensor | None:
        """The latents to start from, if a walk over this share of the steps, 0 to 1, starts from
        any.
        """
        checks.check_share(share, "denoise_strength")
        if latents is not None and share == 1:
            logger.warning("latents are not used where denoise_strength is 1; give a smaller one.")
        if latents is None and share < 1:
            logger.warning(
                "denoise_strength is %g and there are no latents: the walk starts late, from "
                "noise.",
                share,
            )
        if latents is None or share == 1:
            return None
        checks.check_shape(latents, self._latent_shape(videos, size))
        return latents
