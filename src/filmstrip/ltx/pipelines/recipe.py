"""The LTX pipeline that samples as the authors do; presets use it.

Lightricks/LTX-Video, `pipeline_ltx_video.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import adain, denormalize, normalize, unpack
from filmstrip.ltx.pipelines.base import LTXBase
from filmstrip.ltx.pipelines.check_inputs import crop_frames, has_other_aspect_ratio
from filmstrip.ltx.pipelines.check_recipe import (
    ShapedPass,
    check_pass,
    check_upsampler_stride,
    shape_passes,
)
from filmstrip.ltx.pipelines.conditions import (
    ConditionedLatents,
    ConditioningPixels,
    LTXVideoCondition,
    apply_conditioning,
    check_conditions,
)
from filmstrip.ltx.pipelines.decode import DecodeRecipe, decode_by_recipe
from filmstrip.ltx.pipelines.encode import encode_pixels
from filmstrip.ltx.pipelines.preprocess import centre_size, cover, prepare_picture
from filmstrip.ltx.pipelines.prompts import PromptEmbeds, PromptInputs
from filmstrip.ltx.pipelines.resize import crop_video, pad_video, resize_video
from filmstrip.ltx.pipelines.steppers import MaskedStepper
from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.schedules import CheckpointInfo, RectifiedFlowSchedule
from filmstrip.ltx.video_shape import VideoShape, round_up_shape
from filmstrip.media.frames import Video, to_uint8_frames
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import SpatioTemporalGuidance
from filmstrip.schedulers.euler_steps import euler_step_per_token

logger = get_logger(__name__)


class LTXRecipePipeline(LTXBase):
    """Makes videos as the authors do, with a `Recipe`.

    Args:
        vae, text_encoder, tokenizer, transformer: as in `LTXPipeline`.
        latent_upsampler: an `LTXLatentUpsamplerModel`, for recipes of two passes.
        scheduler: only its config is used, for the schedule of a checkpoint in diffusers' layout.

    Attributes:
        recipe, default_shape, default_negative_prompt: defaults of the arguments of a call.
        info: how the checkpoint is sampled.
    """

    _optional_components = ("latent_upsampler", "scheduler")
    _max_sequence_length = 256
    _masks_padding = True

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        transformer: Any,
        latent_upsampler: Any = None,
        scheduler: Any = None,
    ) -> None:
        super().__init__(scheduler, vae, text_encoder, tokenizer, transformer)
        self.latent_upsampler = latent_upsampler
        if scheduler is not None:
            sampling = RectifiedFlowSchedule.from_scheduler_config(scheduler.config)
            self.info = CheckpointInfo(sampling)
        self.recipe = Recipe()
        self.default_shape = VideoShape(704, 1216, 121, 30)
        self.default_negative_prompt = ""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        frame_rate: float | None = None,
        conditions: Sequence[LTXVideoCondition | ConditioningPixels] = (),
        reference_video: Video | None = None,
        latents: torch.Tensor | None = None,
        generator: Generators = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        recipe: Recipe | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos.

        Args:
            negative_prompt, height, width, num_frames, frame_rate, recipe: by default those of the
                pipeline. Any size is possible: the model makes the next larger size that it can,
                which is cropped.
            conditions: pictures and clips that the video shows, cropped to its aspect ratio; they
                must not overlap.
            reference_video: frames of depth, poses or edges that an adapter was trained to follow.
            latents: normalised latents `(B, C, t, h, w)` to start from; noise of the first timestep
                is added.
            generator: of the initial noise; a list has one for each video. Other noise is drawn
                from the global generator.
            output_type: "pil", "np", "pt", or "latent" for normalised latents.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        recipe = self.recipe if recipe is None else recipe
        shape = self.shape_of(height, width, num_frames, frame_rate)
        model_shape = round_up_shape(shape, self.vae_temporal_compression_ratio)
        if negative_prompt is None:
            negative_prompt = self.default_negative_prompt
        embeds = PromptEmbeds(
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )
        inputs = PromptInputs(
            prompt, negative_prompt, embeds, max_sequence_length=self._max_sequence_length
        )
        num_videos = inputs.count_videos()
        checks.check_positive(shape.frame_rate, "frame_rate")
        checks.check_output_type(output_type)
        checks.check_generators(generator, num_videos)
        self._require_for(recipe, inputs)
        self._check_recipe(recipe, model_shape, latents, num_videos)
        pixels = self._preprocess_conditions(conditions, shape, model_shape)
        if reference_video is not None:
            pixels.insert(0, self.preprocess_reference(reference_video, shape, model_shape))

        self._interrupt = False
        self._guidance_scale = recipe.largest_scale  # decides whether negative prompts are encoded
        prompts = self._encode_prompts(inputs)
        latents = self.sample(recipe, model_shape, prompts, num_videos, pixels, latents, generator)
        frames: Any = latents
        if output_type != "latent":
            video = crop_video(self.decode_video(latents, model_shape, recipe), shape)
            frames = self.video_processor.postprocess_video(video, output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def shape_of(
        self,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        frame_rate: float | None = None,
    ) -> VideoShape:
        """The shape of the videos of a call; `None` is the pipeline's default."""
        default = self.default_shape
        return VideoShape(
            height=default.height if height is None else height,
            width=default.width if width is None else width,
            num_frames=default.num_frames if num_frames is None else num_frames,
            frame_rate=default.frame_rate if frame_rate is None else frame_rate,
        )

    @torch.no_grad()
    def sample(
        self,
        recipe: Recipe,
        shape: VideoShape,
        prompts: PromptEmbeds,
        num_videos: int,
        conditions: Sequence[ConditioningPixels] = (),
        latents: torch.Tensor | None = None,
        generator: Generators = None,
    ) -> torch.Tensor:
        """Sample with the passes of a recipe.

        Args:
            shape: of the videos, in a size that the model can make.
            prompts: a row for each video.
            num_videos: number of videos, B.
            conditions: in the size of the last pass.
            latents: normalised latents to start from, or `None` to start from noise.
            generator: of the initial noise.

        Returns:
            Normalised latents `(B, C, t, h, w)`.
        """
        self._guidance_scale = recipe.largest_scale
        first, *others = shape_passes(recipe, shape)
        denoise = partial(
            self._denoise_pass,
            recipe=recipe,
            prompts=prompts,
            num_videos=num_videos,
            conditions=conditions,
            generator=generator,
        )
        latents = denoise(first, latents=latents)
        for second in others:
            latents = denoise(second, latents=self._upsample(latents))
        return latents

    @torch.no_grad()
    def decode_video(
        self, latents: torch.Tensor, shape: VideoShape, recipe: Recipe | None = None
    ) -> torch.Tensor:
        """Decode normalised latents to a video in [-1, 1].

        Args:
            latents: `(B, C, t, h, w)`.
            shape: of the video.
            recipe: by default that of the pipeline.

        Returns:
            `(B, 3, T, H, W)`.
        """
        recipe = self.recipe if recipe is None else recipe
        decode_recipe = DecodeRecipe(
            recipe.decode_timestep, recipe.decode_noise, recipe.passes[-1].tone_map
        )
        advice = "pipe.vae.enable_tiling()"
        with self._keep_latents(latents, advice), self.progress.stage("decode"):
            video = decode_by_recipe(self.vae, latents, decode_recipe)
            if recipe.second is None:
                return video
            return resize_video(video, shape.height, shape.width)

    def preprocess_condition(
        self, condition: LTXVideoCondition, shape: VideoShape, model_shape: VideoShape
    ) -> ConditioningPixels:
        """The pixels of a condition, cut to the length of the video and padded to `model_shape`."""
        frames = self._fit_frames(
            condition.frames, shape, shape.num_frames - condition.frame_index, condition.name
        )
        pictures = [
            prepare_picture(PIL.Image.fromarray(frame), shape.height, shape.width)
            for frame in frames
        ]
        pixels = pad_video(torch.cat(pictures, dim=2), shape, model_shape)
        return ConditioningPixels(pixels, condition.frame_index, condition.strength)

    def preprocess_reference(
        self, video: Video, shape: VideoShape, model_shape: VideoShape
    ) -> ConditioningPixels:
        """The pixels of a reference, cut to the length of the video and padded to `model_shape`."""
        frames = self._fit_frames(video, shape, shape.num_frames, "The reference video")
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
        pixels = cover(pixels, shape.height, shape.width)
        padded = pad_video(pixels.transpose(0, 1)[None], shape, model_shape)
        return ConditioningPixels(padded, 0, 1.0, is_reference=True)

    def _require_for(self, recipe: Recipe, inputs: PromptInputs) -> None:
        """Raise an `InputError` if a component that the call needs is missing."""
        names = ["vae", "transformer"]
        if inputs.prompt is not None:
            names += ["text_encoder", "tokenizer"]
        if recipe.second is not None:
            names.append("latent_upsampler")
        self._require(*names)

    def _check_recipe(
        self,
        recipe: Recipe,
        shape: VideoShape,
        latents: torch.Tensor | None,
        num_videos: int,
    ) -> None:
        """Refuse passes that these models cannot sample, and latents that the first cannot use."""
        first, *others = shape_passes(recipe, shape)
        num_blocks = self.transformer.config.num_layers
        for shaped in (first, *others):
            num_tokens = self._latent_shape_of(shaped.shape).num_tokens
            check_pass(shaped, recipe, self.info, num_tokens, num_blocks)
        if others:
            check_upsampler_stride(self.latent_upsampler.stride)
        num_skipped = first.settings.skip_initial
        if latents is None and num_skipped:
            raise InputError(
                f"The recipe skips the {num_skipped} noisiest steps, which needs latents."
            )
        first_shape = self._latent_shape_of(first.shape)
        checks.check_shape(latents, tuple(self._latent_size(num_videos, first_shape)))
        schedule = first.settings.schedule(self.info.sampling, first_shape.num_tokens)
        if latents is not None and schedule[0] >= 1:
            raise InputError(
                "The recipe begins at timestep 1, where noise replaces the latents completely; use "
                "skip_initial."
            )

    def _preprocess_conditions(
        self,
        conditions: Sequence[LTXVideoCondition | ConditioningPixels],
        shape: VideoShape,
        model_shape: VideoShape,
    ) -> list[ConditioningPixels]:
        check_conditions(
            [item for item in conditions if isinstance(item, LTXVideoCondition)],
            shape,
            self.vae_temporal_compression_ratio,
        )
        return [
            item
            if isinstance(item, ConditioningPixels)
            else self.preprocess_condition(item, shape, model_shape)
            for item in conditions
        ]

    def _fit_frames(
        self, video: Video, shape: VideoShape, max_frames: int, name: str
    ) -> NDArray[np.uint8]:
        """The frames `(T, H, W, 3)` of a video, cut to a length.

        Warns of frames that are cut, and of another aspect ratio.
        """
        frames = to_uint8_frames(video)
        _, height, width, _ = frames.shape
        if has_other_aspect_ratio(height, width, shape):
            crop_width, crop_height = centre_size(width, height, shape.width / shape.height)
            logger.warning(
                "%s is %dx%d pixels; its centre, %dx%d, is used, in the aspect ratio of the "
                "video, %dx%d.",
                name,
                width,
                height,
                crop_width,
                crop_height,
                shape.width,
                shape.height,
            )
        ratio = self.vae_temporal_compression_ratio
        return frames[crop_frames(len(frames), max_frames, ratio, name)]

    def _denoise_pass(
        self,
        shaped: ShapedPass,
        *,
        recipe: Recipe,
        prompts: PromptEmbeds,
        num_videos: int,
        conditions: Sequence[ConditioningPixels],
        latents: torch.Tensor | None,
        generator: Generators,
    ) -> torch.Tensor:
        """Sample with one pass, from noise or from noised latents, to latents `(B, C, t, h, w)`."""
        latent_shape = self._latent_shape_of(shaped.shape)
        timesteps = shaped.settings.schedule(self.info.sampling, latent_shape.num_tokens)
        schedule = torch.tensor(timesteps, device=self._execution_device)
        tokens = self._initial_tokens(latent_shape.num_tokens, num_videos, generator)
        initial = unpack(tokens, latent_shape)
        if latents is not None:
            initial = torch.lerp(latents.to(initial), initial, schedule[0])
        conditioned = self._apply_conditions(initial, conditions, shaped.shape, generator)

        def euler_step(
            tokens: torch.Tensor, velocity: torch.Tensor, timesteps: torch.Tensor, step: Step
        ) -> torch.Tensor:
            noise = torch.randn_like(tokens.contiguous()) if recipe.stochastic else None
            return euler_step_per_token(tokens, velocity, timesteps / 1000, schedule, noise)

        def guide(step: Step) -> SpatioTemporalGuidance:
            return SpatioTemporalGuidance(**shaped.settings.guidance.at(timesteps[step.index]))

        stepper = MaskedStepper(
            euler_step=euler_step,
            conditioned=conditioned.tokens,
            strength=conditioned.strength,
            noise_scale=recipe.image_noise if conditions else 0.0,
            generator=generator,
        )
        tokens = self._denoise(
            conditioned.tokens,
            schedule * 1000,
            prompts,
            stepper,
            conditioned.positions,
            guide=guide,
        )
        return unpack(tokens[:, conditioned.num_extra_tokens :], latent_shape)

    def _initial_tokens(
        self, num_tokens: int, num_videos: int, generator: Generators
    ) -> torch.Tensor:
        """Noise, drawn in the shape of tokens `(B, N, C)`, as in the authors' code."""
        size = (num_videos, num_tokens, self.transformer.config.in_channels)
        return randn(size, generator, self._execution_device, torch.float32)

    def _apply_conditions(
        self,
        latents: torch.Tensor,
        conditions: Sequence[ConditioningPixels],
        shape: VideoShape,
        generator: Generators,
    ) -> ConditionedLatents:
        """Put the conditions into the latents of a pass, resized to its size."""
        device = self._execution_device
        resized = [
            replace(
                condition,
                pixels=resize_video(condition.pixels, shape.height, shape.width).to(device),
            )
            for condition in conditions
        ]
        return apply_conditioning(
            latents,
            resized,
            encode=partial(encode_pixels, self.vae, generator=None, device=device),
            positions=partial(self._token_positions, shape.frame_rate, self.info.causal_positions),
            temporal_compression_ratio=self.vae_temporal_compression_ratio,
            generator=generator,
        )

    def _upsample(self, latents: torch.Tensor) -> torch.Tensor:
        """Upsample latents to twice the size; each channel keeps its mean and deviation."""
        mean = self.vae.latents_mean
        std = self.vae.latents_std
        upsampler = self.latent_upsampler
        with self.progress.stage("upsample"):
            upsampled = upsampler(denormalize(latents, mean, std, 1.0).to(upsampler.dtype))
        return adain(normalize(upsampled.float(), mean, std, 1.0), latents)
