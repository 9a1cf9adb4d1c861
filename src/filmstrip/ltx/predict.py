"""What the denoising loop asks LTX's transformer, and the texts it asks about."""

from collections.abc import Mapping
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.latents import LatentSize
from filmstrip.ltx.transformer import LTXPrepared
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Condition


class TransformerPredictor:
    """Asks the transformer about all conditions of a step in one batch.

    Args:
        transformer: the module, or the same compiled.
        tensors: holds `prompt_embeds`, `[negative; positive]` under guidance, which a callback may replace or change.
        mask: of the tokens of `prompt_embeds` at the start.
        videos: rows of latents.
        size: of the latents, in tokens.
        rope_interpolation_scale: seconds per latent frame, and pixels per latent row and column.
        attention_kwargs: handed to the transformer.
    """

    def __init__(
        self,
        transformer: Any,
        tensors: Mapping[str, Any],
        mask: torch.Tensor,
        videos: int,
        size: LatentSize,
        rope_interpolation_scale: tuple[float, float, float],
        attention_kwargs: dict[str, Any] | None,
    ) -> None:
        self.transformer, self.tensors, self.mask, self.videos = transformer, tensors, mask, videos
        self.size, self.scale, self.attention_kwargs = size, rope_interpolation_scale, attention_kwargs
        self._prepared: LTXPrepared | None = None
        self._prepared_for: tuple[Any, ...] = ()

    def __call__(self, latents: torch.Tensor, step: Step, conditions: tuple[Condition, ...]) -> torch.Tensor:
        """The velocity `(len(conditions) * B, N, C)` of latents `(B, N, C)`."""
        prepared = self.prepare(conditions)
        tokens = latents.repeat(len(conditions), 1, 1).to(self.tensors["prompt_embeds"].dtype)
        prediction: torch.Tensor = self.transformer(
            tokens,
            timestep=step.timestep.expand(tokens.shape[0]),
            attention_kwargs=self.attention_kwargs,
            return_dict=False,
            prepared=prepared,
        )[0]
        return prediction

    def prepare(self, conditions: tuple[Condition, ...]) -> LTXPrepared:
        """The transformer's step-invariant work, done again only where a callback changed the text or the guidance."""
        embeds = self.tensors["prompt_embeds"]
        # `_version` counts the changes that were made to a tensor in place.
        wanted = (conditions, id(embeds), embeds._version)
        if self._prepared is None or wanted != self._prepared_for:
            text, mask = self._rows(embeds, conditions)
            grid = (self.size.frames, self.size.height, self.size.width)
            self._prepared = self.transformer.prepare(text, mask, *grid, self.scale)
            self._prepared_for = wanted
            self._text = embeds  # kept, so that no other tensor can take its identity
        return self._prepared

    def _rows(self, embeds: torch.Tensor, conditions: tuple[Condition, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of texts and mask for these conditions: the last, where guidance was switched off on the way."""
        rows = self.videos * len(conditions)
        if embeds.shape[0] < rows or self.mask.shape[0] < rows or embeds.shape[1] != self.mask.shape[1]:
            raise InputError(
                f"A callback left prompt_embeds of shape {tuple(embeds.shape)}; this step needs {rows} rows of "
                f"{self.mask.shape[1]} tokens, for {' and '.join(conditions)} prompts of {self.videos} videos."
            )
        return embeds[-rows:], self.mask[-rows:]
