"""Predictions of LTX's transformer for the denoising loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from filmstrip.errors import InputError
from filmstrip.ltx.pipelines.prompts import PromptEmbeds
from filmstrip.ltx.pipelines.steppers import TokenStepper
from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Branch, Guider, SpatioTemporalGuidance

if TYPE_CHECKING:  # the models are imported when they are loaded
    from filmstrip.ltx.models.transformer import LTXPrepared
    from filmstrip.ltx.models.transformer_blocks import Perturbation


@dataclass(eq=False)
class TransformerPredictor:
    """Runs the transformer for all branches of a step in one batch.

    A callback may replace the prompt embeddings between steps: they are the `CallbackTensors` of
    the call.

    Args:
        transformer: an `LTXVideoTransformer3DModel`, plain or compiled.
        prompts: embeddings, a row for each video.
        guided: whether the call starts with guidance; then callbacks get `prompt_embeds` as
            `[negative; positive]`.
        num_videos: of the call.
        stepper: has the timestep of each token.
        positions: of the tokens, `(1 or B, 3, N)`: second, pixel row, pixel column.
        attention_kwargs: passed to the transformer.
    """

    transformer: Any
    prompts: PromptEmbeds
    guided: bool
    num_videos: int
    stepper: TokenStepper
    positions: torch.Tensor
    attention_kwargs: dict[str, Any] | None = None
    _prompt_embeds: torch.Tensor = field(init=False)
    _prompt_mask: torch.Tensor = field(init=False)
    _version: int = field(init=False)  # of the embeddings: counts changes in place
    _prepared: "LTXPrepared | None" = field(default=None, init=False)
    _prepared_branches: tuple[Branch, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self._prompt_embeds, self._prompt_mask = self.prompts.stacked(self.guided)
        self._version = _version(self._prompt_embeds)

    def __call__(self, latents: torch.Tensor, step: Step, guider: Guider) -> torch.Tensor:
        """The velocity `(len(guider.branches) * B, N, C)` of tokens `(B, N, C)`."""
        branches = guider.branches
        num_branches = len(branches)
        timestep = self.stepper.timesteps(latents, step)
        timestep = timestep.expand(len(latents), *[-1] * (timestep.ndim - 1))
        tokens = latents.repeat(num_branches, 1, 1).to(self._prompt_embeds.dtype)
        prediction: torch.Tensor = self.transformer(
            tokens,
            timestep=torch.cat([timestep] * num_branches),
            attention_kwargs=self.attention_kwargs,
            return_dict=False,
            prepared=self._prepare(branches),
            **self._perturbation(guider, latents),
        )[0]
        return prediction

    def callback_tensors(self) -> dict[str, Any]:
        """The tensors that a callback may get besides the latents."""
        return {
            "prompt_embeds": self._prompt_embeds,
            "negative_prompt_embeds": self.prompts.negative,
        }

    def replace_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Use the prompt embeddings that a callback returned, or changed in place."""
        if "prompt_embeds" not in tensors:
            return
        embeds: torch.Tensor = tensors["prompt_embeds"]
        is_same = embeds is self._prompt_embeds and not embeds.is_inference()
        if is_same and _version(embeds) == self._version:
            return
        self._prompt_embeds = embeds
        self._version = _version(embeds)
        self._prepared = None

    def _perturbation(self, guider: Guider, latents: torch.Tensor) -> "dict[str, Perturbation]":
        """The argument `perturbation` of the transformer, if a branch is perturbed."""
        if not isinstance(guider, SpatioTemporalGuidance) or "perturbed" not in guider.branches:
            return {}
        from filmstrip.ltx.models.transformer_blocks import Perturbation

        is_perturbed = [branch == "perturbed" for branch in guider.branches]
        rows = torch.tensor(is_perturbed, device=latents.device).repeat_interleave(len(latents))
        return {"perturbation": Perturbation(guider.mode, guider.blocks, rows)}

    def _prepare(self, branches: tuple[Branch, ...]) -> "LTXPrepared":
        """The step-invariant inputs, computed again only if the prompts or the branches changed."""
        if self._prepared is None or self._prepared_branches != branches:
            embeds, mask = self._rows(branches)
            prepared: LTXPrepared = self.transformer.prepare(
                embeds,
                mask,
                video_coords=self.positions,
                attention_kwargs=self.attention_kwargs,
            )
            self._prepared = prepared
            self._prepared_branches = branches
        return self._prepared

    def _rows(self, branches: Sequence[Branch]) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and masks of these branches.

        In `prompt_embeds`, the first rows are negative and the last are positive.

        Raises:
            InputError: a callback set embeddings of another shape.
        """
        embeds = self._prompt_embeds
        mask = self._prompt_mask
        num_videos = self.num_videos
        num_prompt_branches = len(set(branches) - {"perturbed"})
        num_rows = num_videos * num_prompt_branches
        too_few = embeds.shape[0] < num_rows or mask.shape[0] < num_rows
        if too_few or embeds.shape[1] != mask.shape[1]:
            raise InputError(
                f"A callback set prompt_embeds of shape {tuple(embeds.shape)}; this step needs "
                f"{num_rows} rows of {mask.shape[1]} tokens, for {' and '.join(branches)} prompts "
                f"of {num_videos} videos."
            )
        negative_rows = slice(-num_rows, num_videos - num_rows or None)
        positive_rows = slice(-num_videos, None)
        rows = [negative_rows if branch == "negative" else positive_rows for branch in branches]
        return torch.cat([embeds[row] for row in rows]), torch.cat([mask[row] for row in rows])


def _version(tensor: torch.Tensor) -> int:
    """How often a tensor was changed in place; -1 for inference tensors, which do not count it."""
    return -1 if tensor.is_inference() else tensor._version
