"""`LTXRecipePipeline` has the embeddings of transformers' T5 for 256 tokens and a mask."""

import pytest
import torch

from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from tests.parity.pipelines import tiny_t5, tiny_tokenizer

PROMPTS = [
    "a red circle moves left",
    "the very very long blue star turns right over a green square",
]


@pytest.fixture(scope="module")
def pipe() -> LTXRecipePipeline:
    return LTXRecipePipeline(None, tiny_t5(), tiny_tokenizer(), None)


def test_prompts_are_padded_to_256_tokens_with_a_mask(pipe: LTXRecipePipeline) -> None:
    embeds, mask, negative, negative_mask = pipe.encode_prompt(PROMPTS, "a cat")
    tokens = pipe.tokenizer(
        [*PROMPTS, "a cat"], padding="max_length", max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        expected = pipe.text_encoder(
            tokens.input_ids, attention_mask=tokens.attention_mask
        ).last_hidden_state
    assert embeds is not None
    assert torch.equal(embeds, expected[:2])
    assert torch.equal(negative, expected[[2, 2]])  # type: ignore[arg-type]
    assert torch.equal(mask, tokens.attention_mask[:2].bool())  # type: ignore[arg-type]
    assert torch.equal(negative_mask, tokens.attention_mask[[2, 2]].bool())  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_padding_does_not_change_the_embeddings_of_the_other_tokens(
    pipe: LTXRecipePipeline, prompt: str
) -> None:
    embeds, mask, _, _ = pipe.encode_prompt(prompt, None, False)
    with torch.no_grad():
        unpadded = pipe.text_encoder(
            **pipe.tokenizer(prompt, return_tensors="pt")
        ).last_hidden_state
    assert embeds is not None
    torch.testing.assert_close(embeds[mask][None], unpadded)  # type: ignore[index]


def test_a_text_of_more_than_256_tokens_is_cut_with_a_warning(
    pipe: LTXRecipePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    embeds, mask, _, _ = pipe.encode_prompt("a very " * 140 + "long cat", None, False)
    assert embeds is not None
    assert mask is not None
    assert embeds.shape == (1, 256, 12)
    assert mask.all()
    assert "has 283 tokens, and max_sequence_length is 256" in caplog.text
