"""What LTX's pipelines share: components, texts, schedule, and the way from noise to frames."""

import os
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch

from filmstrip.errors import CheckpointError, InputError
from filmstrip.ltx.latents import LatentSize, denormalize, positions, unpack
from filmstrip.ltx.layouts import CheckpointInfo, read_info
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from filmstrip.ltx.pipelines import check_inputs as inputs
from filmstrip.ltx.pipelines.check_inputs import SamplingOptions, Texts, VideoShape
from filmstrip.ltx.pipelines.encode_decode import Decoding, PerVideo, decode_latents, encode_t5
from filmstrip.ltx.pipelines.steppers import EncodedPrompts, TransformerPredictor, Walk
from filmstrip.ltx.schedules import calculate_shift
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.pipeline.denoise import Step, StepCallbacks, Watching, callback_names, denoise
from filmstrip.pipeline.guiders import ClassifierFreeGuidance, SpatioTemporalGuidance
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from filmstrip.weights.hub import fetch_file, split_options
from filmstrip.weights.model import as_device


class LTXBase(DiffusionPipeline):
    """The blocks of LTX's pipelines. A pipeline picks among them in its `__call__`.

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
    _max_sequence_length: ClassVar[int] = 128
    _masks_padding: ClassVar[bool] = False  # whether T5 is told which tokens only pad

    def __init__(
        self, scheduler: Any, vae: Any, text_encoder: Any, tokenizer: Any, transformer: Any
    ) -> None:
        super().__init__()
        self.scheduler, self.vae, self.transformer = scheduler, vae, transformer
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.vae_spatial_compression_ratio = (
            vae.spatial_compression_ratio if vae is not None else 32
        )
        self.vae_temporal_compression_ratio = (
            vae.temporal_compression_ratio if vae is not None else 8
        )
        self.transformer_spatial_patch_size = (
            transformer.config.patch_size if transformer is not None else 1
        )
        self.transformer_temporal_patch_size = (
            transformer.config.patch_size_t if transformer is not None else 1
        )
        self.tokenizer_max_length = tokenizer.model_max_length if tokenizer is not None else 128
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_spatial_compression_ratio)
        self._guidance_scale = 1.0
        self._guidance_rescale = 0.0
        self.attention_kwargs: dict[str, Any] | None = (
            None  # what the call hands to the transformer for its adapters
        )
        self.info = CheckpointInfo()  # of a single file; only the authors' recipe reads it

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
            config: a pipeline folder, or a repository, from which to load what the file does not
                hold: the text encoder and the tokenizer.

        The other arguments and the errors are those of `from_pretrained`.
        """
        hub, components = split_options(options)
        cls._refuse_unknown("from_single_file", components)
        kind, where = dtype or torch_dtype, as_device(device)
        file = fetch_file(pretrained_model_link_or_path, **hub)
        info = read_info(file)
        in_file: dict[str, Callable[[], Any]] = {
            "vae": lambda: AutoencoderKLLTXVideo.from_single_file(file, dtype=kind, device=where),
            "transformer": lambda: LTXVideoTransformer3DModel.from_single_file(
                file, dtype=kind, device=where
            ),
            "scheduler": lambda: FlowMatchEulerDiscreteScheduler(
                **info.sampling.to_scheduler_config()
            ),
        }
        made: dict[str, Any] = dict.fromkeys([*cls._optional_components, *in_file]) | components
        if config is not None:
            hub["revision"] = None  # which was the file's
            made = cls.from_pretrained(config, dtype=kind, device=where, **hub, **made).components
        if missing := [name for name in cls.component_names() if name not in made]:
            raise CheckpointError(
                f"{file} does not hold {' and '.join(missing)}; pass {missing[0]}= by hand, or "
                "None to go without, "
                "or give in config= a pipeline folder that has it."
            )
        made |= {name: load() for name, load in in_file.items() if name not in components}
        pipe = cls(**made)
        pipe.info, pipe.name_or_path = info, os.fspath(pretrained_model_link_or_path)
        return pipe

    @property
    def guidance_scale(self) -> float:
        """Of the call that runs; a callback may set `_guidance_scale`, which holds from the next
        step on.
        """
        return self._guidance_scale

    @property
    def guidance_rescale(self) -> float:
        """Of the call that runs; a callback may set `_guidance_rescale`."""
        return self._guidance_rescale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the negative prompt has a say at this step."""
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

        Embeddings that are given are returned as they are. Those that are computed are repeated for
        the videos of a prompt, one prompt after the other, and so are their masks.

        Args:
            prompt, negative_prompt: a text or a list; one negative prompt serves all, and none is
                the empty text.
            do_classifier_free_guidance: whether negative prompts are needed.
            num_videos_per_prompt: rows for each prompt.
            max_sequence_length: tokens that a prompt is padded or cut to; by default as in a call.

        Returns:
            Embeddings `(B, L, C)` and masks `(B, L)` of the prompts, then of the negative prompts.

        Raises:
            InputError: neither prompts nor embeddings, no text encoder, or lists that do not match.
        """
        device = device or self._execution_device
        prompts, count = (
            inputs.as_list(prompt, "prompt"),
            inputs.count_prompts(prompt, prompt_embeds),
        )

        def embed(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            if self.text_encoder is None or self.tokenizer is None:
                raise InputError(
                    "This pipeline has no text encoder or no tokenizer; give embeddings and their "
                    "masks."
                )
            length = max_sequence_length or self._max_sequence_length
            embeds, mask = encode_t5(
                self.text_encoder, self.tokenizer, texts, length, device, self._masks_padding
            )
            embeds = embeds.to(dtype or self.text_encoder.dtype)
            return _repeat(embeds, num_videos_per_prompt), _repeat(mask, num_videos_per_prompt)

        if prompt_embeds is None and prompts is not None:
            prompt_embeds, prompt_attention_mask = embed(prompts)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negatives = inputs.negative_list(negative_prompt, count)
            negative_prompt_embeds, negative_prompt_attention_mask = embed(negatives)
        return (
            prompt_embeds,
            prompt_attention_mask,
            negative_prompt_embeds,
            negative_prompt_attention_mask,
        )

    def set_timesteps(self, steps: int, tokens: int, timesteps: list[float] | None) -> torch.Tensor:
        """Make the scheduler's schedule for a video of so many tokens; returns its timesteps,
        `(steps,)`.
        """
        if timesteps is not None:
            return self._install_schedule(tokens, timesteps=timesteps)
        return self._install_schedule(tokens, sigmas=np.linspace(1.0, 1 / steps, steps))

    def _install_schedule(self, tokens: int, **given: Any) -> torch.Tensor:
        entries = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        mu = calculate_shift(tokens, *(self.scheduler.config[name] for name in entries))
        return self._schedule(**given, mu=mu)

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
        """Decode what a call gives with `output_type="latent"`, tokens or `(B, C, t, h, w)`, to
        frames.

        If it fails, the latents are in `pipe.latents`, so that nothing that was sampled is lost.

        Args:
            dtype: what the latents are rounded to, and noise is drawn in; the autoencoder's by
                default.
            height, width, num_frames, decode_timestep, decode_noise_scale, generator, output_type:
            as in a call.
        """
        again = (
            f"pipe.decode(pipe.latents, height={height}, width={width}, num_frames={num_frames})"
        )
        with (
            self._keeping(latents, f"pipe.vae.enable_tiling() and then {again}"),
            self.progress.stage("decode"),
        ):
            if latents.ndim == 3:
                latents = unpack(
                    latents, self._latent_size(VideoShape(height, width, num_frames, 1))
                )
            vae = self.vae
            latents = denormalize(
                latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
            )
            decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
            video = decode_latents(vae, latents.to(dtype or vae.dtype), decoding)
            return self.video_processor.postprocess_video(video, output_type)

    def _begin(
        self,
        texts: Texts,
        clip: VideoShape,
        options: SamplingOptions,
        decoding: Decoding,
        watching: Watching,
    ) -> tuple[int, LatentSize]:
        """Check a call and take over its guidance; returns the number of its videos, and their
        size.
        """
        callback_names(*watching, self._callback_tensor_inputs)
        inputs.check_video_shape(clip, self.vae_temporal_compression_ratio)
        guidance = {
            "guidance_scale": options.guidance_scale,
            "guidance_rescale": options.guidance_rescale,
        }
        checks.check_numbers(guidance | {"frame_rate": clip.frame_rate})
        checks.check_schedule(options.num_inference_steps, options.timesteps, "timesteps")
        checks.check_output_type(decoding.output_type)
        videos = inputs.count_videos(texts)
        checks.check_generators(decoding.generator, videos)
        decoding.per_video(videos)
        encoders = ("text_encoder", "tokenizer") if texts.prompt is not None else ()
        self._require(
            "transformer",
            "scheduler",
            *encoders,
            *(("vae",) if decoding.output_type != "latent" else ()),
        )
        self._guidance_scale, self._guidance_rescale = (
            options.guidance_scale,
            options.guidance_rescale,
        )
        self.attention_kwargs, self._interrupt = options.attention_kwargs, False
        return videos, self._latent_size(clip)

    def _encode_texts(self, texts: Texts, videos: int) -> EncodedPrompts:
        """Texts and mask, a row for each video: `[negative; positive]` under guidance."""
        with self.progress.stage("encode prompt"):
            guided = self.do_classifier_free_guidance
            encoded = self.encode_prompt(
                texts.prompt,
                texts.negative_prompt,
                guided,
                1,
                *texts.embedded,
                max_sequence_length=texts.max_length,
            )
        embeds, mask, negatives, negative_mask = (
            _repeat(rows, texts.videos_each) for rows in encoded
        )
        kind = self.transformer.dtype
        if kind.itemsize > 1:  # the type it computes in; T5 may have been loaded in another
            embeds, negatives = (
                embeds.to(kind),
                negatives if negatives is None else negatives.to(kind),
            )
        tensors = {"prompt_embeds": embeds, "negative_prompt_embeds": negatives}
        if guided:
            tensors["prompt_embeds"] = torch.cat([negatives, embeds])
            mask = torch.cat([negative_mask, mask])
        return EncodedPrompts(tensors, mask, videos)

    def _noise(self, videos: int, size: LatentSize, generator: Generators) -> torch.Tensor:
        """The noise that the walk starts from, `(B, C, t, h, w)` in float32."""
        return randn(
            self._latent_shape(videos, size), generator, self._execution_device, torch.float32
        )

    def _latent_shape(self, videos: int, size: LatentSize) -> tuple[int, ...]:
        return (videos, self.transformer.config.in_channels, size.frames, size.height, size.width)

    def _denoise(
        self,
        latents: torch.Tensor,
        schedule: torch.Tensor,
        texts: EncodedPrompts,
        walk: Walk,
        where: torch.Tensor,
        watching: Watching = (None, ()),
        guide: Callable[[Step], SpatioTemporalGuidance] | None = None,
    ) -> torch.Tensor:
        """Walk tokens `(B, N, C)`, at the positions `where`, through the timesteps of
        `schedule`.
        """
        predict = TransformerPredictor(
            self.transformer, texts, walk, where, self.attention_kwargs, guide
        )
        names = callback_names(*watching, self._callback_tensor_inputs)
        with self.progress.stage("denoise", len(schedule)) as advance:
            watch = StepCallbacks(self, texts.tensors, watching[0], names, advance)
            latents = latents.to(self._execution_device, torch.float32)
            return denoise(
                latents,
                watch.steps(schedule),
                predict,
                guide or self._guidance,
                walk.advance,
                watch,
            )

    def _finish(
        self,
        latents: torch.Tensor,
        clip: VideoShape,
        decoding: Decoding,
        texts: EncodedPrompts,
        return_dict: bool,
    ) -> LTXPipelineOutput | tuple[Any]:
        """The output of a call: frames, or the latents as they are."""
        frames: Any = latents
        if decoding.output_type != "latent":
            size = (clip.height, clip.width, clip.num_frames)
            noise = (decoding.timestep, decoding.noise_scale, decoding.generator)
            dtype = texts.tensors["prompt_embeds"].dtype
            frames = self.decode(latents, *size, *noise, dtype, decoding.output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

    def _latent_size(self, clip: VideoShape) -> LatentSize:
        temporal, spatial = self.vae_temporal_compression_ratio, self.vae_spatial_compression_ratio
        return LatentSize(
            (clip.num_frames - 1) // temporal + 1, clip.height // spatial, clip.width // spatial
        )

    def _positions(
        self, frame_rate: float, causal: bool, size: LatentSize, first_frame: int = 0
    ) -> torch.Tensor:
        """Where the tokens of a latent video are, `(1, 3, N)`."""
        ratios = (self.vae_temporal_compression_ratio, self.vae_spatial_compression_ratio)
        return positions(size, ratios, frame_rate, causal, first_frame, self._execution_device)

    def _guidance(self, step: Step) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(self._guidance_scale, self._guidance_rescale)


def _repeat(rows: Any, times: int) -> Any:
    """Each row `times` times, one row after the other."""
    return rows if rows is None or times == 1 else rows.repeat_interleave(times, dim=0)
