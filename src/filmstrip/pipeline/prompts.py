"""Prompts to embeddings, through T5 from transformers."""

from collections.abc import Sequence
from typing import Any

import torch

from filmstrip.errors import InputError
from filmstrip.logging import get_logger

logger = get_logger(__name__)


def encode_t5(
    text_encoder: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_sequence_length: int,
    device: torch.device,
    dtype: torch.dtype | None = None,
    masked: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed prompts, padded to `max_sequence_length` tokens, or cut with a warning that names what was cut.

    Args:
        masked: hide the padding from the encoder.

    Returns:
        Embeddings `(B, L, C)` in `dtype` (the encoder's own by default), and their boolean mask `(B, L)`.
    """
    tokens = tokenizer(
        list(prompts), padding="max_length", max_length=max_sequence_length, truncation=True, return_tensors="pt"
    )
    for prompt, ids in zip(prompts, tokenizer(list(prompts), verbose=False).input_ids, strict=True):
        if len(ids) > max_sequence_length:
            cut = tokenizer.decode(ids[max_sequence_length - 1 : -1])  # the last token that is kept is the end mark
            message = "The prompt %r... has %d tokens, and max_sequence_length is %d: this part was cut: %r"
            logger.warning(message, prompt[:40], len(ids), max_sequence_length, cut)
    mask = tokens.attention_mask.bool().to(device)
    embeds = text_encoder(tokens.input_ids.to(device), attention_mask=mask if masked else None)[0]
    return embeds.to(device, dtype or text_encoder.dtype), mask


def as_list(prompt: str | list[str] | None, name: str) -> list[str] | None:
    """A prompt or a list of prompts as a list; anything else, or an empty list, is refused."""
    if prompt is None or isinstance(prompt, str):
        return None if prompt is None else [prompt]
    if not isinstance(prompt, list):
        raise InputError(f"{name} is of type {type(prompt).__name__}; give a string or a list of strings.")
    wrong = [item for item in prompt if not isinstance(item, str)]
    if wrong or not prompt:
        found = f"holds {wrong[0]!r}" if wrong else "is an empty list"
        raise InputError(f"{name} {found}; give a string or a list of strings.")
    return prompt
