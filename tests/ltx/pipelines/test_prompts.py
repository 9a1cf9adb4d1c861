"""Prompts and embeddings of a call: how they are counted, repeated and stacked."""

from typing import Any

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.ltx.pipelines.prompts import PromptEmbeds, PromptInputs


def embeds(rows: int = 2, first: float = 0.0) -> torch.Tensor:
    return torch.arange(rows * 6.0).view(rows, 3, 2) + first


def mask(rows: int = 2, first: int = 0) -> torch.Tensor:
    return torch.arange(rows * 3).view(rows, 3) + first


BOTH = PromptEmbeds(embeds(), mask(), embeds(first=100.0), mask(first=100))


def test_rows_are_repeated_one_prompt_after_the_other() -> None:
    repeated = BOTH.repeat(2)
    for name in ("positive", "positive_mask", "negative", "negative_mask"):
        rows = getattr(BOTH, name)
        assert torch.equal(getattr(repeated, name), rows[[0, 0, 1, 1]])
    assert BOTH.repeat(1) == BOTH
    assert PromptEmbeds(embeds()).repeat(3).negative is None


def test_only_embeddings_change_their_dtype() -> None:
    half = BOTH.to(torch.float16)
    assert half.positive is not None
    assert half.negative is not None
    assert half.positive.dtype == half.negative.dtype == torch.float16
    assert half.positive_mask is BOTH.positive_mask
    assert half.negative_mask is BOTH.negative_mask
    assert PromptEmbeds().to(torch.float16) == PromptEmbeds()


def test_guided_prompts_are_stacked_after_the_negative_ones() -> None:
    stacked, stacked_mask = BOTH.stacked(guided=True)
    assert torch.equal(stacked, torch.cat([embeds(first=100.0), embeds()]))
    assert torch.equal(stacked_mask, torch.cat([mask(first=100), mask()]))
    positive, positive_mask = BOTH.stacked(guided=False)
    assert positive is BOTH.positive
    assert positive_mask is BOTH.positive_mask


@pytest.mark.parametrize(
    ("prompts", "guided", "message"),
    [
        (PromptEmbeds(), False, "Neither prompt nor prompt_embeds"),
        (PromptEmbeds(embeds()), False, "Neither prompt nor prompt_embeds"),
        (PromptEmbeds(embeds(), mask()), True, "Guidance needs negative prompts"),
        (PromptEmbeds(embeds(), mask(), embeds()), True, "Guidance needs negative prompts"),
        (
            PromptEmbeds(embeds(), mask(), None, mask()),
            True,
            "Guidance needs negative prompts",
        ),
    ],
)
def test_missing_prompts_are_refused(prompts: PromptEmbeds, guided: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prompts.stacked(guided)


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        (PromptInputs("a cat"), 1),
        (PromptInputs(["a cat", "a dog"]), 2),
        (PromptInputs(["a cat", "a dog"], num_videos_per_prompt=3), 6),
        (PromptInputs(["a cat", "a dog"], ["blur", ""]), 2),
        (PromptInputs(["a cat", "a dog"], "blur"), 2),
        (PromptInputs(None, embeds=BOTH, num_videos_per_prompt=2), 4),
        (PromptInputs("a cat", embeds=PromptEmbeds(None, None, embeds(1), mask(1))), 1),
    ],
)
def test_videos_are_counted(inputs: PromptInputs, count: int) -> None:
    assert inputs.count_videos() == count


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "Neither prompt nor prompt_embeds was given"),
    ({"prompt": []}, "prompt is an empty list"),
    ({"prompt": ("a cat",)}, "prompt is of type tuple; give a string"),
    ({"prompt": ["a cat", 3]}, "prompt holds 3; give a string"),
    ({"prompt": "a cat", "num_videos_per_prompt": 0}, "num_videos_per_prompt is 0"),
    ({"prompt": "a cat", "embeds": BOTH}, "Both prompt and prompt_embeds"),
    ({"prompt": "a cat", "negative_prompt": 5}, "negative_prompt is of type int"),
    (
        {"prompt": "a cat", "negative_prompt": ["a", "b"]},
        "There are 2 negative prompts for 1 prompts",
    ),
    (
        {"prompt": None, "embeds": PromptEmbeds(embeds())},
        "prompt_embeds was given without prompt_attention_mask",
    ),
    (
        {"prompt": "a cat", "embeds": PromptEmbeds(negative=embeds())},
        "negative_prompt_embeds was given without negative_prompt_attention_mask",
    ),
    (
        {"prompt": None, "embeds": PromptEmbeds(embeds(2), mask(2), embeds(1), mask(2))},
        r"prompt_embeds is \(2, 3, 2\) and negative_prompt_embeds is \(1, 3, 2\)",
    ),
    (
        {"prompt": None, "embeds": PromptEmbeds(embeds(2), mask(2), embeds(2), mask(1))},
        r"prompt_attention_mask is \(2, 3\) and negative_prompt_attention_mask is \(1, 3\)",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[message for _, message in WRONG])
def test_prompts_that_do_not_match_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PromptInputs(**arguments).count_videos()
