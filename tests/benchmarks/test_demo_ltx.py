"""The measures of the demo's conditions read what is in the pixels."""

import pytest
import torch

from benchmarks.demo_ltx import EXTENDED, centres, edge_width, extension, prepared_pictures, psnr
from tools.demo_clips import Scene, draw_clips, to_indices


@pytest.fixture(scope="module")
def clips():
    scenes = to_indices(
        [Scene("red", "square", "white", "left"), Scene("black", "circle", "green", "down")]
    )
    return draw_clips(scenes, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [2, 4, 8])
def test_edges_are_as_wide_as_they_are_drawn(width):
    ramp = ((torch.arange(128) - 40) / width).clamp(0, 1) * (
        (88 - torch.arange(128)) / width
    ).clamp(0, 1)
    video = (1 - 0.7 * ramp * ramp[:, None]).expand(1, 3, 7, 128, 128)
    assert edge_width(video) == pytest.approx(width, rel=0.15)


def test_faint_noise_makes_edges_hardly_wider(clips):
    noisy = clips + 0.01 * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    assert edge_width(noisy) == pytest.approx(edge_width(clips), rel=0.2)


def test_a_clip_goes_on_as_itself_without_a_jump(clips):
    measured = extension(clips, clips)
    assert measured["off_at_end"] == measured["jump_at_seam"] == measured["jump_elsewhere"] == 0


def test_a_shift_at_the_seam_is_a_jump(clips):
    shifted = torch.cat([clips[:, :, :EXTENDED], clips[:, :, EXTENDED:].roll(3, dims=4)], dim=2)
    measured = extension(shifted, clips)
    assert measured["jump_at_seam"] == pytest.approx(3, abs=0.05)
    assert measured["off_at_end"] == pytest.approx(3, abs=0.05)
    assert measured["jump_elsewhere"] == pytest.approx(0, abs=0.01)


def test_centres_are_in_pixels(clips):
    way = centres(clips)[:, -1] - centres(clips)[:, 0]
    assert way[0, 0] < -0.2 * 128
    assert way[1, 1] > 0.2 * 128


def test_prepared_pictures_keep_their_order_and_look_alike(clips):
    prepared = prepared_pictures(clips[:, :, :2]) / 2 + 0.5
    assert prepared.shape == (2, 3, 2, 128, 128)
    assert psnr(prepared, clips[:, :, :2]) > 28
    assert psnr(prepared[0], clips[1, :, :2]) < 15
