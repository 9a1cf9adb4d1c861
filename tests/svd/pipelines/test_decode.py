"""Latents are decoded in chunks of one video, and in float32 if float16 overflows."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from filmstrip.outputs import DecoderOutput
from filmstrip.svd.pipelines.decode import decode_latents


class Doubling:
    """A decoder that doubles latents, overflows in float16 above a bound, and records its calls."""

    config = SimpleNamespace(scaling_factor=0.5)

    def __init__(self, dtype: torch.dtype = torch.float32, overflows_at: float = 100.0) -> None:
        self.dtype = dtype
        self.overflows_at = overflows_at
        self.calls: list[tuple[int, torch.dtype]] = []

    def decode(self, z: torch.Tensor, num_frames: int, compute_dtype: torch.dtype) -> DecoderOutput:
        assert z.shape[0] == num_frames
        assert z.dtype == compute_dtype
        self.calls.append((num_frames, compute_dtype))
        is_above = bool((z.abs() > self.overflows_at).any())
        factor = float("nan") if compute_dtype == torch.float16 and is_above else 1
        return DecoderOutput(z[:, :3].repeat(1, 1, 2, 2) * factor)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("filmstrip")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def latents(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(2 * 5 * 4 * 2 * 3, dtype=dtype).reshape(2, 5, 4, 2, 3) / 10


def expected_video(latents: torch.Tensor) -> torch.Tensor:
    return (2 * latents.float())[:, :, :3].repeat(1, 1, 1, 2, 2).transpose(1, 2)


@pytest.mark.parametrize(
    ("chunk", "sizes"), [(1, [1] * 10), (2, [2, 2, 1] * 2), (5, [5, 5]), (14, [5, 5])]
)
def test_a_chunk_has_frames_of_one_video_only(chunk: int, sizes: list[int]) -> None:
    vae = Doubling()
    video = decode_latents(vae, latents(), chunk)
    assert [size for size, _ in vae.calls] == sizes
    assert torch.equal(video, expected_video(latents()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_frames_are_float32_for_any_dtype_of_the_decoder(dtype: torch.dtype, warnings: Any) -> None:
    vae = Doubling(dtype)
    video = decode_latents(vae, latents(dtype), 5)
    assert video.dtype == torch.float32
    torch.testing.assert_close(video, expected_video(latents(dtype)))
    assert vae.dtype == dtype
    assert not warnings.records


def test_chunks_that_overflow_in_float16_are_decoded_in_float32_with_one_warning(
    warnings: Any,
) -> None:
    vae = Doubling(torch.float16, overflows_at=12.0)
    video = decode_latents(vae, latents(torch.float16), 2)
    torch.testing.assert_close(video, expected_video(latents(torch.float16)))
    assert vae.dtype == torch.float16
    dtypes = [dtype for _, dtype in vae.calls]
    # float32 from the first overflow on
    assert dtypes == sorted(dtypes, key=lambda dtype: dtype == torch.float32)
    assert len(dtypes) == 6 + 1
    assert len(warnings.records) == 1


def test_latents_that_are_not_finite_are_not_decoded_again(warnings: Any) -> None:
    vae = Doubling(torch.float16)
    decode_latents(vae, latents(torch.float16) * float("nan"), 5)
    assert len(vae.calls) == 2
    assert not warnings.records
