"""Properties of the scheduler of LTX; tests/parity/test_schedulers.py compares the numbers."""

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


def make_scheduler(steps=5, device=None, **config):
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(steps, device=device, mu=1.2)
    return scheduler


@settings(deadline=None)
@given(CONFIGS, st.integers(2, 40))
def test_sigmas_and_timesteps_fall_from_noise_to_data(config, steps):
    scheduler = make_scheduler(steps, **config)
    sigmas = scheduler.host_sigmas
    assert len(scheduler.timesteps) == steps
    assert len(sigmas) == steps + 1
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[0] == pytest.approx(1.0)
    assert sigmas[-1] == 0
    np.testing.assert_allclose(scheduler.host_timesteps, sigmas[:-1] * len(scheduler), rtol=1e-6)
    terminal = config.get("shift_terminal")
    if terminal:
        assert sigmas[-2] == pytest.approx(terminal)


@settings(deadline=None)
@given(CONFIGS, st.integers(1, 12))
def test_with_exact_predictions_any_number_of_steps_ends_at_the_data(config, steps):
    """Along a straight path Euler's method is exact, and so is stepping to the data and adding
    noise.
    """
    scheduler = make_scheduler(steps, **config)
    sample = NOISE
    for index, timestep in enumerate(scheduler.timesteps):
        velocity = (sample - DATA) / scheduler.sigmas[index]
        sample = scheduler.step(velocity, timestep, sample).prev_sample
    torch.testing.assert_close(sample, DATA, rtol=1e-4, atol=1e-4)


def test_inverted_sigmas_rise_from_zero_to_one():
    plain = make_scheduler(invert_sigmas=False, shift=3.0)
    inverted = make_scheduler(invert_sigmas=True, shift=3.0)
    np.testing.assert_allclose(inverted.host_sigmas, 1 - plain.host_sigmas, atol=1e-6)
    np.testing.assert_allclose(inverted.host_timesteps, 1000 * inverted.host_sigmas[:-1])


def test_scale_noise_uses_the_sigma_of_each_timestep():
    scheduler = make_scheduler(shift=2.0)
    noised = scheduler.scale_noise(DATA, scheduler.timesteps[[0, 3]], NOISE)
    for row, level in enumerate(scheduler.host_sigmas[[0, 3]].tolist()):
        torch.testing.assert_close(noised[row], level * NOISE[row] + (1 - level) * DATA[row])
    from_scalar = scheduler.scale_noise(DATA[:1], scheduler.timesteps[3], NOISE[:1])
    torch.testing.assert_close(
        from_scalar, scheduler.scale_noise(DATA[:1], scheduler.timesteps[3:4], NOISE[:1])
    )


def test_each_token_steps_from_its_timestep_and_clean_tokens_do_not_change():
    scheduler = make_scheduler(4)
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
def test_a_step_never_reads_from_the_device(stochastic, per_token):
    """On the meta device reading a value is an error."""
    scheduler = make_scheduler(4, device="meta", stochastic_sampling=stochastic)
    scheduler.set_begin_index(0)
    sample = torch.empty(2, 5, 3, device="meta")
    tokens = torch.empty(2, 5, device="meta") if per_token else None
    for timestep in scheduler.timesteps:
        sample = scheduler.step(sample, timestep, sample, per_token_timesteps=tokens).prev_sample
    assert sample.device.type == "meta"
    assert scheduler.host_sigmas.tolist() == make_scheduler(4).sigmas.tolist()


def test_return_dict_chooses_an_output_or_a_tuple():
    for return_dict in (True, False):
        scheduler = make_scheduler()
        result = scheduler.step(NOISE, scheduler.timesteps[0], DATA, return_dict=return_dict)
        assert isinstance(result, tuple) is not return_dict
        assert result[0].shape == DATA.shape


def test_a_new_schedule_resets_the_indices():
    scheduler = make_scheduler()
    scheduler.set_begin_index(2)
    scheduler.step(NOISE, scheduler.timesteps[2], DATA)
    assert (scheduler.begin_index, scheduler.step_index) == (2, 3)
    scheduler.set_timesteps(3)
    assert (scheduler.begin_index, scheduler.step_index) == (None, None)


def test_assigned_sigmas_replace_the_schedule():
    scheduler = make_scheduler(2)
    scheduler.sigmas = torch.tensor([1.0, 0.25, 0.0])
    stepped = scheduler.step(NOISE - DATA, scheduler.timesteps[0], NOISE)[0]
    torch.testing.assert_close(stepped, 0.25 * NOISE + 0.75 * DATA)
    assert scheduler.host_sigmas.tolist() == [1.0, 0.25, 0.0]


def test_timesteps_of_the_caller_are_used_unchanged_and_warn_without_sigmas(caplog):
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


def test_sigmas_may_be_a_list_tuple_array_or_tensor():
    values = [
        [0.8, 0.3],
        (0.8, 0.3),
        np.array([0.8, 0.3]),
        torch.tensor([0.8, 0.3], dtype=torch.float64),
    ]
    for sigmas in values:
        scheduler = make_scheduler(2)
        scheduler.set_timesteps(sigmas=sigmas)
        np.testing.assert_allclose(scheduler.host_sigmas, [0.8, 0.3, 0.0], rtol=1e-6)


def test_a_config_is_saved_loaded_and_changed(tmp_path):
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=2.5, shift_terminal=0.1, use_karras_sigmas=True
    )
    scheduler.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "scheduler_config.json").read_text())
    assert written["_class_name"] == "FlowMatchEulerDiscreteScheduler"
    loaded = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path)
    changed = FlowMatchEulerDiscreteScheduler.from_config(
        scheduler.config, use_karras_sigmas=False, shift=7.0
    )
    assert (loaded.config.shift, loaded.config.shift_terminal, loaded.config.use_karras_sigmas) == (
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
    ("call", "message"),
    [
        (
            lambda: FlowMatchEulerDiscreteScheduler(num_train_timesteps=0),
            "num_train_timesteps is 0",
        ),
        (lambda: FlowMatchEulerDiscreteScheduler(shift=-2.0), "shift is -2"),
        (lambda: FlowMatchEulerDiscreteScheduler(time_shift_type="cubic"), "'cubic'"),
        (lambda: make_scheduler().set_timesteps(0), "0 steps"),
        (lambda: make_scheduler().set_timesteps(), "needs"),
        (
            lambda: make_scheduler().set_timesteps(3, sigmas=[0.5]),
            "sigmas says 1, num_inference_steps says 3",
        ),
        (lambda: make_scheduler().set_timesteps(sigmas=[[0.5, 0.2]]), r"\(1, 2\)"),
        (lambda: make_scheduler(use_dynamic_shifting=True).set_timesteps(3), "mu"),
        (lambda: make_scheduler().step(NOISE, 2, DATA), "timestep 2 is an integer"),
        (lambda: make_scheduler().step(NOISE, 0.5, DATA), "0.5 is not in the schedule of 5"),
        (lambda: make_scheduler().step(NOISE, torch.ones(2), DATA), "tensor of 2"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_step_after_the_last_is_refused():
    scheduler = make_scheduler(2)
    for timestep in scheduler.timesteps:
        scheduler.step(NOISE, timestep, DATA)
    with pytest.raises(InputError, match="All 2 steps"):
        scheduler.step(NOISE, scheduler.timesteps[-1], DATA)


@pytest.mark.parametrize("shift", ["exponential", "linear"])
def test_dynamic_shifting_shifts_the_even_schedule_by_mu(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=shift)
    scheduler.set_timesteps(4, mu=1.3)
    factor = np.exp(1.3) if shift == "exponential" else 1.3
    even = np.linspace(1, 0.001, 4)
    expected = factor * even / (1 + (factor - 1) * even)
    np.testing.assert_allclose(scheduler.host_sigmas[:-1], expected, rtol=1e-5)


def test_a_new_scheduler_has_the_schedule_of_training():
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=5)
    np.testing.assert_allclose(scheduler.host_sigmas, [1, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(scheduler.host_timesteps, [5, 4, 3, 2, 1], rtol=1e-6)
    assert (scheduler.sigma_max, scheduler.sigma_min) == pytest.approx((1.0, 0.2))


def test_the_index_of_equal_timesteps_is_that_of_the_second():
    scheduler = make_scheduler()
    schedule = torch.tensor([5.0, 3.0, 3.0, 3.0, 1.0])
    assert [scheduler.index_for_timestep(t, schedule) for t in (5.0, 3.0, 1.0)] == [0, 2, 4]
