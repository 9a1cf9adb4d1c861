"""Text to video and image to video with LTX-Video."""

from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.base import LTXBase
from filmstrip.ltx.conditions import LTXVideoCondition, load_condition
from filmstrip.ltx.decode import Decoding, PerVideo
from filmstrip.ltx.encode import encode_videos
from filmstrip.ltx.inputs import Clip, Texts, WalkOptions, check_tokens
from filmstrip.ltx.latents import pack
from filmstrip.ltx.walk import FirstFrameHeld, FreeTokens
from filmstrip.nn.noise import Generators
from filmstrip.outputs import LTXPipelineOutput
from filmstrip.pipeline.denoise import Callback


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
        embeds, masks = (prompt_embeds, negative_prompt_embeds), (prompt_attention_mask, negative_prompt_attention_mask)
        texts = Texts(prompt, negative_prompt, (*embeds, *masks), num_videos_per_prompt, max_sequence_length)
        clip = Clip(height, width, num_frames, frame_rate)
        options = WalkOptions(num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs)
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        watching = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        videos = self._begin(texts, clip, options, decoding, *watching)
        size = self._latent_size(clip)
        check_tokens(latents, videos, size.elements)

        encoded = self._encode_texts(texts, videos)
        if latents is None:
            latents = pack(self._noise(videos, size, generator))
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        where = self._positions(frame_rate, False, size)
        tokens = self._denoise(latents, schedule, encoded, FreeTokens(self._advance), where, *watching)
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
            image: a picture, or a list, array or tensor of them, one for all videos or one for each prompt or video; it
                is stretched to the size of the video.
            latents: tokens `(B, N, C)`, those of the first latent frame clean; then `image` is not looked at.
            generator: of the picture's draw and the noise; a list has one for each video.

        The other arguments, the result and the errors are those of `LTXPipeline`.
        """
        embeds, masks = (prompt_embeds, negative_prompt_embeds), (prompt_attention_mask, negative_prompt_attention_mask)
        texts = Texts(prompt, negative_prompt, (*embeds, *masks), num_videos_per_prompt, max_sequence_length)
        clip = Clip(height, width, num_frames, frame_rate)
        options = WalkOptions(num_inference_steps, timesteps, guidance_scale, guidance_rescale, attention_kwargs)
        decoding = Decoding(decode_timestep, decode_noise_scale, generator, output_type)
        watching = (callback_on_step_end, callback_on_step_end_tensor_inputs)
        videos = self._begin(texts, clip, options, decoding, *watching)
        size = self._latent_size(clip)
        check_tokens(latents, videos, size.elements)
        if latents is None:
            if image is None:
                raise InputError("Neither image nor latents was given; give the picture that the video begins with.")
            self._require("vae")
            ratio = self.vae_temporal_compression_ratio
            first = load_condition(LTXVideoCondition(image), self.video_processor, clip, ratio, videos).pixels

        encoded = self._encode_texts(texts, videos)
        if latents is None:
            with self.progress.stage("encode picture"):
                held = encode_videos(self.vae, first, generator, videos)
            noise = self._noise(videos, size, generator)
            latents = pack(torch.cat([held, noise[:, :, 1:]], dim=2))
        schedule = self.set_timesteps(num_inference_steps, size.elements, timesteps)
        where = self._positions(frame_rate, False, size)
        walk = FirstFrameHeld(self._advance, size)
        tokens = self._denoise(latents, schedule, encoded, walk, where, *watching)
        return self._finish(tokens, clip, decoding, encoded, return_dict)
