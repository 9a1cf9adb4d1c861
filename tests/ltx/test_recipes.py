"""Recipes as data: schedules of guidance, steps that are taken, and what of them can be changed."""

import pytest

from filmstrip.errors import InputError
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.schedules import RectifiedFlowSchedule
from filmstrip.pipeline.guiders import SpatioTemporalGuidance


def at(schedule, timestep):
    return SpatioTemporalGuidance(**schedule.at(timestep))


def test_a_schedule_gives_the_entry_of_the_first_timestep_that_is_not_above():
    schedule = GuidanceSchedule(
        scale=(1, 6, 8),
        stg_scale=(0, 4, 2),
        rescale=0.5,
        blocks=((), (0, 1), (2,)),
        timesteps=(1.0, 0.9937, 0.6),
    )
    assert at(schedule, 1.0) == SpatioTemporalGuidance(1, 0, 0.5)
    assert at(schedule, 0.9937) == SpatioTemporalGuidance(6, 4, 0.5, blocks=(0, 1))
    assert (
        at(schedule, 0.9936) == at(schedule, 0.1) == SpatioTemporalGuidance(8, 2, 0.5, blocks=(2,))
    )
    assert schedule.largest_scale == 8


def test_a_schedule_of_single_values_holds_throughout():
    schedule = GuidanceSchedule(3.0, 1.0, 0.7, (19,), cfg_zero_star=True, mode="attention_skip")
    wanted = SpatioTemporalGuidance(3.0, 1.0, 0.7, True, (19,), "attention_skip")
    assert at(schedule, 1.0) == at(schedule, 0.0) == wanted


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"scale": (1, 2)}, "2 values of scale for 3 timesteps"),
        ({"blocks": ((1,), (2,), (3,), (4,))}, "4 values of blocks for 3 timesteps"),
        ({"timesteps": (0.5, 0.6, 0.7)}, "must fall"),
        ({"timesteps": (), "stg_scale": (1.0,)}, "1 values of stg_scale for 0 timesteps"),
    ],
)
def test_a_schedule_whose_lists_do_not_match_is_refused(lists, message):
    with pytest.raises(InputError, match=message):
        GuidanceSchedule(**({"timesteps": (1.0, 0.9, 0.5)} | lists))


def test_a_pass_counts_the_steps_that_it_takes():
    for one in (Pass(steps=10, skip_initial=4, skip_final=3), Pass(timesteps=(1.0, 0.9, 0.4))):
        assert one.count == len(one.schedule(RectifiedFlowSchedule(), 8)) == 3
    assert Pass(steps=4, skip_initial=1).schedule(RectifiedFlowSchedule(), 8) == [0.75, 0.5, 0.25]


def test_steps_and_guidance_may_be_changed_where_the_recipe_has_one_number_for_a_walk():
    recipe = Recipe(Pass(GuidanceSchedule(3.0, 1.0, 0.7, (19,)), steps=40))
    assert recipe.adjusted(None, None) == recipe
    changed = recipe.adjusted(12, 1.0)
    assert changed == Recipe(Pass(GuidanceSchedule(1.0, 1.0, 0.7, (19,)), steps=12))
    assert (recipe.largest_scale, changed.largest_scale) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("one", "change", "message"),
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
def test_what_a_recipe_sets_step_by_step_cannot_be_changed(one, change, message):
    for recipe in (Recipe(one), Recipe(Pass(), one)):
        with pytest.raises(InputError, match=message):
            recipe.adjusted(*change)
