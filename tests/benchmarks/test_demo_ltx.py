"""The measurements of the embedded model give the right values for drawn clips."""

import pytest
import torch

from benchmarks.demo_ltx import (
    NUM_OVERLAPPING,
    centres,
    edge_width,
    extension,
    prepared_pictures,
    psnr,
)
from tools.demo_clips import Scene, draw_clips, to_indices


@pytest.fixture(scope="module")
def clips():
    scenes = to_indices(
        [Scene("red", "square", "white", "left"), Scene("black", "circle", "green", "down")]
    )
    return draw_clips(scenes, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [2, 4, 8])
def test_edge_width_equals_that_of_the_drawn_edge(width):
    ramp = ((torch.arange(128) - 40) / width).clamp(0, 1) * (
        (88 - torch.arange(128)) / width
    ).clamp(0, 1)
    video = (1 - 0.7 * ramp * ramp[:, None]).expand(1, 3, 7, 128, 128)
    assert edge_width(video) == pytest.approx(width, rel=0.15)


def test_faint_noise_changes_the_edge_width_by_little(clips):
    noisy = clips + 0.01 * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    assert edge_width(noisy) == pytest.approx(edge_width(clips), rel=0.2)


def test_the_clip_itself_is_an_extension_without_a_jump(clips):
    measured = extension(clips, clips)
    assert measured["off_at_end"] == measured["jump_at_seam"] == measured["jump_elsewhere"] == 0


def test_a_shift_at_the_seam_is_a_jump(clips):
    shifted = torch.cat(
        [clips[:, :, :NUM_OVERLAPPING], clips[:, :, NUM_OVERLAPPING:].roll(3, dims=4)], dim=2
    )
    measured = extension(shifted, clips)
    assert measured["jump_at_seam"] == pytest.approx(3, abs=0.05)
    assert measured["off_at_end"] == pytest.approx(3, abs=0.05)
    assert measured["jump_elsewhere"] == pytest.approx(0, abs=0.01)


def test_centres_are_in_pixels(clips):
    motion = centres(clips)[:, -1] - centres(clips)[:, 0]
    assert motion[0, 0] < -0.2 * 128
    assert motion[1, 1] > 0.2 * 128


def test_prepared_pictures_keep_their_order_and_resemble_the_originals(clips):
    prepared = prepared_pictures(clips[:, :, :2]) / 2 + 0.5
    assert prepared.shape == (2, 3, 2, 128, 128)
    assert psnr(prepared, clips[:, :, :2]) > 28
    assert psnr(prepared[0], clips[1, :, :2]) < 15
