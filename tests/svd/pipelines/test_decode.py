"""Latents are decoded in chunks of one video's frames, and once more in float32 where float16
overflows.
"""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from filmstrip.outputs import DecoderOutput
from filmstrip.svd.pipelines.decode import decode_latents


class Doubling:
    """A decoder of a factor: it overflows in float16 for latents above a bound, and notes what it
    is asked.
    """

    config = SimpleNamespace(scaling_factor=0.5)

    def __init__(self, dtype: torch.dtype = torch.float32, overflows_at: float = 100.0) -> None:
        self.dtype, self.overflows_at = dtype, overflows_at
        self.calls: list[tuple[int, torch.dtype]] = []

    def decode(self, z: torch.Tensor, num_frames: int, compute_dtype: torch.dtype) -> DecoderOutput:
        assert z.shape[0] == num_frames
        assert z.dtype == compute_dtype
        self.calls.append((num_frames, compute_dtype))
        lost = compute_dtype == torch.float16 and bool((z.abs() > self.overflows_at).any())
        return DecoderOutput(z[:, :3].repeat(1, 1, 2, 2) * (float("nan") if lost else 1))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("filmstrip")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def latents(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(2 * 5 * 4 * 2 * 3, dtype=dtype).reshape(2, 5, 4, 2, 3) / 10


def wanted(given: torch.Tensor) -> torch.Tensor:
    return (2 * given.float())[:, :, :3].repeat(1, 1, 1, 2, 2).transpose(1, 2)


@pytest.mark.parametrize(
    ("chunk", "sizes"), [(1, [1] * 10), (2, [2, 2, 1] * 2), (5, [5, 5]), (14, [5, 5])]
)
def test_no_chunk_spans_two_videos(chunk: int, sizes: list[int]) -> None:
    vae = Doubling()
    video = decode_latents(vae, latents(), chunk)
    assert [size for size, _ in vae.calls] == sizes
    assert torch.equal(video, wanted(latents()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_frames_are_float32_whatever_the_decoder_is(dtype: torch.dtype, warnings: Any) -> None:
    vae = Doubling(dtype)
    video = decode_latents(vae, latents(dtype), 5)
    assert video.dtype == torch.float32
    torch.testing.assert_close(video, wanted(latents(dtype)))
    assert vae.dtype == dtype
    assert not warnings.records


def test_what_overflows_in_float16_is_decoded_in_float32_with_one_warning(warnings: Any) -> None:
    vae = Doubling(torch.float16, overflows_at=12.0)
    video = decode_latents(vae, latents(torch.float16), 2)
    torch.testing.assert_close(video, wanted(latents(torch.float16)))
    assert vae.dtype == torch.float16
    dtypes = [dtype for _, dtype in vae.calls]
    # float32 from the first overflow on
    assert dtypes == sorted(dtypes, key=lambda dtype: dtype == torch.float32)
    assert len(dtypes) == 6 + 1
    assert len(warnings.records) == 1


def test_latents_that_are_not_numbers_are_not_tried_again(warnings: Any) -> None:
    vae = Doubling(torch.float16)
    decode_latents(vae, latents(torch.float16) * float("nan"), 5)
    assert len(vae.calls) == 2
    assert not warnings.records
