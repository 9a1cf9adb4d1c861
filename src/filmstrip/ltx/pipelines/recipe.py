"""The authors' way from a prompt to a video (Lightricks/LTX-Video, `pipeline_ltx_video.py`), which
presets follow.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from filmstrip.errors import InputError
from filmstrip.logging import get_logger
from filmstrip.ltx.latents import adain, denormalize, normalize, tone_map, unpack
from filmstrip.ltx.layouts import CheckpointInfo
from filmstrip.ltx.models.transformer_blocks import Perturbation
from filmstrip.ltx.pipelines.base import LTXBase
from filmstrip.ltx.pipelines.check_inputs import (
    SIZE_MULTIPLE,
    Texts,
    VideoShape,
    count_videos,
    fitting,
    has_other_shape,
)
from filmstrip.ltx.pipelines.conditions import (
    ConditioningPixels,
    LTXVideoCondition,
    apply_conditioning,
    check_conditions,
)
from filmstrip.ltx.pipelines.encode_decode import encode_pixels
from filmstrip.ltx.pipelines.preprocess import cover, middle, prepare_picture
from filmstrip.ltx.pipelines.steppers import EPS, EncodedPrompts, MaskedStepper
from filmstrip.ltx.recipes import Pass, Recipe
from filmstrip.ltx.schedules import RectifiedFlowSchedule, euler_step_to_next
from filmstrip.media.frames import Video, as_frames
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import SpatioTemporalGuidance

logger = get_logger(__name__)


class LTXRecipePipeline(LTXBase):
    """Makes videos as the authors do, by a `Recipe`.

    Args:
        vae, text_encoder, tokenizer, transformer: as in `LTXPipeline`.
        latent_upsampler: an `LTXLatentUpsamplerModel`, for recipes of two passes.
        scheduler: says only how a checkpoint in diffusers' layout wants to be sampled.

    `recipe` is what a call follows, `info` how the checkpoint wants to be sampled, and `clip` and
    `negative_prompt` are what a call makes if it does not say.
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
            self.info = CheckpointInfo(
                RectifiedFlowSchedule.from_scheduler_config(scheduler.config)
            )
        self.recipe, self.clip, self.negative_prompt = Recipe(), VideoShape(704, 1216, 121, 30), ""

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
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> LTXPipelineOutput | tuple[Any]:
        """Make videos.

        Args:
            negative_prompt, frame_rate: by default the pipeline's own, as the size is.
            height, width, num_frames: of any size; the model makes the next larger one that it can,
                which is cropped.
            conditions: pictures and clips that the video shall show, cropped to its shape; no two
                hold the same frame.
            reference_video: depth, poses or edges, frame by frame, that an adapter was trained to
                follow.
            latents: normalised latents `(B, C, t, h, w)` to start from, noised to the first
                timestep.
            generator: of the first noise; a list has one for each video. Other noise is from the
                global generator.
            output_type: "pil", "np", "pt", or "latent" for normalised latents.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        wanted = self.sized(
            height=height, width=width, num_frames=num_frames, frame_rate=frame_rate
        )
        ratio = self.vae_temporal_compression_ratio
        clip = round_up_shape(wanted, ratio)
        negative_prompt = self.negative_prompt if negative_prompt is None else negative_prompt
        embeds, masks = (
            (prompt_embeds, negative_prompt_embeds),
            (prompt_attention_mask, negative_prompt_attention_mask),
        )
        texts = Texts(prompt, negative_prompt, (*embeds, *masks), 1, self._max_sequence_length)
        videos = count_videos(texts)
        checks.check_numbers({"frame_rate": wanted.frame_rate})
        checks.check_output_type(output_type)
        checks.check_generators(generator, videos)
        needed = {
            "text_encoder": prompt,
            "tokenizer": prompt,
            "latent_upsampler": self.recipe.second,
        }
        self._require(
            "vae", "transformer", *(name for name, why in needed.items() if why is not None)
        )
        self._check_walks(clip, latents, videos)
        check_conditions(
            [item for item in conditions if not isinstance(item, ConditioningPixels)], wanted, ratio
        )
        held = [self.hold(item, wanted, clip) for item in conditions]
        if reference_video is not None:
            held.insert(0, self.refer(reference_video, wanted, clip))

        self._interrupt = False
        self._guidance_scale = self.recipe.largest_scale
        encoded = self._encode_texts(texts, videos)
        latents = self.sample(clip, encoded, held, latents, generator)
        frames: Any = latents
        if output_type != "latent":
            video = crop(self.decode_video(latents, clip), wanted)
            frames = self.video_processor.postprocess_video(video, output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def sized(self, **asked: Any) -> VideoShape:
        """The size of the videos of a call: what it asks for, and the pipeline's own where that is
        None.
        """
        return replace(
            self.clip, **{name: value for name, value in asked.items() if value is not None}
        )

    @torch.no_grad()
    def sample(
        self,
        clip: VideoShape,
        texts: EncodedPrompts,
        held: Sequence[ConditioningPixels] = (),
        latents: torch.Tensor | None = None,
        generator: Generators = None,
    ) -> torch.Tensor:
        """The passes of the recipe: normalised latents `(B, C, t, h, w)`, from noise or from given
        latents.
        """
        (first, size), *second = self.walks(clip)
        latents = self._walk(latents, size, first, texts, held, generator)
        for one, double in second:
            latents = self._walk(self._upsample(latents), double, one, texts, held, generator)
        return latents

    def walks(self, clip: VideoShape) -> list[tuple[Pass, VideoShape]]:
        """The passes of the recipe, each with the size that it makes."""
        if self.recipe.second is None:
            return [(self.recipe.first, clip)]
        sides = (int(side * self.recipe.downscale) for side in (clip.height, clip.width))
        height, width = (side // SIZE_MULTIPLE * SIZE_MULTIPLE for side in sides)
        small, double = (
            replace(clip, height=height * times, width=width * times) for times in (1, 2)
        )
        return [(self.recipe.first, small), (self.recipe.second, double)]

    def _check_walks(self, clip: VideoShape, latents: torch.Tensor | None, videos: int) -> None:
        """Refuse what these models cannot walk, and latents that the first walk cannot start
        from.
        """
        (first, size), *second = self.walks(clip)
        begin = self._check_pass(first, size)
        for walk in second:
            self._check_pass(*walk)
            if self.latent_upsampler.stride != (1, 2, 2):
                made = "{} x the frames, {} x the rows and {} x the columns".format(
                    *self.latent_upsampler.stride
                )
                raise InputError(
                    f"The latent upsampler makes {made}; a recipe of two passes needs 1 x, 2 x and "
                    "2 x."
                )
        if latents is None and first.skip_initial:
            raise InputError(
                f"The recipe leaves out the {first.skip_initial} noisiest steps, which needs "
                "latents."
            )
        checks.check_shape(latents, self._latent_shape(videos, self._latent_size(size)))
        if latents is not None and begin >= 1:
            raise InputError(
                "Nothing is left of the latents at timestep 1, where the recipe begins; use "
                "skip_initial."
            )

    def _check_pass(self, one: Pass, size: VideoShape) -> float:
        """Refuse a pass that this model cannot walk; returns the timestep at which it starts, in
        [0, 1].
        """
        if not size.height or not size.width:
            least = ceil(SIZE_MULTIPLE / self.recipe.downscale)
            raise InputError(
                f"A recipe of two passes makes videos of at least {least}x{least} pixels; ask for "
                "more."
            )
        checks.check_share(one.tone_map, "The tone mapping of a pass")
        times = one.schedule(self.info.sampling, self._latent_size(size).elements)
        if not times:
            raise InputError(f"The recipe leaves out all of its {one.steps} steps.")
        if times != sorted(times, reverse=True) or not 0 < times[-1] <= times[0] <= 1 + EPS:
            raise InputError(
                f"The timesteps of a pass are {times}; they must fall, from 1 or less to above 0."
            )
        allowed = self.info.allowed_timesteps
        if allowed and (unknown := {round(time, 4) for time in times}.difference(allowed)):
            raise InputError(
                f"This checkpoint is distilled to the timesteps {allowed}; the recipe asks for "
                f"{sorted(unknown, reverse=True)} as well. Use the recipe of its preset."
            )
        guidances = [SpatioTemporalGuidance(**one.guidance.at(time)) for time in times]
        blocks = {
            block for step in guidances if "perturbed" in step.conditions for block in step.blocks
        }
        Perturbation(one.guidance.mode, tuple(blocks), torch.empty(0))  # refuses an unknown mode
        if absent := blocks.difference(range(layers := self.transformer.config.num_layers)):
            raise InputError(
                f"The guidance leaves out the blocks {sorted(absent)}; the model has 0 to "
                f"{layers - 1}."
            )
        return times[0]

    @torch.no_grad()
    def decode_video(self, latents: torch.Tensor, clip: VideoShape) -> torch.Tensor:
        """Decode normalised latents to `(B, 3, T, H, W)` in [-1, 1], in the size of the clip."""
        vae, recipe, timestep = self.vae, self.recipe, None
        with self._keeping(latents, "pipe.vae.enable_tiling()"), self.progress.stage("decode"):
            if vae.config.timestep_conditioning:
                # In this memory layout, whose order the authors' noise is drawn in.
                latents = latents.contiguous(memory_format=torch.channels_last_3d)
                latents = torch.lerp(latents, torch.randn_like(latents), recipe.decode_noise)
                timestep = latents.new_full(latents.shape[:1], recipe.decode_timestep)
            latents = tone_map(latents, recipe.passes[-1].tone_map)
            latents = denormalize(latents, vae.latents_mean, vae.latents_std, 1.0)
            video = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
            video = video.float().clamp(-1, 1)
            return video if recipe.second is None else resize(video, clip.height, clip.width)

    def hold(
        self, item: LTXVideoCondition | ConditioningPixels, wanted: VideoShape, clip: VideoShape
    ) -> ConditioningPixels:
        """The frames of a condition that fit into the video, with the video's margins around
        them.
        """
        if isinstance(item, ConditioningPixels):
            return item
        frames = self._fitting(item.pictures, wanted, item.frame_index, item.name)
        prepared = [
            prepare_picture(PIL.Image.fromarray(frame), wanted.height, wanted.width)
            for frame in frames
        ]
        return ConditioningPixels(
            pad(torch.cat(prepared, dim=2), wanted, clip), item.frame_index, item.strength
        )

    def refer(self, video: Video, wanted: VideoShape, clip: VideoShape) -> ConditioningPixels:
        """The frames of a reference video that go beside the video, with its margins around
        them.
        """
        frames = torch.from_numpy(self._fitting(video, wanted, 0, "The reference video")).permute(
            0, 3, 1, 2
        )
        pixels = cover(frames.float() / 127.5 - 1, wanted.height, wanted.width)
        return ConditioningPixels(
            pad(pixels.transpose(0, 1)[None], wanted, clip), 0, 1.0, apart=True
        )

    def _fitting(
        self, video: Video, wanted: VideoShape, begin: int, name: str
    ) -> NDArray[np.uint8]:
        """The frames `(T, H, W, 3)` of a video that fit into the one that is wanted; says what is
        cut and cropped.
        """
        frames = as_frames(video)
        _, height, width, _ = frames.shape
        if has_other_shape(height, width, wanted):
            used = middle(width, height, wanted.width / wanted.height)
            said = (name, width, height, *used, wanted.width, wanted.height)
            logger.warning(
                "%s is %dx%d pixels; its middle, %dx%d, is used, in the shape of the video's "
                "%dx%d.",
                *said,
            )
        room = wanted.num_frames - begin
        return frames[fitting(len(frames), room, self.vae_temporal_compression_ratio, name)]

    def _walk(
        self,
        latents: torch.Tensor | None,
        clip: VideoShape,
        one: Pass,
        texts: EncodedPrompts,
        held: Sequence[ConditioningPixels],
        generator: Generators,
    ) -> torch.Tensor:
        """One pass: from noise, or from latents that are noised, to latents `(B, C, t, h, w)`."""
        size, device = self._latent_size(clip), self._execution_device
        times = one.schedule(self.info.sampling, size.elements)
        schedule = torch.tensor(times, device=device)
        shape = (texts.videos, size.elements, self.transformer.config.in_channels)
        start = unpack(randn(shape, generator, device, torch.float32), size)
        if latents is not None:
            start = torch.lerp(latents.to(start), start, schedule[0])
        resized = [
            replace(item, pixels=resize(item.pixels, clip.height, clip.width).to(device))
            for item in held
        ]
        encode = partial(encode_pixels, self.vae, generator=None)
        where = partial(self._positions, clip.frame_rate, self.info.causal_positions)
        tokens = apply_conditioning(
            start, resized, encode, where, self.vae_temporal_compression_ratio, generator
        )
        noise_scale = self.recipe.image_noise if held else 0.0

        def advance(
            tokens: torch.Tensor, velocity: torch.Tensor, timesteps: torch.Tensor, _: Step
        ) -> torch.Tensor:
            return euler_step_to_next(
                tokens, velocity, timesteps / 1000, schedule, self.recipe.stochastic
            )

        def guide(step: Step) -> SpatioTemporalGuidance:
            return SpatioTemporalGuidance(**one.guidance.at(times[step.index]))

        walk = MaskedStepper(advance, tokens.tokens, tokens.strength, noise_scale, generator)

        walked = self._denoise(
            tokens.tokens, schedule * 1000, texts, walk, tokens.positions, guide=guide
        )
        return unpack(walked[:, tokens.own :], size)

    def _upsample(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of twice the size, with the statistics of the given ones."""
        statistics = (self.vae.latents_mean, self.vae.latents_std, 1.0)
        with self.progress.stage("upsample"):
            larger = self.latent_upsampler(
                denormalize(latents, *statistics).to(self.latent_upsampler.dtype)
            )
        return adain(normalize(larger.float(), *statistics), latents)


def round_up_shape(clip: VideoShape, temporal_ratio: int) -> VideoShape:
    """The next larger clip that the model can make."""
    for name in ("height", "width", "num_frames"):
        checks.check_count(getattr(clip, name), name)
    height, width = (
        ceil(side / SIZE_MULTIPLE) * SIZE_MULTIPLE for side in (clip.height, clip.width)
    )
    frames = ceil((clip.num_frames - 1) / temporal_ratio) * temporal_ratio + 1
    return VideoShape(height, width, frames, clip.frame_rate)


def margins(wanted: int, made: int) -> tuple[int, int]:
    """What a side that is made has more than is wanted, before and after."""
    return (made - wanted) // 2, made - wanted - (made - wanted) // 2


def crop(video: torch.Tensor, clip: VideoShape) -> torch.Tensor:
    """The middle of a video `(B, 3, T, H, W)`, and its first frames, in the size of a clip."""
    (top, _), (left, _) = margins(clip.height, video.shape[3]), margins(clip.width, video.shape[4])
    return video[:, :, : clip.num_frames, top : top + clip.height, left : left + clip.width]


def pad(video: torch.Tensor, wanted: VideoShape, made: VideoShape) -> torch.Tensor:
    """A video `(B, 3, T, H, W)` in [-1, 1], of any size in the shape of what is wanted, with grey
    margins.
    """
    (top, bottom), (left, right) = (
        margins(wanted.height, made.height),
        margins(wanted.width, made.width),
    )
    return F.pad(video, (left, right, top, bottom))


def resize(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A video `(B, C, T, H, W)` in another size, bilinearly."""
    if video.shape[-2:] == (height, width):
        return video
    return F.interpolate(video, (video.shape[2], height, width), mode="trilinear")
