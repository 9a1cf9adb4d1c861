"""The Euler scheduler gives the numbers of the installed diffusers."""

import itertools

import diffusers
import numpy as np
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler

PUBLISHED = {  # the scheduler of the published SVD folders
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "trained_betas": None,
    "use_karras_sigmas": True,
}
BETAS = {
    "linear": {},
    "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {
        "trained_betas": np.linspace(0.001, 0.03, 500).tolist(),
        "num_train_timesteps": 500,
    },
}
SPACINGS = {
    "even": {},
    "log": {"interpolation_type": "log_linear"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True, "interpolation_type": "log_linear"},
    "beta": {"use_beta_sigmas": True},
}
AXES = (
    [{}, {"rescale_betas_zero_snr": True}],
    [{}, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing"}],
    [
        {},
        {"timestep_type": "continuous", "prediction_type": "v_prediction"},
        {"timestep_type": "continuous"},
    ],
    [{}, {"final_sigmas_type": "sigma_min"}],
    [{}, {"sigma_min": 0.002, "sigma_max": 700.0}],
)
SCHEDULES = (
    {"num_inference_steps": 7},
    {"num_inference_steps": 1},
    {"sigmas": [700.0, 40.0, 3.0, 0.2, 0.0]},
    {"timesteps": [450, 300.5, 20]},
)
SAMPLINGS = {
    "epsilon": {"prediction_type": "epsilon"},
    "velocity": {"prediction_type": "v_prediction"},
    "data": {"prediction_type": "sample"},
    "data by its older name": {"prediction_type": "original_sample"},
    "published": PUBLISHED,
    "lowest": {"final_sigmas_type": "sigma_min", "timestep_spacing": "trailing"},
    "zero snr": {
        "rescale_betas_zero_snr": True,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    },
}
CHURN = {"s_churn": 3.0, "s_tmin": 0.1, "s_tmax": 80.0, "s_noise": 1.1}


def pair(**config):
    return EulerDiscreteScheduler(**config), diffusers.EulerDiscreteScheduler(**config)


def assert_same_schedule(ours, reference):
    for name in ("sigmas", "timesteps"):
        result, expected = getattr(ours, name), getattr(reference, name)
        assert result.dtype == expected.dtype == torch.float32
        assert result.device == expected.device
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(getattr(ours, f"host_{name}"), result.numpy())
    torch.testing.assert_close(ours.init_noise_sigma, reference.init_noise_sigma)
    assert ours.num_inference_steps == reference.num_inference_steps
    assert (ours.step_index, ours.begin_index, len(ours), ours.order) == (
        None,
        None,
        len(reference),
        reference.order,
    )


def sample_with(scheduler, dtype=torch.float32, **options):
    """The tensors of each step, for a model that depends on its input and timestep."""
    sample = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    sample = sample * scheduler.init_noise_sigma
    results = []
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        output = (torch.cos(3 * scaled.float()) - timestep / 700).to(dtype)
        stepped = scheduler.step(output, timestep, sample, **options)
        sample = stepped.prev_sample
        results.extend([scaled, *stepped.to_tuple()])
    return results


def assert_same_trajectory(ours, reference):
    for result, expected in zip(ours, reference, strict=True):
        assert result.dtype == expected.dtype
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_same_schedule_for_every_config_and_every_argument(betas, spacing):
    num_compared = 0
    for options in itertools.product(*AXES):
        config = BETAS[betas] | SPACINGS[spacing]
        for option in options:
            config |= option
        ours, reference = pair(**config)
        assert_same_schedule(ours, reference)
        for schedule in SCHEDULES:
            try:
                reference.set_timesteps(**schedule)
            except ValueError:
                with pytest.raises(InputError, match="timesteps cannot be given"):
                    ours.set_timesteps(**schedule)
                continue
            ours.set_timesteps(**schedule)
            assert_same_schedule(ours, reference)
            num_compared += 1
    assert num_compared >= 200


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("config", SAMPLINGS)
@pytest.mark.parametrize("options", [{}, CHURN], ids=["plain", "churn"])
def test_every_sample_is_the_same(config, dtype, options):
    ours, reference = pair(**SAMPLINGS[config])
    trajectories = []
    for scheduler in (ours, reference):
        scheduler.set_timesteps(9)
        trajectories.append(
            sample_with(scheduler, dtype, generator=torch.Generator().manual_seed(5), **options)
        )
    assert_same_trajectory(*trajectories)
    assert ours.step_index == reference.step_index == 9


def test_churn_draws_from_the_same_generators_in_the_same_order():
    ours, reference = pair()
    for options in (
        dict,
        lambda: {"generator": torch.Generator().manual_seed(3)},
        lambda: {"generator": [torch.Generator().manual_seed(3), torch.Generator().manual_seed(4)]},
    ):
        trajectories = []
        for scheduler in (ours, reference):
            scheduler.set_timesteps(4)
            torch.manual_seed(11)
            trajectories.append(sample_with(scheduler, s_churn=2.0, **options()))
        assert_same_trajectory(*trajectories)


@pytest.mark.parametrize("begin", [None, 3])
def test_sampling_can_begin_at_a_later_step(begin):
    trajectories = []
    for scheduler in pair(timestep_spacing="leading"):
        scheduler.set_timesteps(8)
        if begin is not None:
            scheduler.set_begin_index(begin)
        scheduler.timesteps = scheduler.timesteps[3:]
        if begin is None:
            scheduler.sigmas = scheduler.sigmas[3:]
        trajectories.append(sample_with(scheduler))
    assert_same_trajectory(*trajectories)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("begin", "stepped"), [(None, False), (2, False), (2, True), (None, True)])
def test_adding_noise(dtype, begin, stepped):
    clean, noise = torch.randn(2, 3, 5, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    results = []
    for scheduler in pair(**PUBLISHED):
        scheduler.set_timesteps(5)
        if begin is not None:
            scheduler.set_begin_index(begin)
        if stepped:
            scheduler.step(noise, scheduler.timesteps[2], clean)
        times = scheduler.timesteps[[4, 0, 2]]
        results.append([scheduler.add_noise(clean, noise, times)])
    assert_same_trajectory(*results)


def test_the_same_calls_are_refused():
    sample = torch.zeros(1, 2)
    calls = [
        lambda scheduler: scheduler(beta_schedule="sigmoid"),
        lambda scheduler: scheduler(use_karras_sigmas=True, use_beta_sigmas=True),
        lambda scheduler: scheduler(interpolation_type="cubic").set_timesteps(3),
        lambda scheduler: scheduler(timestep_spacing="even").set_timesteps(3),
        lambda scheduler: scheduler(final_sigmas_type="one").set_timesteps(3),
        lambda scheduler: scheduler().set_timesteps(),
        lambda scheduler: scheduler().set_timesteps(3, timesteps=[1, 2, 3]),
        lambda scheduler: scheduler().set_timesteps(sigmas=[3.0, 0.0], timesteps=[3]),
        lambda scheduler: scheduler().step(sample, 3, sample),
        lambda scheduler: scheduler().step(sample, torch.tensor(3), sample),
        lambda scheduler: scheduler().step(sample, 3.5, sample),
    ]
    for call in calls:
        with pytest.raises(Exception):  # noqa: B017 (diffusers raises several types)
            call(diffusers.EulerDiscreteScheduler)
        with pytest.raises(InputError) as raised:
            call(EulerDiscreteScheduler)
        assert str(raised.value)[0].isalpha()
        assert str(raised.value).endswith(".")


@pytest.mark.parametrize("config", [PUBLISHED, {}, BETAS["trained"], SAMPLINGS["zero snr"]])
def test_each_library_reads_the_config_that_the_other_saved(config, tmp_path):
    ours, reference = pair(**config)
    ours.save_pretrained(tmp_path / "filmstrip")
    reference.save_pretrained(tmp_path / "diffusers")
    loaded = EulerDiscreteScheduler.from_pretrained(tmp_path / "diffusers")
    loaded_by_diffusers = diffusers.EulerDiscreteScheduler.from_pretrained(tmp_path / "filmstrip")
    for scheduler in (loaded, loaded_by_diffusers):
        scheduler.set_timesteps(6)
    assert_same_schedule(loaded, loaded_by_diffusers)
    options = [name for name in reference.config if not name.startswith("_")]
    assert [loaded.config[name] for name in options] == [
        loaded_by_diffusers.config[name] for name in options
    ]
