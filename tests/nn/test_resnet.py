"""Residual blocks and changes of resolution: diffusers' numbers, on views of channels-last
memory.
"""

from typing import Any

import pytest
import torch
from diffusers.models import downsampling, resnet, upsampling
from torch import nn

from filmstrip.nn.memory_layout import as_frames, as_video, join_channels, weights_channels_last
from filmstrip.nn.resnet import Downsample2D, SpatioTemporalResBlock, Upsample2D
from tests.parity.common import assert_same, randomise

INDICATOR = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def same_weights(module: nn.Module, reference: nn.Module) -> tuple[Any, Any]:
    """Give both modules the same random weights."""
    weights_channels_last(module)
    randomise(module)
    reference.load_state_dict(module.state_dict())
    return module.eval(), reference.eval()


def frames(height: int = 5, width: int = 7) -> torch.Tensor:
    return torch.randn(6, 32, height, width).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("out_channels", [32, 64])
@pytest.mark.parametrize("temb_channels", [None, 20])
@pytest.mark.parametrize("switched", [False, True])
def test_residual_block_gives_the_same_output(
    out_channels: int, temb_channels: int | None, switched: bool
) -> None:
    strategy = "learned" if switched else "learned_with_images"
    module, reference = same_weights(
        SpatioTemporalResBlock(32, out_channels, temb_channels, 1e-3, 1e-2, 0.3, switched),
        resnet.SpatioTemporalResBlock(
            32, out_channels, temb_channels, 1e-3, 1e-2, 0.3, strategy, switched
        ),
    )
    x = frames()
    temb = torch.randn(2, 20)
    activated_temb = None
    frame_temb = None
    if temb_channels is not None:
        activated_temb = nn.functional.silu(temb)
        frame_temb = temb.repeat_interleave(3, 0)
    output = module(x, 3, activated_temb)
    assert_same(output, reference(x, frame_temb, INDICATOR * 0), bound=1e-5)
    if not switched:
        output = module(x, 3, activated_temb, INDICATOR)
        assert_same(output, reference(x, frame_temb, INDICATOR), bound=1e-5)
        spatial = module.spatial_res_block(x, activated_temb)
        assert torch.equal(output[1], spatial[1])
        assert not torch.equal(output[0], spatial[0])


@torch.no_grad()
@pytest.mark.parametrize("size", [(5, 7), (6, 8)])
@pytest.mark.parametrize("padding", [0, 1])
def test_downsampling_gives_the_same_output(size: tuple[int, int], padding: int) -> None:
    module, reference = same_weights(
        Downsample2D(32, padding),
        downsampling.Downsample2D(32, use_conv=True, padding=padding, name="op"),
    )
    x = frames(*size)
    output = module(x)
    assert_same(output, reference(x), bound=1e-5)
    assert output.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("size", [None, (10, 14), (9, 14), (9, 13)])
def test_upsampling_gives_the_same_output(size: tuple[int, int] | None) -> None:
    module, reference = same_weights(Upsample2D(32), upsampling.Upsample2D(32, use_conv=True))
    x = frames()
    output = module(x, size)
    assert_same(output, reference(x, size), bound=1e-5)
    assert output.is_contiguous(memory_format=torch.channels_last)


def test_frames_and_videos_are_views_of_each_other() -> None:
    x = frames()
    video = as_video(x, 3)
    assert video.shape == (2, 32, 3, 5, 7)
    assert video.is_contiguous(memory_format=torch.channels_last_3d)
    assert video.data_ptr() == as_frames(video).data_ptr() == x.data_ptr()
    assert torch.equal(as_frames(video), x)


def test_channels_are_joined_in_channels_last_memory() -> None:
    joined = join_channels(frames(), frames())
    assert joined.shape == (6, 64, 5, 7)
    assert joined.is_contiguous(memory_format=torch.channels_last)
