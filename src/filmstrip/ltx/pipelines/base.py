"""The base class of LTX's pipelines: components, prompts, schedules, denoising, decoding."""

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from filmstrip.encoders.t5 import encode_prompts
from filmstrip.errors import CheckpointError, InputError
from filmstrip.ltx.latents import LatentShape, denormalize, token_positions, unpack
from filmstrip.ltx.pipelines.check_inputs import CallInputs
from filmstrip.ltx.pipelines.decode import DecodeOptions, PerVideo, decode_latents
from filmstrip.ltx.pipelines.encode import compression_ratios
from filmstrip.ltx.pipelines.predictor import TransformerPredictor
from filmstrip.ltx.pipelines.prompts import (
    PromptEmbeds,
    PromptInputs,
    count_prompts,
    negative_prompts,
    prompt_list,
    repeat_rows,
)
from filmstrip.ltx.pipelines.steppers import TokenStepper
from filmstrip.ltx.schedules import CheckpointInfo, calculate_shift
from filmstrip.ltx.video_shape import VideoShape
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.pipeline.denoise import Guide, Step, denoise
from filmstrip.pipeline.guiders import ClassifierFreeGuidance
from filmstrip.pipeline.step_callbacks import StepCallback, StepCallbacks
from filmstrip.weights.device_and_dtype import as_device
from filmstrip.weights.hub import fetch_file, split_options


class LTXBase(DiffusionPipeline):
    """The base class of LTX's pipelines, whose `__call__` uses its methods.

    Args:
        scheduler: a `FlowMatchEulerDiscreteScheduler`.
        vae: an `AutoencoderKLLTXVideo`.
        text_encoder: a `T5EncoderModel` of transformers.
        tokenizer: the tokenizer of that T5.
        transformer: an `LTXVideoTransformer3DModel`, plain or compiled.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
    )
    _max_sequence_length: ClassVar[int] = 128  # tokens
    _masks_padding: ClassVar[bool] = False  # whether T5 gets the attention mask

    def __init__(
        self, scheduler: Any, vae: Any, text_encoder: Any, tokenizer: Any, transformer: Any
    ) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.transformer = transformer
        temporal_ratio, spatial_ratio = compression_ratios(vae)
        self.vae_temporal_compression_ratio = temporal_ratio
        self.vae_spatial_compression_ratio = spatial_ratio
        self.transformer_spatial_patch_size = 1
        self.transformer_temporal_patch_size = 1
        if transformer is not None:
            self.transformer_spatial_patch_size = transformer.config.patch_size
            self.transformer_temporal_patch_size = transformer.config.patch_size_t
        self.tokenizer_max_length = 128 if tokenizer is None else tokenizer.model_max_length
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_spatial_compression_ratio)
        self._guidance_scale = 1.0
        self._guidance_rescale = 0.0
        self.attention_kwargs: dict[str, Any] | None = None  # of the running call
        self.info = CheckpointInfo()  # of a single file; only `LTXRecipePipeline` uses it

    @classmethod
    def from_single_file(
        cls,
        pretrained_model_link_or_path: str | os.PathLike[str],
        *,
        config: str | os.PathLike[str] | None = None,
        torch_dtype: torch.dtype | str | None = None,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> Self:
        """Load a pipeline whose transformer and VAE are in one of the authors' files.

        Args:
            pretrained_model_link_or_path: the file; or, on the Hub, its address or
                "owner/repository/file".
            config: a pipeline folder, or a repository, from which to load the components that are
                not in the file: the text encoder and the tokenizer.

        The other arguments and the errors are those of `from_pretrained`.
        """
        from filmstrip.ltx.layouts import read_info
        from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
        from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
        from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler

        hub, components = split_options(options)
        cls._refuse_unknown("from_single_file", components)
        load_options: dict[str, Any] = {"dtype": dtype or torch_dtype, "device": as_device(device)}
        file = fetch_file(pretrained_model_link_or_path, **hub)
        info = read_info(file)
        loaders: dict[str, Callable[[], Any]] = {
            "vae": lambda: AutoencoderKLLTXVideo.from_single_file(file, **load_options),
            "transformer": lambda: LTXVideoTransformer3DModel.from_single_file(
                file, **load_options
            ),
            "scheduler": lambda: FlowMatchEulerDiscreteScheduler(
                **info.sampling.to_scheduler_config()
            ),
        }
        loaded: dict[str, Any] = dict.fromkeys([*cls._optional_components, *loaders])
        loaded |= components
        if config is not None:
            hub["revision"] = None  # it is the revision of the file
            loaded = cls.from_pretrained(config, **load_options, **hub, **loaded).components
        missing = [name for name in cls.component_names() if name not in loaded]
        if missing:
            raise CheckpointError(
                f"{file} does not hold {' and '.join(missing)}; pass {missing[0]}= by hand, or "
                "None to go without, or give in config= a pipeline folder that has it."
            )
        loaded |= {name: load() for name, load in loaders.items() if name not in components}
        pipe = cls(**loaded)
        pipe.info = info
        pipe.name_or_path = os.fspath(pretrained_model_link_or_path)
        return pipe

    @property
    def guidance_scale(self) -> float:
        """Of the running call. A callback may set `_guidance_scale` for the following steps."""
        return self._guidance_scale

    @property
    def guidance_rescale(self) -> float:
        """Of the running call. A callback may set `_guidance_rescale` for the following steps."""
        return self._guidance_rescale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether this step needs the negative prompts."""
        return self._guidance_scale > 1.0

    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        negative_prompt: str | list[str] | None = None,
        do_classifier_free_guidance: bool = True,
        num_videos_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        negative_prompt_attention_mask: torch.Tensor | None = None,
        max_sequence_length: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Embed prompts and negative prompts. Needs only the text encoder and the tokenizer.

        Embeddings that are passed are returned unchanged. Those that are computed, and their masks,
        are repeated for the videos of a prompt, one prompt after the other.

        Args:
            prompt, negative_prompt: a text or a list; one negative prompt is used for all prompts,
                and `None` is the empty text.
            do_classifier_free_guidance: whether negative prompts are needed.
            num_videos_per_prompt: rows for each prompt.
            prompt_embeds, negative_prompt_embeds: embeddings to use instead of the texts.
            prompt_attention_mask, negative_prompt_attention_mask: masks of these embeddings.
            max_sequence_length: tokens that a prompt is padded or cut to; by default that of a
                call.
            device: to compute on; by default the pipeline's.
            dtype: of the embeddings; by default the text encoder's.

        Returns:
            Embeddings `(B, L, C)` and masks `(B, L)` of the prompts, then of the negative prompts.

        Raises:
            InputError: neither prompts nor embeddings, no text encoder, or lists that do not
                match.
        """
        device = device or self._execution_device
        length = max_sequence_length or self._max_sequence_length
        prompts = prompt_list(prompt, "prompt")
        num_prompts = count_prompts(prompt, prompt_embeds)

        def embed(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            if self.text_encoder is None or self.tokenizer is None:
                raise InputError(
                    "This pipeline has no text encoder or no tokenizer; give embeddings and their "
                    "masks."
                )
            embeds, mask = encode_prompts(
                self.text_encoder, self.tokenizer, texts, length, device, self._masks_padding
            )
            embeds = embeds.to(dtype or self.text_encoder.dtype)
            return (
                repeat_rows(embeds, num_videos_per_prompt),
                repeat_rows(mask, num_videos_per_prompt),
            )

        if prompt_embeds is None and prompts is not None:
            prompt_embeds, prompt_attention_mask = embed(prompts)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negatives = negative_prompts(negative_prompt, num_prompts)
            negative_prompt_embeds, negative_prompt_attention_mask = embed(negatives)
        return (
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )

    def set_timesteps(
        self, num_inference_steps: int, num_tokens: int, timesteps: list[float] | None
    ) -> torch.Tensor:
        """Set the scheduler's schedule.

        Args:
            num_inference_steps: number of steps; not used with `timesteps`.
            num_tokens: of the video; a dynamic shift depends on it.
            timesteps: the model's input at each step, in (0, 1000], or `None`.

        Returns:
            The timesteps of the schedule, `(num_steps,)`.
        """
        if timesteps is not None:
            return self._set_timesteps(num_tokens, timesteps=timesteps)
        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        return self._set_timesteps(num_tokens, sigmas=sigmas)

    def _set_timesteps(self, num_tokens: int, **schedule: Any) -> torch.Tensor:
        config = self.scheduler.config
        mu = calculate_shift(
            num_tokens,
            config["base_image_seq_len"],
            config["max_image_seq_len"],
            config["base_shift"],
            config["max_shift"],
        )
        return self._set_schedule(**schedule, mu=mu)

    @torch.no_grad()
    def decode(
        self,
        latents: torch.Tensor,
        height: int,
        width: int,
        num_frames: int,
        decode_timestep: PerVideo = 0.0,
        decode_noise_scale: PerVideo | None = None,
        generator: Generators = None,
        dtype: torch.dtype | None = None,
        output_type: str = "pil",
    ) -> Any:
        """Decode the output of a call with `output_type="latent"` to frames.

        If it fails, the latents are kept in `pipe.latents`.

        Args:
            latents: tokens `(B, N, C)`, or latents `(B, C, t, h, w)`.
            height, width, num_frames, decode_timestep, decode_noise_scale, generator, output_type:
                as in a call.
            dtype: of the latents and the noise; by default the autoencoder's.
        """
        call = f"pipe.decode(pipe.latents, height={height}, width={width}, num_frames={num_frames})"
        advice = f"pipe.vae.enable_tiling() and then {call}"
        with self._keep_latents(latents, advice), self.progress.stage("decode"):
            if latents.ndim == 3:
                latents = unpack(latents, self._latent_shape(height, width, num_frames))
            vae = self.vae
            latents = denormalize(
                latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
            )
            options = DecodeOptions(decode_timestep, decode_noise_scale, generator, output_type)
            video = decode_latents(vae, latents.to(dtype or vae.dtype), options)
            return self.video_processor.postprocess_video(video, output_type)

    def _start_call(self, inputs: CallInputs) -> tuple[int, LatentShape]:
        """Check the inputs of a call, and set the attributes that callbacks may read and change.

        Returns:
            The number of videos, and their latent shape.
        """
        num_videos = inputs.check(self.vae_temporal_compression_ratio, self._callback_tensor_inputs)
        self._require(*inputs.components)
        self._guidance_scale = inputs.sampling.guidance_scale
        self._guidance_rescale = inputs.sampling.guidance_rescale
        self.attention_kwargs = inputs.sampling.attention_kwargs
        self._interrupt = False
        return num_videos, self._latent_shape_of(inputs.shape)

    def _encode_prompts(self, inputs: PromptInputs) -> PromptEmbeds:
        """The embeddings of a call, a row for each video, in the dtype of the transformer."""
        embeds = inputs.embeds
        with self.progress.stage("encode prompt"):
            encoded = self.encode_prompt(
                inputs.prompt,
                inputs.negative_prompt,
                do_classifier_free_guidance=self.do_classifier_free_guidance,
                prompt_embeds=embeds.positive,
                negative_prompt_embeds=embeds.negative,
                prompt_attention_mask=embeds.positive_mask,
                negative_prompt_attention_mask=embeds.negative_mask,
                max_sequence_length=inputs.max_sequence_length,
            )
        embeds = PromptEmbeds(*encoded).repeat(inputs.num_videos_per_prompt)
        return embeds.to(self.transformer.compute_dtype)

    def _initial_noise(
        self, num_videos: int, shape: LatentShape, generator: Generators
    ) -> torch.Tensor:
        """The latents before the first step, `(B, C, t, h, w)` in float32."""
        size = self._latent_size(num_videos, shape)
        return randn(size, generator, self._execution_device, torch.float32)

    def _denoise(
        self,
        tokens: torch.Tensor,
        timesteps: torch.Tensor,
        prompts: PromptEmbeds,
        stepper: TokenStepper,
        positions: torch.Tensor,
        callback: StepCallback | None = None,
        guide: Guide | None = None,
    ) -> torch.Tensor:
        """Denoise tokens `(B, N, C)`.

        Args:
            tokens: at the noise level of the first step.
            timesteps: of the schedule, `(num_steps,)`.
            prompts: a row for each video.
            stepper: takes the tokens to the next noise level.
            positions: of the tokens, `(1, 3, N)`.
            callback: the caller's.
            guide: returns the guider of a step; by default one with the pipeline's current scales.
        """
        predictor = TransformerPredictor(
            transformer=self.transformer,
            prompts=prompts,
            guided=self.do_classifier_free_guidance,
            num_videos=tokens.shape[0],
            stepper=stepper,
            positions=positions,
            attention_kwargs=self.attention_kwargs,
        )
        with self.progress.stage("denoise", len(timesteps)) as advance:
            callbacks = StepCallbacks(self, advance, callback or StepCallback(), predictor)
            return denoise(
                tokens.to(self._execution_device, torch.float32),
                callbacks.steps(timesteps),
                predictor,
                guide or self._guider,
                stepper,
                callbacks,
            )

    def _make_output(
        self,
        latents: torch.Tensor,
        inputs: CallInputs,
        return_dict: bool,
    ) -> LTXPipelineOutput | tuple[Any]:
        """The output of a call: decoded frames, or the latents."""
        frames: Any = latents
        decoding = inputs.decoding
        if decoding.output_type != "latent":
            frames = self.decode(
                latents,
                inputs.shape.height,
                inputs.shape.width,
                inputs.shape.num_frames,
                decoding.timestep,
                decoding.noise_scale,
                decoding.generator,
                self.transformer.compute_dtype,
                decoding.output_type,
            )
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def _latent_shape(self, height: int, width: int, num_frames: int) -> LatentShape:
        return LatentShape(
            (num_frames - 1) // self.vae_temporal_compression_ratio + 1,
            height // self.vae_spatial_compression_ratio,
            width // self.vae_spatial_compression_ratio,
        )

    def _latent_shape_of(self, shape: VideoShape) -> LatentShape:
        return self._latent_shape(shape.height, shape.width, shape.num_frames)

    def _latent_size(self, num_videos: int, shape: LatentShape) -> Sequence[int]:
        channels = self.transformer.config.in_channels
        return (num_videos, channels, shape.num_frames, shape.height, shape.width)

    def _token_positions(
        self, frame_rate: float, causal: bool, shape: LatentShape, first_frame: int = 0
    ) -> torch.Tensor:
        """The positions of the tokens of a latent video, `(1, 3, N)`."""
        ratios = (self.vae_temporal_compression_ratio, self.vae_spatial_compression_ratio)
        device = self._execution_device
        return token_positions(shape, ratios, frame_rate, causal, first_frame, device)

    def _guider(self, step: Step) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(self._guidance_scale, self._guidance_rescale)
