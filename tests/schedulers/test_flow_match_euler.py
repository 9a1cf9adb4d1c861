"""What must hold of the flow-match Euler scheduler whatever diffusers does."""

import json
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler

CONFIGS = st.fixed_dictionaries(
    {
        "shift": st.floats(0.2, 10),
        "use_dynamic_shifting": st.booleans(),
        "time_shift_type": st.sampled_from(["exponential", "linear"]),
        "shift_terminal": st.none() | st.floats(0.01, 0.5),
        "stochastic_sampling": st.booleans(),
    }
) | st.sampled_from(
    [{"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
)

DATA, NOISE = torch.randn(
    2, 2, 5, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(0)
)


def made(steps=5, device=None, **config):
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(steps, device=device, mu=1.2)
    return scheduler


@settings(deadline=None)
@given(CONFIGS, st.integers(2, 40))
def test_levels_fall_from_noise_to_data(config, steps):
    scheduler = made(steps, **config)
    sigmas = scheduler.host_sigmas
    assert len(scheduler.timesteps) == steps
    assert len(sigmas) == steps + 1
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[0] == pytest.approx(1.0)
    assert sigmas[-1] == 0
    np.testing.assert_allclose(scheduler.host_timesteps, sigmas[:-1] * len(scheduler), rtol=1e-6)
    if terminal := config.get("shift_terminal"):
        assert sigmas[-2] == pytest.approx(terminal)


@settings(deadline=None)
@given(CONFIGS, st.integers(1, 12))
def test_a_perfect_model_is_led_to_the_data_in_any_number_of_steps(config, steps):
    """Along a straight path Euler's method is exact, and so is stepping to the data and adding
    noise.
    """
    scheduler = made(steps, **config)
    sample = NOISE
    for index, timestep in enumerate(scheduler.timesteps):
        velocity = (sample - DATA) / scheduler.sigmas[index]
        sample = scheduler.step(velocity, timestep, sample).prev_sample
    torch.testing.assert_close(sample, DATA, rtol=1e-4, atol=1e-4)


def test_inverted_levels_rise_from_zero_to_one():
    plain, inverted = made(invert_sigmas=False, shift=3.0), made(invert_sigmas=True, shift=3.0)
    np.testing.assert_allclose(inverted.host_sigmas, 1 - plain.host_sigmas, atol=1e-6)
    np.testing.assert_allclose(inverted.host_timesteps, 1000 * inverted.host_sigmas[:-1])


def test_scale_noise_puts_each_sample_on_the_path_at_its_level():
    scheduler = made(shift=2.0)
    noised = scheduler.scale_noise(DATA, scheduler.timesteps[[0, 3]], NOISE)
    for row, level in enumerate(scheduler.host_sigmas[[0, 3]].tolist()):
        torch.testing.assert_close(noised[row], level * NOISE[row] + (1 - level) * DATA[row])
    one = scheduler.scale_noise(DATA[:1], scheduler.timesteps[3], NOISE[:1])
    torch.testing.assert_close(
        one, scheduler.scale_noise(DATA[:1], scheduler.timesteps[3:4], NOISE[:1])
    )


def test_tokens_walk_at_their_own_pace_and_clean_ones_stay():
    scheduler = made(4)
    steps = scheduler.timesteps
    tokens = torch.tensor([[0.0, *steps]]).expand(2, -1)
    sigmas = (tokens / 1000)[..., None]
    sample = sigmas * NOISE + (1 - sigmas) * DATA
    stepped = scheduler.step(DATA - NOISE, steps[0], sample, per_token_timesteps=tokens)[0]
    lower = torch.tensor([0.0, *scheduler.sigmas[1:]])[:, None]
    torch.testing.assert_close(stepped, lower * NOISE + (1 - lower) * DATA)
    torch.testing.assert_close(stepped[:, 0], sample[:, 0])


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("per_token", [False, True])
def test_a_step_never_waits_for_the_device(stochastic, per_token):
    """On the meta device there is nothing to read: whoever asks for a value gets an error."""
    scheduler = made(4, device="meta", stochastic_sampling=stochastic)
    scheduler.set_begin_index(0)
    sample = torch.empty(2, 5, 3, device="meta")
    tokens = torch.empty(2, 5, device="meta") if per_token else None
    for timestep in scheduler.timesteps:
        sample = scheduler.step(sample, timestep, sample, per_token_timesteps=tokens).prev_sample
    assert sample.device.type == "meta"
    assert scheduler.host_sigmas.tolist() == made(4).sigmas.tolist()


def test_results_come_as_an_object_or_a_tuple():
    for return_dict in (True, False):
        scheduler = made()
        result = scheduler.step(NOISE, scheduler.timesteps[0], DATA, return_dict=return_dict)
        assert isinstance(result, tuple) is not return_dict
        assert result[0].shape == DATA.shape


def test_a_new_schedule_forgets_the_place_in_the_old_one():
    scheduler = made()
    scheduler.set_begin_index(2)
    scheduler.step(NOISE, scheduler.timesteps[2], DATA)
    assert (scheduler.begin_index, scheduler.step_index) == (2, 3)
    scheduler.set_timesteps(3)
    assert (scheduler.begin_index, scheduler.step_index) == (None, None)


def test_assigned_levels_are_the_ones_that_are_walked():
    scheduler = made(2)
    scheduler.sigmas = torch.tensor([1.0, 0.25, 0.0])
    stepped = scheduler.step(NOISE - DATA, scheduler.timesteps[0], NOISE)[0]
    torch.testing.assert_close(stepped, 0.25 * NOISE + 0.75 * DATA)
    assert scheduler.host_sigmas.tolist() == [1.0, 0.25, 0.0]


def test_given_timesteps_reach_the_model_as_they_are_and_warn_without_sigmas(caplog):
    logger = logging.getLogger("filmstrip")
    logger.addHandler(caplog.handler)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(timesteps=[900.0, 300.0])
    assert scheduler.timesteps.tolist() == [900.0, 300.0]
    np.testing.assert_allclose(scheduler.host_sigmas, [2.7 / 2.8, 0.9 / 1.6, 0.0], rtol=1e-6)
    assert "sigmas" in caplog.text
    caplog.clear()
    scheduler.set_timesteps(timesteps=[900.0, 300.0], sigmas=[0.9, 0.3])
    logger.removeHandler(caplog.handler)
    assert not caplog.text


def test_numbers_may_come_in_any_kind_of_list():
    kinds = [
        [0.8, 0.3],
        (0.8, 0.3),
        np.array([0.8, 0.3]),
        torch.tensor([0.8, 0.3], dtype=torch.float64),
    ]
    for kind in kinds:
        scheduler = made(2)
        scheduler.set_timesteps(sigmas=kind)
        np.testing.assert_allclose(scheduler.host_sigmas, [0.8, 0.3, 0.0], rtol=1e-6)


def test_config_round_trip_and_changes(tmp_path):
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=2.5, shift_terminal=0.1, use_karras_sigmas=True
    )
    scheduler.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "scheduler_config.json").read_text())
    assert written["_class_name"] == "FlowMatchEulerDiscreteScheduler"
    back = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path)
    changed = FlowMatchEulerDiscreteScheduler.from_config(
        scheduler.config, use_karras_sigmas=False, shift=7.0
    )
    assert (back.config.shift, back.config.shift_terminal, back.config.use_karras_sigmas) == (
        2.5,
        0.1,
        True,
    )
    assert (changed.shift, changed.config.shift_terminal, changed.config.use_karras_sigmas) == (
        7.0,
        0.1,
        False,
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: FlowMatchEulerDiscreteScheduler(num_train_timesteps=0),
            "num_train_timesteps is 0",
        ),
        (lambda: FlowMatchEulerDiscreteScheduler(shift=-2.0), "shift is -2"),
        (lambda: FlowMatchEulerDiscreteScheduler(time_shift_type="cubic"), "'cubic'"),
        (lambda: made().set_timesteps(0), "0 steps"),
        (lambda: made().set_timesteps(), "needs"),
        (
            lambda: made().set_timesteps(3, sigmas=[0.5]),
            "sigmas says 1, num_inference_steps says 3",
        ),
        (lambda: made().set_timesteps(sigmas=[[0.5, 0.2]]), r"\(1, 2\)"),
        (lambda: made(use_dynamic_shifting=True).set_timesteps(3), "mu"),
        (lambda: made().step(NOISE, 2, DATA), "timestep 2 is an integer"),
        (lambda: made().step(NOISE, 0.5, DATA), "0.5 is not in the schedule of 5"),
        (lambda: made().step(NOISE, torch.ones(2), DATA), "tensor of 2"),
    ],
)
def test_errors_name_the_value(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_a_walk_ends():
    scheduler = made(2)
    for timestep in scheduler.timesteps:
        scheduler.step(NOISE, timestep, DATA)
    with pytest.raises(InputError, match="All 2 steps"):
        scheduler.step(NOISE, scheduler.timesteps[-1], DATA)
