"""Drawn pictures and clips of SVD's demo, and the measurement that judges models with them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from filmstrip.errors import InputError
from tools import demo_clips as demo
from tools.demo_clips.pointers import (
    EXTENTS,
    FPS,
    HEADINGS,
    HIGHEST_BUCKET,
    POINTERS,
    all_pointers,
    pointer_distance,
)

SHAPE, DIRECTION = 1, 3


@pytest.fixture(scope="module")
def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures of either side of the holding out, their velocities in pixels, and their clips."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat(
        [demo.sample_pointers(24, generator, held_out=side) for side in (False, True)]
    )
    bucket = torch.randint(32, 256, (48,), generator=generator)
    fps = torch.randint(FPS[0], 20, (48,), generator=generator)
    return (
        pictures,
        demo.velocity(pictures, bucket, fps) * 128,
        demo.draw_pointers(pictures, bucket, fps, generator),
    )


def pair(**changes: int) -> list[torch.Tensor]:
    """Clips of two pictures that differ in the named columns only."""
    clips = []
    for row in (
        [0, 1, 6, 0, 2],
        [changes.get(name, old) for name, old in zip("abcde", [0, 1, 6, 0, 2], strict=True)],
    ):
        speed = torch.tensor([127]), torch.tensor([7])
        clips.append(
            demo.draw_pointers(torch.tensor([row]), *speed, torch.Generator().manual_seed(0))
        )
    return clips


def test_clips_have_the_promised_shape_and_range(drawn):
    clips = drawn[2]
    assert clips.shape == (48, 3, 14, 128, 128)
    assert clips.min() >= 0
    assert clips.max() <= 1


@pytest.mark.parametrize("fps", FPS)
def test_objects_stay_in_view_at_any_speed_of_training(fps):
    pictures = torch.cat([all_pointers(False), all_pointers(True)])
    pictures = pictures[(pictures[:, 0] == 0) & (pictures[:, 2] == 1) & (pictures[:, 4] == 2)]
    bucket = torch.full((len(pictures),), HIGHEST_BUCKET)
    clips = demo.draw_pointers(
        pictures, bucket, torch.full_like(bucket, fps), torch.Generator().manual_seed(0)
    )
    rim = torch.cat([clips[..., 0, :], clips[..., -1, :], clips[..., 0], clips[..., -1]], dim=-1)
    assert (rim == clips[:, :, :1, 0, :1]).all()


def test_objects_that_would_leave_the_picture_are_refused():
    picture = torch.tensor([[0, 0, 6, 0, 2]])
    with pytest.raises(InputError, match="leave the picture"):
        demo.draw_pointers(picture, torch.tensor([255]), torch.tensor([2]), torch.Generator())


@pytest.mark.parametrize("shape", range(len(POINTERS)))
def test_outlines_reach_as_far_as_stated_and_point_to_the_right(shape):
    axis = torch.linspace(-1.6, 1.6, 257)
    x, y = (t[None, None] for t in torch.broadcast_tensors(axis, axis[:, None]))
    inside = pointer_distance(torch.tensor([shape]), x, y) < 0
    assert torch.hypot(x, y)[inside].max() == pytest.approx(EXTENTS[shape], abs=0.02)
    assert torch.equal(inside, inside.flip(-2))
    front, back = (inside & (x > 0.7)).sum(), (inside & (x < -0.7)).sum()
    assert front != back


def test_velocity_follows_bucket_rate_and_direction():
    up = torch.tensor([[0, 0, 6, HEADINGS.index("up"), 0]])
    step = demo.velocity(up, torch.tensor([128]), torch.tensor([8])) * 128
    torch.testing.assert_close(step, torch.tensor([[0.0, -2.0]]), atol=1e-5, rtol=0)


def test_the_measure_reads_drawn_clips_without_error(drawn):
    pictures, velocity, clips = drawn
    measured = demo.measure_travel(clips, clips[:, :, 0])
    assert torch.equal(measured.direction, pictures[:, DIRECTION])
    assert (measured.velocity - velocity).norm(dim=1).max() < 0.05
    assert measured.shape_kept.all()
    assert measured.colour_kept.all()
    assert measured.psnr.min() >= 100


def test_the_measurement_tolerates_the_noise_of_a_poor_autoencoder(drawn):
    pictures, velocity, clips = drawn
    noisy = (
        clips + 0.04 * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    ).clamp(0, 1)
    measured = demo.measure_travel(noisy, clips[:, :, 0])
    assert torch.equal(measured.direction, pictures[:, DIRECTION])
    assert (measured.velocity - velocity).norm(dim=1).max() < 0.1
    assert measured.shape_kept.all()
    assert measured.colour_kept.all()
    assert measured.psnr.max() < 30


@pytest.mark.parametrize("change", [{"b": 3}, {"d": 1}, {"e": 0}])
def test_another_shape_heading_or_size_is_not_kept(change):
    clip, other = pair(**change)
    measured = demo.measure_travel(clip, other[:, :, 0])
    assert not measured.shape_kept.item()
    assert measured.colour_kept.item()


@pytest.mark.parametrize("change", [{"a": 4}, {"c": 8}])
def test_another_colour_is_not_kept(change):
    clip, other = pair(**change)
    measured = demo.measure_travel(clip, other[:, :, 0])
    assert measured.shape_kept.item()
    assert not measured.colour_kept.item()


@pytest.mark.parametrize("value", ["still", "empty"])
def test_a_clip_without_motion_has_no_direction(value):
    clip, _ = pair()
    clip = (
        clip[:, :, :1].expand(-1, -1, 14, -1, -1)
        if value == "still"
        else torch.full_like(clip, 0.5)
    )
    assert demo.measure_travel(clip, clip[:, :, 0]).direction.item() == -1


def test_the_measure_refuses_other_layouts():
    with pytest.raises(InputError, match=r"\(1, 14, 3, 64, 64\)"):
        demo.measure_travel(torch.zeros(1, 14, 3, 64, 64), torch.zeros(1, 3, 64, 64))


def test_training_meets_each_pair_but_not_the_held_out_combinations():
    columns = [0, SHAPE, DIRECTION]
    trained, held_out = (
        set(map(tuple, all_pointers(side)[:, columns].tolist())) for side in (False, True)
    )
    assert not trained & held_out
    assert len(trained | held_out) == 9 * 5 * 8
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pairs = [
            {(row[first], row[second]) for row in rows} for rows in (trained, trained | held_out)
        ]
        assert pairs[0] == pairs[1]


def test_an_example_picture_can_be_written(tmp_path):
    path = tmp_path / "picture.png"
    subprocess.run(
        [sys.executable, "-m", "tools.demo_clips", path, "--direction", "up-left"], check=True
    )
    picture = Image.open(path)
    assert (picture.size, picture.mode) == ((128, 128), "RGB")
    np.testing.assert_array_equal(
        np.asarray(picture), np.asarray(demo.draw_picture(direction="up-left"))
    )


def test_a_picture_with_unknown_attributes_is_refused():
    with pytest.raises(InputError, match="'pink'"):
        demo.draw_picture(colour="pink")
