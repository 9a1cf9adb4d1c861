"""Recipes as data: guidance at each timestep, numbers of steps, and adjustments."""

import pytest

from filmstrip.errors import InputError
from filmstrip.ltx.recipes import SECOND_PASS_TIMESTEPS, GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.schedules import RectifiedFlowSchedule
from filmstrip.pipeline.guiders import SpatioTemporalGuidance


def guidance_at(schedule, timestep):
    return SpatioTemporalGuidance(**schedule.at(timestep))


def test_a_guidance_schedule_gives_the_first_entry_at_or_below_the_timestep():
    schedule = GuidanceSchedule(
        scale=(1, 6, 8),
        stg_scale=(0, 4, 2),
        rescale=0.5,
        blocks=((), (0, 1), (2,)),
        timesteps=(1.0, 0.9937, 0.6),
    )
    assert guidance_at(schedule, 1.0) == SpatioTemporalGuidance(1, 0, 0.5)
    assert guidance_at(schedule, 0.9937) == SpatioTemporalGuidance(6, 4, 0.5, blocks=(0, 1))
    assert (
        guidance_at(schedule, 0.9936)
        == guidance_at(schedule, 0.1)
        == SpatioTemporalGuidance(8, 2, 0.5, blocks=(2,))
    )
    assert schedule.largest_scale == 8


def test_single_values_apply_to_every_timestep():
    schedule = GuidanceSchedule(3.0, 1.0, 0.7, (19,), cfg_zero_star=True, mode="attention_skip")
    expected = SpatioTemporalGuidance(3.0, 1.0, 0.7, True, (19,), "attention_skip")
    assert guidance_at(schedule, 1.0) == guidance_at(schedule, 0.0) == expected


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"scale": (1, 2)}, "2 values of scale for 3 timesteps"),
        ({"blocks": ((1,), (2,), (3,), (4,))}, "4 values of blocks for 3 timesteps"),
        ({"timesteps": (0.5, 0.6, 0.7)}, "must fall"),
        ({"timesteps": (), "stg_scale": (1.0,)}, "1 values of stg_scale for 0 timesteps"),
    ],
)
def test_a_guidance_schedule_whose_lengths_differ_is_refused(lists, message):
    with pytest.raises(InputError, match=message):
        GuidanceSchedule(**({"timesteps": (1.0, 0.9, 0.5)} | lists))


def test_the_count_of_a_pass_is_its_number_of_steps():
    for settings in (Pass(steps=10, skip_initial=4, skip_final=3), Pass(timesteps=(1.0, 0.9, 0.4))):
        assert settings.count == len(settings.schedule(RectifiedFlowSchedule(), 8)) == 3
    assert Pass(steps=4, skip_initial=1).schedule(RectifiedFlowSchedule(), 8) == [0.75, 0.5, 0.25]


def test_the_number_of_steps_and_a_single_guidance_scale_can_be_adjusted():
    recipe = Recipe(Pass(GuidanceSchedule(3.0, 1.0, 0.7, (19,)), steps=40))
    assert recipe.adjusted(None, None) == recipe
    changed = recipe.adjusted(12, 1.0)
    assert changed == Recipe(Pass(GuidanceSchedule(1.0, 1.0, 0.7, (19,)), steps=12))
    assert (recipe.largest_scale, changed.largest_scale) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        (Pass(timesteps=(1.0, 0.5)), (8, None), r"timesteps of its own \(2 steps\)"),
        (Pass(steps=30, skip_final=3), (40, None), r"steps that are left out \(27 steps\)"),
        (
            Pass(GuidanceSchedule((1, 6), timesteps=(1.0, 0.9))),
            (None, 4.0),
            r"guidance on the way \(1, 6\)",
        ),
    ],
)
def test_values_that_a_pass_sets_for_each_step_cannot_be_adjusted(settings, change, message):
    for recipe in (Recipe(settings), Recipe(Pass(), settings)):
        with pytest.raises(InputError, match=message):
            recipe.adjusted(*change)


@pytest.mark.parametrize("scales", [(3.0, 1.0), (1.0, 3.0), ((1, 3, 1), 2.0), (2.0, (1, 3, 1))])
def test_the_largest_scale_is_that_of_all_passes_and_timesteps(scales):
    passes = []
    for scale in scales:
        timesteps = (1.0, 0.9, 0.5) if isinstance(scale, tuple) else ()
        passes.append(Pass(GuidanceSchedule(scale, timesteps=timesteps)))
    assert Recipe(*passes).largest_scale == 3.0


def test_upscaling_adds_a_second_pass_with_the_guidance_of_the_first_at_half_the_size():
    first = Pass(GuidanceSchedule(3.0), steps=40)
    recipe = Recipe(first, downscale=0.7).adjusted(guidance_scale=2.0, upscale=True)
    guidance = GuidanceSchedule(2.0)
    assert recipe.first == Pass(guidance, steps=40)
    assert recipe.second == Pass(guidance, steps=40, timesteps=SECOND_PASS_TIMESTEPS)
    assert recipe.downscale == 0.5


def test_upscaling_keeps_a_second_pass_of_the_recipe():
    second = Pass(timesteps=(0.9, 0.4))
    recipe = Recipe(Pass(steps=8), second, downscale=2 / 3)
    assert recipe.adjusted(upscale=True) == Recipe(Pass(steps=8), second, downscale=0.5)
