"""Seeded noise: a list of generators draws row by row, in its order."""

from typing import Any

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.nn.noise import randn


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_each_row_is_drawn_by_the_generator_of_its_index() -> None:
    noise = randn((3, 2, 4), generators(7, 8, 9))
    for row, generator in zip(noise, generators(7, 8, 9), strict=True):
        assert torch.equal(row, torch.randn(1, 2, 4, generator=generator)[0])


def test_a_list_of_one_generator_draws_the_whole_batch() -> None:
    noise = randn((3, 2, 4), generators(7))
    assert torch.equal(noise, torch.randn(3, 2, 4, generator=generators(7)[0]))
    assert torch.equal(noise, randn((3, 2, 4), generators(7)[0]))


def test_without_a_generator_the_global_one_draws() -> None:
    torch.manual_seed(5)
    noise = randn([2, 3])
    torch.manual_seed(5)
    assert torch.equal(noise, torch.randn(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_noise_is_drawn_in_its_dtype(dtype: torch.dtype) -> None:
    noise = randn((2, 3), generators(4)[0], "cpu", dtype)
    assert torch.equal(noise, torch.randn(2, 3, generator=generators(4)[0], dtype=dtype))


@pytest.mark.parametrize("count", [2, 4])
def test_a_list_of_another_length_than_the_batch_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"{count} generators were given for a batch of 3"):
        randn((3, 2), generators(*range(count)))


@pytest.mark.parametrize(
    ("generator", "device", "drawn_on"),
    [(None, "cpu", "cpu"), (None, "meta", "meta"), (True, "cpu", "cpu"), (True, "meta", "cpu")],
)
def test_noise_is_drawn_on_the_device_of_the_generator(
    monkeypatch: pytest.MonkeyPatch, generator: bool | None, device: str, drawn_on: str
) -> None:
    devices = []
    draw = torch.randn

    def recorded(*args: Any, **options: Any) -> torch.Tensor:
        devices.append(options["device"].type)
        return draw(*args, **options)

    monkeypatch.setattr(torch, "randn", recorded)
    noise = randn((2, 3), generators(1)[0] if generator else None, device)
    assert devices == [drawn_on]
    assert noise.device.type == device


def test_noise_moves_from_the_cpu_to_a_device_and_not_between_devices() -> None:
    noise = randn((2, 3), generators(1)[0], "meta", torch.float32)
    assert noise.device.type == "meta"
    if torch.cuda.is_available():
        on_gpu = torch.Generator("cuda").manual_seed(1)
        with pytest.raises(InputError, match="The generator is on cuda"):
            randn((2, 3), on_gpu, "cpu")
