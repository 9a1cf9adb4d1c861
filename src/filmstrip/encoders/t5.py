"""Embeddings of prompts by T5."""

from typing import Any

import torch

from filmstrip.logging import get_logger

logger = get_logger(__name__)


def encode_prompts(
    text_encoder: Any,
    tokenizer: Any,
    prompts: list[str],
    max_sequence_length: int,
    device: torch.device,
    use_attention_mask: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed prompts, padded to `max_sequence_length` tokens, or cut to it with a warning.

    Args:
        text_encoder: a `T5EncoderModel` of transformers.
        tokenizer: the tokenizer of this T5.
        max_sequence_length: in tokens.
        device: of the text encoder and of the result.
        use_attention_mask: hide the padding tokens from the encoder.

    Returns:
        Embeddings `(B, L, C)` in the dtype of the encoder, and their boolean mask `(B, L)`.
    """
    tokens = tokenizer(
        prompts,
        padding="max_length",
        max_length=max_sequence_length,
        truncation=True,
        return_tensors="pt",
    )
    _warn_of_cut_prompts(tokenizer, prompts, max_sequence_length)
    mask = tokens.attention_mask.bool().to(device)
    embeds = text_encoder(
        tokens.input_ids.to(device), attention_mask=mask if use_attention_mask else None
    )[0]
    return embeds.to(device), mask


def _warn_of_cut_prompts(tokenizer: Any, prompts: list[str], max_sequence_length: int) -> None:
    """Warn of each prompt that is too long, with the part that is cut."""
    all_ids = tokenizer(prompts, verbose=False).input_ids
    for prompt, ids in zip(prompts, all_ids, strict=True):
        if len(ids) > max_sequence_length:
            # The last token of a cut prompt is the end of sequence.
            removed = tokenizer.decode(ids[max_sequence_length - 1 : -1])
            logger.warning(
                "The prompt %r... has %d tokens, and max_sequence_length is %d: "
                "this part was cut: %r",
                prompt[:40],
                len(ids),
                max_sequence_length,
                removed,
            )
