"""The conditions in training equal those of the pipelines."""

from dataclasses import replace

import pytest
import torch

from filmstrip.ltx.latents import LatentShape, token_positions
from filmstrip.ltx.models.rotary import BASE_SIZE
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from filmstrip.ltx.pipelines.conditions import ConditioningPixels, apply_conditioning
from tools.demo_clips import ATTRIBUTES, Change, Scene, draw_clips, measure_clips, to_indices
from tools.demo_clips.clips import plan_paths
from tools.train_demo.ltx.conditioned_clips import (
    CHANGED_AFTER,
    random_data,
    sample_changes,
    soften,
)
from tools.train_demo.ltx.conditions import (
    STEP_TYPES,
    Batch,
    conditioned_loss,
    draw_conditions,
    refine,
    rotations,
    step_type_of,
)
from tools.train_demo.ltx.settings import LATENT_SIZE, TOY
from tools.train_demo.ltx.text import build_text_encoder

CPU = torch.device("cpu")
RATIOS = (4, 16)


@pytest.fixture(scope="module")
def transformer():
    return LTXVideoTransformer3DModel(**TOY.transformer_config())


@pytest.mark.parametrize("causal", [False, True])
def test_positions_are_those_of_conditions_in_a_pipeline(transformer, causal):
    size = LatentShape(*LATENT_SIZE)

    def positions_of(part, first_frame):
        return token_positions(part, RATIOS, 24, causal, first_frame)

    conditions = [ConditioningPixels(torch.zeros(1, 3, 1, 8, 8), frame, 1.0) for frame in (11, 24)]
    latents = torch.zeros(1, 16, *LATENT_SIZE)
    conditioned = apply_conditioning(
        latents,
        conditions,
        encode=lambda pixels: torch.zeros(1, 16, 1, 8, 8),
        positions=positions_of,
        temporal_compression_ratio=4,
        generator=None,
    )
    expected = transformer.rope(
        conditioned.positions.transpose(1, 2) / torch.tensor(BASE_SIZE, dtype=torch.float32)
    )
    own, flag, rate = torch.tensor([[11.0, 24.0]]), torch.tensor([causal]), torch.tensor([24.0])
    torch.testing.assert_close(
        rotations(transformer, size, RATIOS, own, flag, rate), expected, atol=2e-3, rtol=0
    )


def test_later_clips_have_the_tokens_and_positions_of_a_pipeline():
    torch.manual_seed(0)
    data = random_data(TOY, CPU, rows=64)["small"]
    data["frames"] = torch.tensor([[5, 8]]).expand(64, 2)
    step_type = replace(STEP_TYPES["pair"], num_first_frames=(1.0, 0, 0, 0, 0))
    batch = draw_conditions(step_type, data, torch.arange(64), torch.zeros(64, dtype=torch.bool))
    clips = batch.extra[:, 0] == 8
    assert 0.2 < clips.float().mean() < 0.8
    assert torch.equal(batch.extra[clips], torch.tensor([[8.0, 12.0]]).expand(clips.sum(), 2))
    assert torch.equal(batch.extra[~clips], torch.tensor([[5.0, 24.0]]).expand((~clips).sum(), 2))
    torch.testing.assert_close(batch.values[clips, :128], data["pair"][clips].float())
    frames = batch.strength[:, 128:].unflatten(1, (7, 64))[..., 0] > 0
    assert not frames[~clips].any()
    assert not frames[:, :4].any()
    assert torch.equal(frames[:, 4], frames[:, 6])
    assert 0.2 < frames[clips, 4].float().mean() < 0.8


def test_at_least_the_first_frames_that_the_motion_needs_are_conditioned():
    torch.manual_seed(0)
    data = random_data(TOY, CPU, rows=200)["small"]
    data["least"] = torch.arange(200) % 2 * 3
    batch = draw_conditions(
        STEP_TYPES["plain"], data, torch.arange(200), torch.zeros(200, dtype=torch.bool)
    )
    count = (batch.strength.unflatten(1, (7, 64))[..., 0] > 0).sum(1)
    assert count[1::2].min() == 3
    assert set(count[::2].tolist()) == {0, 1, 2, 3, 4}


def test_a_second_pass_starts_from_raised_latents_and_ends_at_the_true_ones():
    torch.manual_seed(0)
    data = random_data(TOY, CPU, rows=2)["large"]
    clean = data["latents"].float()
    batch = Batch(clean, torch.zeros(clean.shape[:2]), torch.empty(2, 0))
    _, error = refine(data, torch.arange(2), batch, torch.rand(2))
    difference = data["raised"].float() - clean
    for row in range(2):  # the error is (1 - s) / s of the difference, or 0
        ratio = (error[row] * difference[row]).sum() / difference[row].square().sum()
        torch.testing.assert_close(error[row], ratio * difference[row])
        assert ratio == 0 or 0.25 <= ratio <= 1.5


@pytest.mark.parametrize("name", STEP_TYPES)
def test_each_type_of_step_reaches_every_parameter(transformer, name):
    torch.manual_seed(0)
    data = random_data(TOY, CPU)[STEP_TYPES[name].scale]
    transformer.zero_grad()
    encoder = build_text_encoder(TOY, 346).requires_grad_(False)
    loss = conditioned_loss(TOY, transformer, encoder, STEP_TYPES[name], data, torch.tensor([25.0]))
    loss.backward()
    assert loss.item() > 0.5
    assert all(p.grad is not None for p in transformer.parameters())


def test_types_of_steps_take_turns():
    turns = [
        step_type_of(step)
        for step in range(sum(step_type.every for step_type in STEP_TYPES.values()))
    ]
    assert {name: turns.count(name) for name in STEP_TYPES} == {
        name: step_type.every for name, step_type in STEP_TYPES.items()
    }


def test_clips_whose_motion_changes_end_with_the_motion_of_their_scene():
    scene = to_indices([Scene("red", "star", "blue", "down")] * 8)
    before = to_indices([Scene("red", "star", "blue", "left")] * 8)
    changed = Change(before, torch.full((8,), 12))
    centre = plan_paths(scene, torch.Generator().manual_seed(0), before=changed).centre
    first, then = centre[:, 12] - centre[:, 0], centre[:, 24] - centre[:, 12]
    assert (first[:, 0] < -0.12).all()
    assert (first[:, 1] == 0).all()
    assert (then[:, 1] > 0.12).all()
    assert (then[:, 0].abs() < 1e-6).all()
    last = draw_clips(scene, torch.Generator().manual_seed(0), before=changed)[:, :, 12:]
    assert (measure_clips(last).direction == ATTRIBUTES["direction"].index("down")).all()


def test_some_clips_change_their_motion():
    scenes = to_indices([Scene("red", "star", "blue", "down", "grows")] * 400)
    changes = sample_changes(scenes, torch.Generator().manual_seed(0))
    assert set(changes.frames.tolist()) == {0, *((after - 1) * 4 for after in CHANGED_AFTER)}
    assert 0.15 < (changes.frames > 0).float().mean() < 0.35
    assert not (changes.indices[:, 4] == ATTRIBUTES["change"].index("shrinks")).any()


def test_softened_clips_look_like_prepared_pictures():
    prepared_pictures = pytest.importorskip("benchmarks.demo_ltx").prepared_pictures
    scenes = to_indices(
        [Scene("red", "star", "blue"), Scene("white", "circle", "black", size="large")]
    )
    clips = draw_clips(scenes, torch.Generator().manual_seed(0), frames=1)
    prepared = prepared_pictures(clips) / 2 + 0.5
    difference, unsoftened = (
        (video - prepared).square().mean() for video in (soften(clips), clips)
    )
    assert difference < unsoftened / 2
