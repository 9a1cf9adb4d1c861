"""Drawn clips and captions of LTX's demo, and the judge that measures models with them."""

import random

import pytest
import torch

from filmstrip.errors import InputError
from tools import demo_clips as demo
from tools.demo_clips.captions import TEMPLATES
from tools.demo_clips.clips import WEDGES, plan_paths
from tools.demo_clips.scenes import SHAPES


@pytest.fixture(scope="module")
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Scenes of either side of the holding out, and their clips in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    scenes = torch.cat([demo.sample_scenes(24, generator, held_out=side) for side in (False, True)])
    return scenes, torch.cat([demo.draw_clips(part, generator) for part in scenes.split(8)])


def test_clips_have_the_promised_shape_and_range(drawn):
    _, clips = drawn
    assert clips.shape == (48, 3, 25, 128, 128)
    assert clips.min() >= 0
    assert clips.max() <= 1


def test_bytes_and_floats_draw_the_same_clip():
    scene = demo.to_indices([demo.Scene("red", "circle", "blue", "left")])
    as_float = demo.draw_clips(scene, torch.Generator().manual_seed(1))
    as_bytes = demo.draw_clips(scene, torch.Generator().manual_seed(1), dtype=torch.uint8)
    assert (as_float * 255 - as_bytes).abs().max() <= 0.5


def test_objects_stay_in_view():
    scenes = torch.cat([demo.all_scenes(False), demo.all_scenes(True)])
    paths = plan_paths(scenes, torch.Generator().manual_seed(0))
    extents = torch.tensor([WEDGES[name].extent for name in SHAPES])[scenes[:, 1], None, None]
    reach = paths.radius[..., None] * extents
    assert (paths.centre - reach).min() >= 0
    assert (paths.centre + reach).max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_the_area_its_wedge_states(shape):
    scene = demo.to_indices([demo.Scene("black", shape, "white", size="large")])
    clip = demo.draw_clips(scene, torch.Generator().manual_seed(0), frames=1, side=256)
    radius = plan_paths(scene, torch.Generator().manual_seed(0), frames=1).radius
    white, black = clip.max(), clip.min()
    area = ((white - clip[0, 0, 0]) / (white - black)).sum() / 256**2
    assert area == pytest.approx((WEDGES[shape].area * radius**2).item(), rel=0.02)


def test_the_judge_reads_drawn_clips_without_error(drawn):
    scenes, clips = drawn
    measured = demo.measure_clips(clips)
    assert demo.judge_clips(measured, scenes).all()
    assert torch.equal(measured.indices(), scenes)


def test_the_judge_tolerates_the_noise_of_a_poor_autoencoder(drawn):
    scenes, clips = drawn
    noisy = clips + 0.04 * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    assert demo.judge_clips(demo.measure_clips(noisy.clamp(0, 1)), scenes).all()


def test_the_judge_does_not_take_one_scene_for_another(drawn):
    scenes, clips = drawn
    verdicts = demo.judge_clips(demo.measure_clips(clips), scenes.roll(1, dims=0))
    really_same = (scenes == scenes.roll(1, dims=0))[:, :3]
    assert torch.equal(verdicts[:, :3], really_same)


def test_swapped_colours_are_recognised():
    scene, mirrored = (
        demo.to_indices([demo.Scene(a, "star", b, "up")])
        for a, b in [("red", "blue"), ("blue", "red")]
    )
    measured = demo.measure_clips(demo.draw_clips(mirrored, torch.Generator().manual_seed(0)))
    assert demo.swapped_colours(measured, scene).item()
    assert demo.judge_clips(measured, scene).tolist() == [[False, True, False, True]]


@pytest.mark.parametrize("clip", ["empty", "noise", "two colours", "slanted"])
def test_a_clip_without_a_scene_is_unclear(clip):
    generator = torch.Generator().manual_seed(0)
    scene = demo.to_indices([demo.Scene("red", "square", "blue", "right")])
    video = demo.draw_clips(scene, generator)
    if clip == "empty":
        video[:] = 0.5
    elif clip == "noise":
        video = torch.rand(video.shape, generator=generator)
    elif clip == "two colours":
        video[..., 64:] = video[..., 64:].flip(1)
    else:
        drift = [video[:, :, t].roll(int(1.4 * t), dims=2) for t in range(25)]
        video = torch.stack(drift, dim=2)
    measured = demo.measure_clips(video)
    assert not demo.judge_clips(measured, scene).all()
    assert (measured.indices() == -1).any()


def test_the_judge_refuses_other_layouts():
    with pytest.raises(InputError, match=r"\(1, 25, 3, 128, 128\)"):
        demo.measure_clips(torch.zeros(1, 25, 3, 128, 128))


def test_training_never_meets_a_held_out_pair():
    trained = demo.from_indices(demo.all_scenes(held_out=False))
    held_out = demo.from_indices(demo.all_scenes(held_out=True))
    assert not set(trained) & set(held_out)
    pairs = (
        {(s.colour, s.shape) for s in trained},
        {(s.shape, s.direction, s.change) for s in trained},
    )
    for scene in held_out:
        motion = (scene.shape, scene.direction, scene.change)
        assert (scene.colour, scene.shape) not in pairs[0] or motion not in pairs[1]


def test_training_meets_every_single_attribute():
    table = demo.all_scenes(held_out=False)
    for column, names in enumerate(demo.ATTRIBUTES.values()):
        assert table[:, column].unique().numel() == len(names)


def test_the_example_of_the_makefile_is_trained():
    assert not demo.Scene("red", "circle", "blue", "left").held_out


def test_captions_name_each_attribute_once():
    scene = demo.Scene("green", "star", "grey", "up", "grows", "small")
    for seed in range(200):
        text = demo.caption(scene, random.Random(seed))
        assert text.count("green") == text.count("star") == 1
        assert text.count("grey") + text.count("gray") == 1


def test_captions_vary_and_include_the_natural_one():
    scene = demo.Scene("red", "circle", "blue", "left")
    seen = {demo.caption(scene, random.Random(seed)) for seed in range(20000)}
    assert len(TEMPLATES) >= 10
    assert len(seen) > 200
    assert "a red circle moves left over a blue background" in seen


def test_evaluation_prompts_are_held_out_and_repeatable():
    prompts = demo.evaluation_prompts(50, seed=3)
    assert prompts == demo.evaluation_prompts(50, seed=3)
    assert all(scene.held_out for scene, _ in prompts)


def test_indices_and_scenes_are_two_views_of_the_same():
    scene = demo.Scene("white", "cross", "black", "down", "rotates", "large")
    assert demo.from_indices(demo.to_indices([scene])) == [scene]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("pink", "star", "blue"), "pink"),
        (("red", "star", "red"), "red shape cannot be seen"),
        (("red", "circle", "blue", "still", "rotates"), "circle that rotates"),
    ],
)
def test_impossible_scenes_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        demo.Scene(*fields)
