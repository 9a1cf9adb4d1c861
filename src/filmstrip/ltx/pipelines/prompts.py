"""Prompts and their embeddings."""

from dataclasses import dataclass
from typing import TypeVar

import torch

from filmstrip.errors import InputError
from filmstrip.pipeline.checks import check_count

MaybeTensor = TypeVar("MaybeTensor", torch.Tensor, torch.Tensor | None)


@dataclass(frozen=True)
class PromptEmbeds:
    """Embeddings and masks of prompts and negative prompts; None where they are absent."""

    positive: torch.Tensor | None = None  # (B, L, C)
    positive_mask: torch.Tensor | None = None  # (B, L)
    negative: torch.Tensor | None = None  # (B, L, C)
    negative_mask: torch.Tensor | None = None  # (B, L)

    def repeat(self, num_videos_per_prompt: int) -> "PromptEmbeds":
        """Repeat each row for the videos of its prompt, which are consecutive."""
        return PromptEmbeds(
            repeat_rows(self.positive, num_videos_per_prompt),
            repeat_rows(self.positive_mask, num_videos_per_prompt),
            repeat_rows(self.negative, num_videos_per_prompt),
            repeat_rows(self.negative_mask, num_videos_per_prompt),
        )

    def to(self, dtype: torch.dtype) -> "PromptEmbeds":
        """Convert the embeddings to a dtype; the masks are unchanged."""
        return PromptEmbeds(
            None if self.positive is None else self.positive.to(dtype),
            self.positive_mask,
            None if self.negative is None else self.negative.to(dtype),
            self.negative_mask,
        )

    def stacked(self, guided: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Concatenate along the batch: `[negative; positive]` if guided, else positive.

        Returns:
            Embeddings and mask.

        Raises:
            InputError: an embedding or a mask that is needed is missing.
        """
        if self.positive is None or self.positive_mask is None:
            raise InputError("Neither prompt nor prompt_embeds was given; give one of them.")
        if not guided:
            return self.positive, self.positive_mask
        if self.negative is None or self.negative_mask is None:
            raise InputError(
                "Guidance needs negative prompts; give negative_prompt, or negative_prompt_embeds "
                "and their mask."
            )
        embeds = torch.cat([self.negative, self.positive])
        mask = torch.cat([self.negative_mask, self.positive_mask])
        return embeds, mask


@dataclass(frozen=True)
class PromptInputs:
    """The prompts of a call, texts or embeddings."""

    prompt: str | list[str] | None
    negative_prompt: str | list[str] | None = None
    embeds: PromptEmbeds = PromptEmbeds()
    num_videos_per_prompt: int = 1
    max_sequence_length: int = 128  # tokens that a prompt is padded or cut to

    def count_videos(self) -> int:
        """Check the prompts, and count the videos of the call.

        Raises:
            InputError: prompts and embeddings at once, or neither; embeddings without their
                masks; shapes or counts that do not match.
        """
        num_prompts = count_prompts(self.prompt, self.embeds.positive)
        check_count(self.num_videos_per_prompt, "num_videos_per_prompt")
        if self.prompt is not None and self.embeds.positive is not None:
            raise InputError("Both prompt and prompt_embeds were given; give one of them.")
        self._check_masks()
        self._check_shapes()
        negative_prompts(self.negative_prompt, num_prompts)
        return num_prompts * self.num_videos_per_prompt

    def _check_masks(self) -> None:
        embeds = self.embeds
        for name, tensor, mask in (
            ("prompt", embeds.positive, embeds.positive_mask),
            ("negative_prompt", embeds.negative, embeds.negative_mask),
        ):
            if tensor is not None and mask is None:
                raise InputError(
                    f"{name}_embeds was given without {name}_attention_mask; encode_prompt returns "
                    "both."
                )

    def _check_shapes(self) -> None:
        embeds = self.embeds
        for name, positive, negative in (
            ("embeds", embeds.positive, embeds.negative),
            ("attention_mask", embeds.positive_mask, embeds.negative_mask),
        ):
            if positive is None or negative is None:
                continue
            if positive.shape != negative.shape:
                raise InputError(
                    f"prompt_{name} is {tuple(positive.shape)} and negative_prompt_{name} is "
                    f"{tuple(negative.shape)}; they must have the same shape."
                )


def count_prompts(prompt: str | list[str] | None, embeds: torch.Tensor | None) -> int:
    """The number of prompts, or of embedded prompts.

    Raises:
        InputError: neither was given.
    """
    prompts = prompt_list(prompt, "prompt")
    if prompts is not None:
        return len(prompts)
    if embeds is not None:
        return len(embeds)
    raise InputError("Neither prompt nor prompt_embeds was given; give one of them.")


def negative_prompts(negative_prompt: str | list[str] | None, num_prompts: int) -> list[str]:
    """A list with a negative prompt for each prompt.

    Args:
        negative_prompt: one for all prompts, or a list; `None` is the empty text.

    Raises:
        InputError: a list of another length.
    """
    negatives = prompt_list(negative_prompt or "", "negative_prompt") or []
    if not isinstance(negative_prompt, list):
        return negatives * num_prompts
    if len(negatives) != num_prompts:
        raise InputError(
            f"There are {len(negatives)} negative prompts for {num_prompts} prompts; give one, or "
            "one for each."
        )
    return negatives


def prompt_list(prompt: str | list[str] | None, name: str) -> list[str] | None:
    """A prompt or a list of prompts as a list; `None` is returned as it is.

    Args:
        name: of the argument, for the error.

    Raises:
        InputError: another type, or an empty list.
    """
    if prompt is None:
        return None
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list):
        raise InputError(
            f"{name} is of type {type(prompt).__name__}; give a string or a list of strings."
        )
    if not prompt:
        raise InputError(f"{name} is an empty list; give a string or a list of strings.")
    for item in prompt:
        if not isinstance(item, str):
            raise InputError(f"{name} holds {item!r}; give a string or a list of strings.")
    return prompt


def repeat_rows(rows: MaybeTensor, times: int) -> MaybeTensor:
    """Repeat each row; the copies of a row are consecutive. `None` is returned as it is."""
    if rows is None or times == 1:
        return rows
    return rows.repeat_interleave(times, dim=0)
