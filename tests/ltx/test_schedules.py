"""Schedules of LTX, as in the authors' `rf.py` and in diffusers."""

import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx_condition import (
    linear_quadratic_schedule as diffusers_linear_quadratic_schedule,
)

from filmstrip import FlowMatchEulerDiscreteScheduler, LTXPipeline
from filmstrip.errors import InputError
from filmstrip.ltx.schedules import (
    RectifiedFlowSchedule,
    linear_quadratic_schedule,
)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 30])
def test_linear_quadratic_gives_the_numbers_of_diffusers(steps):
    np.testing.assert_allclose(
        linear_quadratic_schedule(steps),
        diffusers_linear_quadratic_schedule(steps).numpy(),
        atol=1e-6,
    )


@pytest.mark.parametrize("shifting", [None, "SD3", "SimpleDiffusion"])
@pytest.mark.parametrize("sampler", ["Uniform", "LinearQuadratic", "Constant"])
def test_timesteps_fall_from_one(sampler, shifting):
    schedule = RectifiedFlowSchedule(sampler, shifting, target_shift_terminal=0.1, shift=1.3)
    times = schedule.timesteps(7, 2000)
    assert times[0] == 1
    assert (np.diff(times) < 0).all()
    assert times[-1] > 0


def test_the_last_step_starts_at_the_terminal():
    schedule = RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.2)
    assert schedule.timesteps(9, 500)[-1] == pytest.approx(0.2)


def test_one_step_with_a_terminal_is_not_nan():
    """The authors' code divides by zero."""
    schedule = RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1)
    assert schedule.timesteps(1, 500).tolist() == [1.0]


@pytest.mark.parametrize(
    "options", [{"sampler": "Cubic"}, {"shifting": "SD4"}, {"sampler": "Constant"}]
)
def test_unknown_options_are_refused(options):
    with pytest.raises(InputError):
        RectifiedFlowSchedule(**options)


@pytest.mark.parametrize(
    "config",
    [
        {"shift": 1.0},
        {"shift": 2.5},
        RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1).to_scheduler_config(),
        RectifiedFlowSchedule(shifting="SD3").to_scheduler_config(),
    ],
)
def test_a_scheduler_config_gives_the_timesteps_of_diffusers(config):
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    pipe = LTXPipeline(scheduler, None, None, None, None)
    schedule = RectifiedFlowSchedule.from_scheduler_config(scheduler.config)
    timesteps = torch.from_numpy(schedule.timesteps(7, 600)).float()
    torch.testing.assert_close(timesteps, pipe.set_timesteps(7, 600, None) / 1000)


def test_the_scheduler_config_is_that_of_the_published_folder():
    """`scheduler/scheduler_config.json` of Lightricks/LTX-Video."""
    schedule = RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1)
    assert schedule.to_scheduler_config() == {
        "use_dynamic_shifting": True,
        "base_image_seq_len": 1024,
        "max_image_seq_len": 4096,
        "base_shift": 0.95,
        "max_shift": 2.05,
        "shift_terminal": 0.1,
    }
    scheduler = FlowMatchEulerDiscreteScheduler(**schedule.to_scheduler_config())
    assert RectifiedFlowSchedule.from_scheduler_config(scheduler.config) == schedule


@pytest.mark.parametrize("sampler", ["Uniform", "LinearQuadratic"])
def test_a_schedule_without_shift_has_the_default_scheduler(sampler):
    assert RectifiedFlowSchedule(sampler).to_scheduler_config() == {}
