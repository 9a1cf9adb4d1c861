"""Text to video with LTX-Video."""

from typing import Any, ClassVar

import numpy as np
import torch

from filmstrip.errors import InputError
from filmstrip.ltx import inputs
from filmstrip.ltx.decode import PerVideo, decode_latents, per_video
from filmstrip.ltx.inputs import Embeddings
from filmstrip.ltx.latents import LatentSize, pack, unpack
from filmstrip.ltx.predict import TransformerPredictor
from filmstrip.ltx.sampling import shift_for
from filmstrip.media.processors import VideoProcessor
from filmstrip.nn.noise import Generators, randn
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline import checks
from filmstrip.pipeline.base import DiffusionPipeline
from filmstrip.pipeline.denoise import Callback, Step, StepWatch, callback_names, denoise
from filmstrip.pipeline.guiders import ClassifierFreeGuidance
from filmstrip.pipeline.prompts import as_list, encode_t5


class LTXPipeline(DiffusionPipeline):
    """Makes videos from texts.

    Args:
        scheduler: a `FlowMatchEulerDiscreteScheduler`.
        vae: an `AutoencoderKLLTXVideo`.
        text_encoder: a `T5EncoderModel` of transformers.
        tokenizer: the tokenizer of that T5.
        transformer: an `LTXVideoTransformer3DModel`, plain or compiled.
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds", "negative_prompt_embeds")

    def __init__(self, scheduler: Any, vae: Any, text_encoder: Any, tokenizer: Any, transformer: Any) -> None:
        super().__init__()
        self.scheduler, self.vae, self.transformer = scheduler, vae, transformer
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.vae_spatial_compression_ratio = vae.spatial_compression_ratio if vae is not None else 32
        self.vae_temporal_compression_ratio = vae.temporal_compression_ratio if vae is not None else 8
        self.transformer_spatial_patch_size = transformer.config.patch_size if transformer is not None else 1
        self.transformer_temporal_patch_size = transformer.config.patch_size_t if transformer is not None else 1
        self.tokenizer_max_length = tokenizer.model_max_length if tokenizer is not None else 128
        self.video_processor = VideoProcessor(vae_scale_factor=self.vae_spatial_compression_ratio)
        self._guidance_scale = 1.0
        self._guidance_rescale = 0.0
        self._attention_kwargs: dict[str, Any] | None = None

    @property
    def guidance_scale(self) -> float:
        """Of the call that runs; a callback may set `_guidance_scale`, which holds from the next step on."""
        return self._guidance_scale

    @property
    def guidance_rescale(self) -> float:
        """Of the call that runs; a callback may set `_guidance_rescale`."""
        return self._guidance_rescale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the negative prompt has a say at this step."""
        return self._guidance_scale > 1.0

    @property
    def attention_kwargs(self) -> dict[str, Any] | None:
        """What the call hands to the transformer for its adapters."""
        return self._attention_kwargs

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
        max_sequence_length: int = 128,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Embed prompts and negative prompts. Needs only the text encoder and the tokenizer.

        Embeddings that are given are returned as they are. Those that are computed are repeated for the videos of a
        prompt, one prompt after the other, and so are their masks.

        Args:
            prompt, negative_prompt: a text or a list; one negative prompt serves all, and none is the empty text.
            do_classifier_free_guidance: whether negative prompts are needed.
            num_videos_per_prompt: rows for each prompt.
            max_sequence_length: tokens that a prompt is padded or cut to.

        Returns:
            Embeddings `(B, L, C)` and masks `(B, L)` of the prompts, then of the negative prompts.

        Raises:
            InputError: neither prompts nor embeddings, no text encoder, or lists that do not match.
        """
        device = device or self._execution_device
        prompts = as_list(prompt, "prompt")
        if prompts is not None:
            count = len(prompts)
        elif prompt_embeds is not None:
            count = prompt_embeds.shape[0]
        else:
            raise InputError("Neither prompt nor prompt_embeds was given; give one of them.")

        def embed(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            if self.text_encoder is None or self.tokenizer is None:
                raise InputError("This pipeline has no text encoder or no tokenizer; give embeddings and their masks.")
            embeds, mask = encode_t5(self.text_encoder, self.tokenizer, texts, max_sequence_length, device, dtype)
            return _repeat(embeds, num_videos_per_prompt), _repeat(mask, num_videos_per_prompt)

        if prompt_embeds is None and prompts is not None:
            prompt_embeds, prompt_attention_mask = embed(prompts)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negatives = inputs.negative_list(negative_prompt, count)
            negative_prompt_embeds, negative_prompt_attention_mask = embed(negatives)
        return prompt_embeds, prompt_attention_mask, negative_prompt_embeds, negative_prompt_attention_mask

    def prepare_latents(
        self,
        batch_size: int = 1,
        num_channels_latents: int = 128,
        height: int = 512,
        width: int = 704,
        num_frames: int = 161,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The noise that the walk starts from, as tokens `(B, N, C)`; or the given one."""
        if latents is not None:
            return latents.to(device=device, dtype=dtype)
        size = self._latent_size(num_frames, height, width)
        shape = (batch_size, num_channels_latents, size.frames, size.height, size.width)
        noise = randn(shape, generator, device, dtype)
        return pack(noise, self.transformer_spatial_patch_size, self.transformer_temporal_patch_size)

    def set_timesteps(self, steps: int, tokens: int, timesteps: list[float] | None) -> torch.Tensor:
        """Make the scheduler's schedule for a video of so many tokens; returns its timesteps, `(steps,)`."""
        config = self.scheduler.config
        mu = shift_for(
            tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        device = self._execution_device
        if timesteps is not None:
            self.scheduler.set_timesteps(timesteps=timesteps, device=device, mu=mu)
        else:
            self.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), device=device, mu=mu)
        schedule: torch.Tensor = self.scheduler.timesteps
        self._num_timesteps = len(schedule)
        return schedule

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
            timesteps: what the model is told at each step, in (0, 1000], falling, instead of the scheduler's own.
            guidance_scale: above 1, how far to go from the negative towards the positive prompt.
            guidance_rescale: how much of the guided prediction's deviation is set back, 0 to 1.
            num_videos_per_prompt: videos of each prompt; they come one prompt after the other.
            generator: of the noise; a list has one for each video.
            latents: the noise itself, tokens `(B, N, C)`.
            prompt_embeds, negative_prompt_embeds: texts that `encode_prompt` embedded, `(B, L, C)`, with
                `prompt_attention_mask` and `negative_prompt_attention_mask`, `(B, L)`.
            decode_timestep: in [0, 1], how noisy a timestep-conditioned decoder shall think its latents; a number, or
                one for each prompt or video.
            decode_noise_scale: how much noise is mixed in for it; as much as `decode_timestep` says by default.
            output_type: "pil", "np", "pt", or "latent" for the tokens.
            return_dict: return the output class rather than a tuple of one.
            attention_kwargs: handed to the transformer.
            callback_on_step_end: called after each step as `callback(pipeline, index, timestep, tensors)`; what it
                returns under "latents" and "prompt_embeds" (`[negative; positive]` under guidance) is gone on with.
            callback_on_step_end_tensor_inputs: names of the tensors that it is handed.
            max_sequence_length: tokens that a prompt is padded or cut to.

        Returns:
            Videos: lists of PIL images, an array `(B, T, H, W, C)` or a tensor `(B, T, C, H, W)` in [0, 1]; or tokens.

        Raises:
            InputError: an argument that cannot be used, before any work.
        """
        names = callback_names(callback_on_step_end, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        embeddings = Embeddings(
            prompt_embeds, prompt_attention_mask, negative_prompt_embeds, negative_prompt_attention_mask
        )
        inputs.check_size(height, width, num_frames, self.vae_temporal_compression_ratio)
        numbers = {"guidance_scale": guidance_scale, "guidance_rescale": guidance_rescale, "frame_rate": frame_rate}
        checks.check_numbers(numbers)
        checks.check_schedule(num_inference_steps, timesteps, "timesteps")
        checks.check_output_type(output_type)
        checks.check_count(num_videos_per_prompt, "num_videos_per_prompt")
        videos = inputs.count_prompts(prompt, negative_prompt, embeddings) * num_videos_per_prompt
        size = self._latent_size(num_frames, height, width)
        inputs.check_rows(generator, latents, videos, size.elements)
        for name, value in (("decode_timestep", decode_timestep), ("decode_noise_scale", decode_noise_scale)):
            per_video(value if value is not None else 0.0, videos, name)
        self._check_components(prompt is not None, output_type)
        self._guidance_scale, self._guidance_rescale = guidance_scale, guidance_rescale
        self._attention_kwargs, self._interrupt = attention_kwargs, False

        with self.progress.stage("encode prompt"):
            tensors, mask = self._condition(
                prompt, negative_prompt, num_videos_per_prompt, max_sequence_length, embeddings
            )
        latents = self.prepare_latents(
            videos,
            self.transformer.config.in_channels,
            height,
            width,
            num_frames,
            torch.float32,
            self._execution_device,
            generator,
            latents,
        )
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        ratio = self.vae_spatial_compression_ratio
        scale = (self.vae_temporal_compression_ratio / frame_rate, ratio, ratio)
        predict = TransformerPredictor(self.transformer, tensors, mask, videos, size, scale, attention_kwargs)
        with self.progress.stage("denoise", len(schedule)) as advance:
            watch = StepWatch(self, tensors, callback_on_step_end, names, advance)
            latents = denoise(latents, watch.steps(schedule), predict, self._guidance, self._advance, watch)

        frames: Any = latents
        if output_type != "latent":
            dtype = tensors["prompt_embeds"].dtype
            noise = (decode_timestep, decode_noise_scale, generator)
            frames = self.decode(latents, height, width, num_frames, *noise, dtype, output_type)
        return LTXPipelineOutput(frames) if return_dict else (frames,)

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
        """Decode tokens `(B, N, C)`, such as a call gives with `output_type="latent"`, to frames.

        If it fails, the tokens are in `pipe.latents`, so that nothing that was sampled is lost.

        Args:
            dtype: what the latents are rounded to, and noise is drawn in; the autoencoder's by default.
            height, width, num_frames, decode_timestep, decode_noise_scale, generator, output_type: as in a call.
        """
        again = f"pipe.decode(pipe.latents, height={height}, width={width}, num_frames={num_frames})"
        with self._keeping(latents, f"pipe.vae.enable_tiling() and then {again}"), self.progress.stage("decode"):
            size = self._latent_size(num_frames, height, width)
            patches = (self.transformer_spatial_patch_size, self.transformer_temporal_patch_size)
            video = decode_latents(
                self.vae,
                unpack(latents, size, *patches),
                dtype or self.vae.dtype,
                decode_timestep,
                decode_noise_scale,
                generator,
            )
            return self.video_processor.postprocess_video(video, output_type)

    def _latent_size(self, num_frames: int, height: int, width: int) -> LatentSize:
        ratios = (self.vae_temporal_compression_ratio, self.vae_spatial_compression_ratio)
        return LatentSize.of_video(num_frames, height, width, *ratios)

    def _check_components(self, encodes: bool, output_type: str) -> None:
        """Whether everything that a call needs is there."""
        encoders = ("text_encoder", "tokenizer") if encodes else ()
        self._require("transformer", "scheduler", *encoders, *(("vae",) if output_type != "latent" else ()))

    def _condition(
        self,
        prompt: str | list[str] | None,
        negative_prompt: str | list[str] | None,
        num_videos_per_prompt: int,
        max_sequence_length: int,
        embeddings: Embeddings,
    ) -> tuple[dict[str, Any], torch.Tensor]:
        """What callbacks see of the texts, and their mask, a row for each video: `[negative; positive]` under guidance."""
        guided = self.do_classifier_free_guidance
        encoded = self.encode_prompt(
            prompt,
            negative_prompt,
            guided,
            prompt_embeds=embeddings.positive,
            prompt_attention_mask=embeddings.mask,
            negative_prompt_embeds=embeddings.negative,
            negative_prompt_attention_mask=embeddings.negative_mask,
            max_sequence_length=max_sequence_length,
        )
        embeds, mask, negatives, negative_mask = (_repeat(rows, num_videos_per_prompt) for rows in encoded)
        tensors = {"prompt_embeds": embeds, "negative_prompt_embeds": negatives}
        if guided:
            tensors["prompt_embeds"] = torch.cat([negatives, embeds])
            mask = torch.cat([negative_mask, mask])
        return tensors, mask

    def _guidance(self, step: Step) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(self._guidance_scale, self._guidance_rescale)


def _repeat(rows: Any, times: int) -> Any:
    """Each row `times` times, one row after the other."""
    return rows if rows is None or times == 1 else rows.repeat_interleave(times, dim=0)
