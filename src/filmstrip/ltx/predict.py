"""What the denoising loop asks LTX's transformer, and the texts it asks about."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.transformer import LTXPrepared, Perturbation
from filmstrip.ltx.walk import Walk
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Condition, SpatioTemporalGuidance


@dataclass(frozen=True)
class EncodedTexts:
    """The texts of a call, a row for each video."""

    tensors: dict[str, Any]  # `prompt_embeds` (B, L, C), under guidance [negative; positive]; callbacks may replace it
    mask: torch.Tensor  # (B, L), of `prompt_embeds` at the start
    videos: int


@dataclass(eq=False)
class TransformerPredictor:
    """Asks the transformer about all conditions of a step in one batch."""

    transformer: Any  # the module, or the same compiled
    texts: EncodedTexts
    walk: Walk  # what the model sees of the tokens, and their timesteps
    positions: torch.Tensor  # of the tokens, (1 or B, 3, N): second, pixel row, pixel column
    attention_kwargs: dict[str, Any] | None = None
    guide: Callable[[Step], SpatioTemporalGuidance] | None = None  # the guidance, where it perturbs the transformer
    _prepared: LTXPrepared | None = field(default=None, init=False)
    _prepared_for: tuple[Any, ...] = field(default=(None, None, None), init=False)

    def __call__(self, latents: torch.Tensor, step: Step, conditions: tuple[Condition, ...]) -> torch.Tensor:
        """The velocity `(len(conditions) * B, N, C)` of latents `(B, N, C)`."""
        prepared = self.prepare(conditions)
        tokens, timestep = self.walk.model_input(latents, step)
        timestep = timestep.expand(len(tokens), *[-1] * (timestep.ndim - 1))
        more: dict[str, Any] = {}
        if self.guide is not None and "perturbed" in conditions:
            guidance = self.guide(step)
            perturbed = torch.tensor([condition == "perturbed" for condition in conditions], device=tokens.device)
            rows = perturbed.repeat_interleave(len(tokens))
            more["perturbation"] = Perturbation(guidance.mode, guidance.blocks, rows)
        prediction: torch.Tensor = self.transformer(
            tokens.repeat(len(conditions), 1, 1).to(self.texts.tensors["prompt_embeds"].dtype),
            timestep=torch.cat([timestep] * len(conditions)),
            attention_kwargs=self.attention_kwargs,
            return_dict=False,
            prepared=prepared,
            **more,
        )[0]
        return prediction

    def prepare(self, conditions: tuple[Condition, ...]) -> LTXPrepared:
        """The transformer's step-invariant work, done again only where a callback changed the text or the guidance."""
        embeds = self.texts.tensors["prompt_embeds"]
        # `_version` counts the changes that were made to a tensor in place.
        done_for, text, version = self._prepared_for
        if self._prepared is None or conditions != done_for or embeds is not text or embeds._version != version:
            rows, mask = self._rows(embeds, conditions)
            self._prepared = self.transformer.prepare(rows, mask, video_coords=self.positions)
            self._prepared_for = (conditions, embeds, embeds._version)
        return self._prepared

    def _rows(self, embeds: torch.Tensor, conditions: tuple[Condition, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of texts and mask for these conditions: the first for the negative prompts, else the last."""
        videos, mask = self.texts.videos, self.texts.mask
        rows = videos * len({*conditions} - {"perturbed"})
        if embeds.shape[0] < rows or mask.shape[0] < rows or embeds.shape[1] != mask.shape[1]:
            raise InputError(
                f"A callback left prompt_embeds of shape {tuple(embeds.shape)}; this step needs {rows} rows of "
                f"{mask.shape[1]} tokens, for {' and '.join(conditions)} prompts of {videos} videos."
            )
        first, last = slice(-rows, videos - rows or None), slice(-videos, None)
        parts = [first if condition == "negative" else last for condition in conditions]
        return torch.cat([embeds[part] for part in parts]), torch.cat([mask[part] for part in parts])
