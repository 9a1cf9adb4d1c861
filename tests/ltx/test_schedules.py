"""Timesteps are spaced as the authors space them."""

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
    euler_step_to_next,
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
    times = RectifiedFlowSchedule(
        sampler, shifting, target_shift_terminal=0.1, shift=1.3
    ).timesteps(7, 2000)
    assert times[0] == 1
    assert (np.diff(times) < 0).all()
    assert times[-1] > 0


def test_a_terminal_is_where_the_last_step_begins():
    assert RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.2).timesteps(9, 500)[
        -1
    ] == pytest.approx(0.2)


def test_one_step_with_a_terminal_is_a_number():
    """The authors' code gives none."""
    assert RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1).timesteps(
        1, 500
    ).tolist() == [1.0]


@pytest.mark.parametrize(
    "wrong", [{"sampler": "Cubic"}, {"shifting": "SD4"}, {"sampler": "Constant"}]
)
def test_what_is_not_known_is_refused(wrong):
    with pytest.raises(InputError):
        RectifiedFlowSchedule(**wrong)


def test_the_last_step_goes_to_the_data_whatever_the_schedule():
    data, noise = torch.randn(2, 1, 4, 3).unbind()
    schedule, times = torch.tensor([1.0, 0.6]), torch.full((1, 1), 0.6)
    torch.testing.assert_close(
        euler_step_to_next(0.6 * noise + 0.4 * data, noise - data, times, schedule), data
    )


@pytest.mark.parametrize("stochastic", [False, True])
def test_each_token_goes_to_the_next_timestep_below_its_own(stochastic):
    data, noise = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    times = torch.tensor([[1.0, 0.7, 0.0]])
    stepped = euler_step_to_next(
        times[..., None] * noise, noise - data, times, torch.tensor([1.0, 0.8, 0.5]), stochastic
    )
    if not stochastic:
        torch.testing.assert_close(stepped[0, :, 0], torch.tensor([0.8, 0.5, 0.0]))
    assert torch.equal(stepped[0, 2], data[0, 2])


@pytest.mark.parametrize(
    "config",
    [
        {"shift": 1.0},
        {"shift": 2.5},
        RectifiedFlowSchedule(shifting="SD3", target_shift_terminal=0.1).to_scheduler_config(),
        RectifiedFlowSchedule(shifting="SD3").to_scheduler_config(),
    ],
)
def test_the_scheduler_of_a_folder_says_how_its_steps_are_spaced(config):
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    pipe = LTXPipeline(scheduler, None, None, None, None)
    ours = RectifiedFlowSchedule.from_scheduler_config(scheduler.config).timesteps(7, 600)
    torch.testing.assert_close(
        torch.from_numpy(ours).float(), pipe.set_timesteps(7, 600, None) / 1000
    )
