"""LTX's autoencoder: configs and calls that it refuses, gradients, sizes and tilings."""

from typing import Any

import pytest
import torch

from filmstrip import AutoencoderKLLTXVideo
from filmstrip.errors import InputError
from filmstrip.ltx.models.autoencoder_blocks import depth_to_space, space_to_depth
from tests.parity.common import randomise
from tests.parity.pipelines import VAE_090, VAE_095


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"down_block_types": ("LTXVideoDownBlock4D",) * 4}, "LTXVideoDownBlock4D"),
        ({"downsample_type": ("spatial", "temporal", "cubic", "spatial")}, "cubic"),
        ({"decoder_block_out_channels": (8, 12, 32)}, "cannot change the width"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        AutoencoderKLLTXVideo(**VAE_095 | changes)


def test_a_conditioned_decoder_without_a_timestep_is_refused() -> None:
    vae = AutoencoderKLLTXVideo(**VAE_095)
    with pytest.raises(InputError, match="give temb"):
        vae.decode(torch.randn(1, 6, 2, 1, 1))


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 1, 1), (2, 2, 2), (1, 4, 4), (3, 2, 5)])
def test_depth_to_space_inverts_space_to_depth(stride: tuple[int, int, int]) -> None:
    t, h, w = stride
    video = torch.randn(2, 3, 2 * t, 3 * h, 2 * w)
    folded = space_to_depth(video, stride)
    assert folded.shape == (2, 3 * t * h * w, 2, 3, 2)
    assert torch.equal(depth_to_space(folded, stride), video)


def test_gradients_reach_every_parameter_but_the_statistics() -> None:
    vae = AutoencoderKLLTXVideo(**VAE_095)
    randomise(vae)
    video = torch.rand(1, 3, 9, 32, 32)
    vae(video, temb=torch.tensor([0.1]), sample_posterior=True).sample.square().mean().backward()
    without_gradient = [
        name for name, p in vae.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert not without_gradient


def test_a_decoded_video_has_the_size_of_the_encoded_one() -> None:
    for config, time in ((VAE_090, None), (VAE_095, torch.tensor([0.1]))):
        vae = AutoencoderKLLTXVideo(**config)
        with torch.no_grad():
            assert vae(torch.rand(1, 3, 17, 64, 96), temb=time).sample.shape == (1, 3, 17, 64, 96)


def test_tiles_that_would_leave_gaps_are_refused_and_change_nothing() -> None:
    vae = AutoencoderKLLTXVideo(**VAE_095)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"tile_sample_stride_width": 513}, "width is 512 and their stride 513"),
        ({"tile_sample_stride_num_frames": 17}, "num_frames is 16 and their stride 17"),
        (
            {"tile_sample_min_height": 64, "tile_sample_stride_height": 1},
            "stride 1; the stride must be between",
        ),
    ]
    for sizes, message in wrong:
        with pytest.raises(InputError, match=message):
            vae.enable_tiling(**sizes)
    assert (vae.use_tiling, vae.tile_sample_min_height, vae.tile_sample_stride_width) == (
        False,
        512,
        448,
    )
