"""Properties of the Euler scheduler of SVD; tests/parity/test_euler.py compares the numbers."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler

CONFIGS = st.fixed_dictionaries(
    {
        "beta_schedule": st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
        "prediction_type": st.sampled_from(["epsilon", "v_prediction", "sample"]),
        "timestep_spacing": st.sampled_from(["linspace", "leading", "trailing"]),
        "timestep_type": st.sampled_from(["discrete", "continuous"]),
        "rescale_betas_zero_snr": st.booleans(),
    },
    optional={name: st.just(True) for name in ("use_karras_sigmas",)},
)
DATA, NOISE = torch.randn(
    2, 2, 5, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(0)
)


def make_scheduler(steps=5, device=None, **config):
    scheduler = EulerDiscreteScheduler(**config)
    scheduler.set_timesteps(steps, device=device)
    return scheduler


def exact_prediction(scheduler, sample, index):
    """The prediction of a model that knows the data."""
    sigma = scheduler.sigmas[index]
    noise = (sample - DATA) / sigma
    scale = (sigma**2 + 1) ** 0.5
    return {"epsilon": noise, "sample": DATA, "v_prediction": (noise - sigma * DATA) / scale}[
        scheduler.config.prediction_type
    ]


@settings(deadline=None)
@given(CONFIGS, st.integers(2, 40))
def test_sigmas_and_timesteps_fall_from_noise_to_data(config, steps):
    scheduler = make_scheduler(steps, **config)
    assert len(scheduler.timesteps) == steps
    assert len(scheduler.sigmas) == steps + 1
    assert (np.diff(scheduler.host_sigmas) < 0).all()
    assert (np.diff(scheduler.host_timesteps) < 0).all()
    assert scheduler.host_sigmas[-1] == 0


@settings(deadline=None)
@given(CONFIGS, st.integers(1, 12))
def test_with_exact_predictions_any_number_of_steps_ends_at_the_data(config, steps):
    scheduler = make_scheduler(steps, **config)
    sample = DATA + NOISE * scheduler.sigmas[0]
    for index, timestep in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(sample, timestep)
        stepped = scheduler.step(exact_prediction(scheduler, sample, index), timestep, sample)
        torch.testing.assert_close(stepped.pred_original_sample, DATA, rtol=1e-2, atol=1e-2)
        sample = stepped.prev_sample
    # float32 rounds the data when the first noise, which is much larger, is added.
    rounding = 4 * torch.finfo(torch.float32).eps * scheduler.sigmas[0].item()
    torch.testing.assert_close(sample, DATA, rtol=1e-3, atol=1e-3 + rounding)


def test_the_input_of_the_model_has_unit_variance():
    scheduler = make_scheduler(5)
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    data = torch.randn(100_000, generator=torch.Generator().manual_seed(1))
    for sigma, timestep in zip(scheduler.sigmas, scheduler.timesteps, strict=False):
        scheduler.set_begin_index(scheduler.index_for_timestep(timestep))
        scheduler._step_index = None
        scaled = scheduler.scale_model_input(data + sigma * noise, timestep)
        assert scaled.std().item() == pytest.approx(1, abs=0.02)


def test_continuous_timesteps_are_a_quarter_of_the_logarithm():
    scheduler = make_scheduler(
        5, timestep_type="continuous", prediction_type="v_prediction", use_karras_sigmas=True
    )
    np.testing.assert_allclose(
        scheduler.host_timesteps, np.log(scheduler.host_sigmas[:-1]) / 4, rtol=1e-6
    )
    assert scheduler.is_continuous
    assert not make_scheduler(timestep_type="continuous").is_continuous


def test_rescaled_betas_leave_no_signal_and_keep_the_first_beta():
    plain = make_scheduler()
    rescaled = make_scheduler(rescale_betas_zero_snr=True)
    assert rescaled.alphas_cumprod[-1].item() == 2**-24
    assert rescaled.betas[-1].item() == 1
    torch.testing.assert_close(rescaled.betas[0], plain.betas[0])


def test_churn_adds_noise_only_within_its_range():
    scheduler = make_scheduler(5)
    sample = DATA + NOISE * scheduler.sigmas[0]
    plain = scheduler.step(NOISE, scheduler.timesteps[0], sample).prev_sample
    for s_tmax, same in ((1.0, True), (1e3, False)):
        scheduler.set_timesteps(5)
        churned = scheduler.step(
            NOISE,
            scheduler.timesteps[0],
            sample,
            s_churn=1.0,
            s_tmax=s_tmax,
            generator=torch.Generator().manual_seed(0),
        ).prev_sample
        assert torch.equal(plain, churned) is same


@pytest.mark.parametrize("churn", [0.0, 1.0])
def test_a_step_never_reads_from_the_device(churn):
    """On the meta device reading a value is an error."""
    scheduler = make_scheduler(4, device="meta")
    scheduler.set_begin_index(0)
    sample = torch.empty(2, 5, 3, device="meta") * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(scaled, timestep, sample, s_churn=churn).prev_sample
    assert sample.device.type == "meta"
    assert scheduler.sigmas.device.type == "cpu"


def test_add_noise_uses_the_sigma_of_each_timestep():
    scheduler = make_scheduler(5)
    noised = scheduler.add_noise(DATA, NOISE, scheduler.timesteps[[0, 3]])
    for row, sigma in enumerate(scheduler.host_sigmas[[0, 3]].tolist()):
        torch.testing.assert_close(noised[row], DATA[row] + sigma * NOISE[row])


def test_sigmas_and_timesteps_of_the_caller_are_used_unchanged():
    scheduler = EulerDiscreteScheduler()
    for sigmas in (
        [20.0, 3.0, 0.0],
        np.array([20.0, 3.0, 0.0]),
        torch.tensor([20.0, 3.0, 0.0], dtype=torch.float64),
    ):
        scheduler.set_timesteps(sigmas=sigmas)
        assert scheduler.host_sigmas.tolist() == [20.0, 3.0, 0.0]
        assert scheduler.num_inference_steps == len(scheduler.timesteps) == 2
    scheduler.set_timesteps(timesteps=[700, 20.5])
    assert scheduler.timesteps.tolist() == [700.0, 20.5]
    trained = EulerDiscreteScheduler().host_sigmas[::-1][1:]
    np.testing.assert_allclose(
        scheduler.host_sigmas, [trained[700], (trained[20] + trained[21]) / 2, 0], rtol=1e-6
    )


def test_a_step_without_scaled_input_warns(caplog):
    logger = logging.getLogger("filmstrip")
    logger.addHandler(caplog.handler)
    scheduler = make_scheduler()
    scheduler.step(NOISE, scheduler.timesteps[0], DATA)
    assert "scale_model_input" in caplog.text
    caplog.clear()
    scheduler.scale_model_input(DATA, scheduler.timesteps[1])
    scheduler.step(NOISE, scheduler.timesteps[1], DATA)
    logger.removeHandler(caplog.handler)
    assert not caplog.text


def test_return_dict_chooses_an_output_or_a_tuple():
    for return_dict in (True, False):
        scheduler = make_scheduler()
        result = scheduler.step(NOISE, scheduler.timesteps[0], DATA, return_dict=return_dict)
        assert isinstance(result, tuple) is not return_dict
        assert len(result) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EulerDiscreteScheduler(num_train_timesteps=0), "num_train_timesteps is 0"),
        (lambda: EulerDiscreteScheduler(prediction_type="flow"), "prediction_type is 'flow'"),
        (lambda: EulerDiscreteScheduler(beta_schedule="flat"), "beta_schedule is 'flat'"),
        (lambda: make_scheduler(0), "0 steps"),
        (lambda: make_scheduler().set_timesteps(timesteps=[]), "0 steps"),
        (lambda: make_scheduler().set_timesteps(sigmas=[1.0]), "0 steps"),
        (lambda: make_scheduler().set_timesteps(sigmas=[3.0, 0.0, 0.0]), r"\[3.0, 0.0, 0.0\]"),
        (lambda: make_scheduler().set_timesteps(sigmas=[3.0, float("nan")]), "nan"),
        (lambda: make_scheduler().set_timesteps(sigmas=[[3.0, 1.0]]), r"\(1, 2\)"),
        (lambda: make_scheduler().set_timesteps(), "none of them"),
        (
            lambda: make_scheduler().set_timesteps(3, sigmas=[1.0, 0.0]),
            "num_inference_steps and sigmas",
        ),
        (
            lambda: make_scheduler(use_beta_sigmas=True).set_timesteps(timesteps=[3.0]),
            "beta sigmas",
        ),
        (lambda: make_scheduler().step(NOISE, 2, DATA), "timestep 2 is an integer"),
        (lambda: make_scheduler().scale_model_input(NOISE, 0.5), "0.5 is not in the schedule of 5"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_step_after_the_last_is_refused():
    scheduler = make_scheduler(2)
    for timestep in scheduler.timesteps:
        scheduler.step(NOISE, timestep, DATA)
    for call in (scheduler.scale_model_input, lambda sample, t: scheduler.step(sample, t, sample)):
        with pytest.raises(InputError, match="All 2 steps"):
            call(NOISE, scheduler.timesteps[-1])


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ({"timestep_spacing": "linspace"}, [999, 749.25, 499.5, 249.75, 0]),
        ({"timestep_spacing": "leading", "steps_offset": 1}, [801, 601, 401, 201, 1]),
        ({"timestep_spacing": "trailing"}, [999, 799, 599, 399, 199]),
    ],
)
def test_timesteps_are_spaced_as_in_the_table_of_the_paper(spacing, expected):
    np.testing.assert_allclose(make_scheduler(5, **spacing).host_timesteps, expected)


def test_the_last_sigma_may_be_the_lowest_trained_one():
    lowest = EulerDiscreteScheduler().host_sigmas[-2]
    assert make_scheduler(3, final_sigmas_type="sigma_min").host_sigmas[-1] == lowest


def test_log_linear_sigmas_are_even_in_the_logarithm():
    scheduler = make_scheduler(5, interpolation_type="log_linear")
    steps = np.diff(np.log(scheduler.host_sigmas[:-1]))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)


def test_respaced_sigmas_run_from_sigma_max_to_sigma_min():
    scheduler = make_scheduler(5, use_karras_sigmas=True, sigma_min=0.5, sigma_max=20.0)
    np.testing.assert_allclose(scheduler.host_sigmas[[0, -2]], [20.0, 0.5], rtol=1e-5)


def test_leading_spacing_adds_the_variance_of_the_data_to_the_first_sample():
    highest = make_scheduler(5).host_sigmas[0]
    assert make_scheduler(5).init_noise_sigma.item() == highest
    scheduler = make_scheduler(5, timestep_spacing="leading")
    expected = (scheduler.host_sigmas[0] ** 2 + 1) ** 0.5
    assert scheduler.init_noise_sigma.item() == pytest.approx(expected)


def test_churn_raises_the_variance_to_that_of_the_raised_sigma():
    """Karras et al., algorithm 2: sigma_hat = sigma (1 + gamma), with noise to match."""
    scheduler = make_scheduler(4)
    sigma, next_sigma = scheduler.sigmas[:2]
    sample = DATA + NOISE * sigma
    result = scheduler.step(
        NOISE,
        scheduler.timesteps[0],
        sample,
        s_churn=1.2,
        s_noise=0.9,
        generator=torch.Generator().manual_seed(0),
    )
    sigma_hat = sigma * (1 + 1.2 / 4)
    new_noise = torch.randn(DATA.shape, generator=torch.Generator().manual_seed(0))
    raised = sample + 0.9 * (sigma_hat**2 - sigma**2) ** 0.5 * new_noise
    torch.testing.assert_close(result.pred_original_sample, raised - sigma_hat * NOISE)
    torch.testing.assert_close(result.prev_sample, raised + (next_sigma - sigma_hat) * NOISE)


def test_churn_is_limited():
    """gamma is at most sqrt(2) - 1, whatever s_churn is."""
    results = []
    for s_churn in (2, 100):  # 2 / 4 is above the limit
        scheduler = make_scheduler(4)
        generator = torch.Generator().manual_seed(0)
        results.append(
            scheduler.step(
                NOISE, scheduler.timesteps[0], DATA, s_churn=s_churn, generator=generator
            )
        )
    assert torch.equal(results[0].prev_sample, results[1].prev_sample)


def test_with_a_begin_index_noise_is_added_at_the_level_of_the_next_step():
    scheduler = make_scheduler(5)
    scheduler.set_begin_index(2)
    timesteps = scheduler.timesteps[[0, 4]]
    expected = DATA + scheduler.sigmas[2] * NOISE
    torch.testing.assert_close(scheduler.add_noise(DATA, NOISE, timesteps), expected)
    scheduler.scale_model_input(DATA, scheduler.timesteps[2])
    scheduler.step(NOISE, scheduler.timesteps[2], DATA)
    expected = DATA + scheduler.sigmas[3] * NOISE
    torch.testing.assert_close(scheduler.add_noise(DATA, NOISE, timesteps), expected)
