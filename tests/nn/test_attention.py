"""Attention: temporal attention equals attention at each position, on views and in chunks."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from filmstrip.nn import ops
from filmstrip.nn.attention import Attention
from filmstrip.nn.ops import attention, temporal_attention


@pytest.mark.parametrize("limit", [65535, 5, 1])
def test_temporal_attention_is_attention_at_each_position(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "MAX_HEADS", limit)
    query, key, value = (torch.randn(2 * 3, 7, 8) for _ in range(3))
    mixed = temporal_attention(query, key, value, heads=2, num_frames=3)
    for video in range(2):
        for position in range(7):
            frames = (
                tokens.view(2, 3, 7, 8)[video, :, position][None] for tokens in (query, key, value)
            )
            torch.testing.assert_close(
                mixed.view(2, 3, 7, 8)[video, :, position][None], attention(*frames, heads=2)
            )


def test_temporal_attention_passes_views_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = (torch.randn(2 * 3, 7, 8) for _ in range(3))
    calls = []
    attend = F.scaled_dot_product_attention

    def record(*args: torch.Tensor, **options: Any) -> torch.Tensor:
        calls.append(args)
        return attend(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", record)
    temporal_attention(query, key, value, heads=2, num_frames=3)
    assert [t.data_ptr() for t in calls[0]] == [t.data_ptr() for t in (query, key, value)]
    assert calls[0][0].shape == (2, 14, 3, 4)


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_prepared_context_gives_the_same_attention(tokens: int) -> None:
    layer = Attention(8, heads=2, context_dim=6)
    x = torch.randn(2, 5, 8)
    context = torch.randn(2, tokens, 6)
    full = layer(x, keys_values=(layer.to_k(context), layer.to_v(context)))
    prepared = layer.prepare(context)
    output = prepared[0].expand(-1, 5, -1) if tokens == 1 else layer(x, keys_values=prepared)
    torch.testing.assert_close(output, full)
