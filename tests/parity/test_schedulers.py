"""The flow-match Euler scheduler gives the numbers of the installed diffusers."""

import itertools

import diffusers
import numpy as np
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler

PUBLISHED = {  # the scheduler of the published LTX-Video folders
    "base_image_seq_len": 1024,
    "base_shift": 0.95,
    "max_image_seq_len": 4096,
    "max_shift": 2.05,
    "shift_terminal": 0.1,
    "use_dynamic_shifting": True,
}
SHIFTS = {
    "none": {},
    "static": {"shift": 3.0},
    "below one": {"shift": 0.4},
    "dynamic": {"use_dynamic_shifting": True},
    "dynamic linear": {"use_dynamic_shifting": True, "time_shift_type": "linear", "shift": 5.0},
    "published": PUBLISHED,
}
SPACINGS = {
    "even": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
}
ENDS = {
    "plain": {},
    "terminal": {"shift_terminal": 0.2},
    "terminal zero": {"shift_terminal": 0.0},
    "inverted": {"invert_sigmas": True},
    "inverted terminal": {
        "invert_sigmas": True,
        "shift_terminal": 0.05,
        "num_train_timesteps": 4000,
    },
}
SCHEDULES = {
    "steps": {"num_inference_steps": 7},
    "one step": {"num_inference_steps": 1},
    "sigmas": {"sigmas": [1.0, 0.83, 0.4, 0.21]},
    "sigmas and steps": {"num_inference_steps": 3, "sigmas": np.linspace(1.0, 1 / 3, 3)},
    "timesteps": {"timesteps": [1000, 750, 300, 20]},
    "both": {"sigmas": [0.9, 0.5, 0.1], "timesteps": [801.5, 444.0, 7.25]},
}


def pair(**config):
    return FlowMatchEulerDiscreteScheduler(**config), diffusers.FlowMatchEulerDiscreteScheduler(
        **config
    )


def assert_same_schedule(ours, reference):
    for name in ("sigmas", "timesteps"):
        result, expected = getattr(ours, name), getattr(reference, name)
        assert result.dtype == expected.dtype == torch.float32
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
        host = getattr(ours, f"host_{name}")
        np.testing.assert_array_equal(host, result.numpy())
    assert ours.num_inference_steps == getattr(reference, "num_inference_steps", None)
    assert (ours.step_index, ours.begin_index) == (None, None)
    assert (ours.sigma_min, ours.sigma_max, len(ours), ours.order) == (
        reference.sigma_min,
        reference.sigma_max,
        len(reference),
        reference.order,
    )


def sample_with(scheduler, dtype=torch.float32, **options):
    """The sample after each step, for a model that depends on sample and timestep."""
    sample = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    samples = []
    for timestep in scheduler.timesteps:
        output = (torch.cos(sample.float()) - timestep / 700).to(dtype)
        sample = scheduler.step(output, timestep, sample, **options).prev_sample
        samples.append(sample)
    return samples


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_same_schedule_for_every_config_and_every_argument(shift, spacing):
    for end, schedule in itertools.product(ENDS, SCHEDULES):
        config = SHIFTS[shift] | SPACINGS[spacing] | ENDS[end]
        if schedule == "one step" and config.get("shift_terminal"):
            continue  # diffusers divides by zero, see below
        ours, reference = pair(**config)
        assert_same_schedule(ours, reference)
        for scheduler in (ours, reference):
            scheduler.set_timesteps(**SCHEDULES[schedule], mu=1.3)
        assert_same_schedule(ours, reference)


def test_each_option_of_the_grid_changes_the_schedule():
    base = FlowMatchEulerDiscreteScheduler()
    base.set_timesteps(7)
    options = [*SHIFTS.values(), *SPACINGS.values(), *ENDS.values()]
    for config in options:
        scheduler = FlowMatchEulerDiscreteScheduler(**config)
        scheduler.set_timesteps(7, mu=1.3)
        off = not config or config == ENDS["terminal zero"]
        assert torch.equal(scheduler.sigmas, base.sigmas) == off, config


def test_a_single_step_with_a_terminal_is_not_stretched_where_diffusers_gives_nan():
    ours, reference = pair(shift_terminal=0.1)
    with np.errstate(invalid="ignore"):
        reference.set_timesteps(1)
    ours.set_timesteps(1)
    assert reference.sigmas.isnan().any()
    assert ours.sigmas.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "config",
    [{}, {"shift": 3.0}, PUBLISHED, {"stochastic_sampling": True}, {"invert_sigmas": True}],
)
def test_every_sample_is_the_same(config, dtype):
    ours, reference = pair(**config)
    trajectories = []
    for scheduler in (ours, reference):
        scheduler.set_timesteps(9, mu=1.3)
        trajectories.append(
            sample_with(scheduler, dtype, generator=torch.Generator().manual_seed(5))
        )
    for result, expected in zip(*trajectories, strict=True):
        assert result.dtype == expected.dtype == dtype
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    assert ours.step_index == reference.step_index == 9


def test_stochastic_noise_is_drawn_from_the_same_generators_in_the_same_order():
    ours, reference = pair(stochastic_sampling=True)
    for options in (
        dict,
        lambda: {"generator": torch.Generator().manual_seed(3)},
        lambda: {"generator": [torch.Generator().manual_seed(3), torch.Generator().manual_seed(4)]},
    ):
        trajectories = []
        for scheduler in (ours, reference):
            scheduler.set_timesteps(4)
            torch.manual_seed(11)
            trajectories.append(sample_with(scheduler, **options()))
        torch.testing.assert_close(trajectories[0], trajectories[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [{}, PUBLISHED, {"stochastic_sampling": True}])
def test_per_token_timesteps(config, dtype):
    ours, reference = pair(**config)
    sample = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    output = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    results = []
    for scheduler in (ours, reference):
        scheduler.set_timesteps(6, mu=1.1)
        steps = scheduler.timesteps
        tokens = torch.stack(
            [steps[[0, 1, 2, 5, 5]], torch.tensor([0.0, 5.0, 640.0, steps[3], 1000.0])]
        )
        generator = torch.Generator().manual_seed(2)
        results.append(
            [
                scheduler.step(
                    -output,
                    t,
                    sample,
                    generator=generator,
                    per_token_timesteps=torch.minimum(t, tokens),
                )[0]
                for t in steps
            ]
        )
    for result, expected in zip(*results, strict=True):
        assert result.dtype == expected.dtype == torch.float32
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


def test_sampling_can_begin_at_a_later_step():
    for begin in (None, 3):
        results = []
        for scheduler in pair(shift=2.0):
            scheduler.set_timesteps(8)
            if begin is not None:
                scheduler.set_begin_index(begin)
            scheduler.timesteps = scheduler.timesteps[3:]
            if begin is None:
                scheduler.sigmas = scheduler.sigmas[3:]
            results.append(sample_with(scheduler))
        torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scale_noise(dtype):
    clean, noise = torch.randn(2, 3, 5, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    for begin, stepped in ((None, False), (2, False), (2, True), (None, True)):
        results = []
        for scheduler in pair(shift=2.0):
            scheduler.set_timesteps(5)
            if begin is not None:
                scheduler.set_begin_index(begin)
            if stepped:
                scheduler.step(noise, scheduler.timesteps[2], clean)
            times = scheduler.timesteps[[4, 0, 2]]
            results.append(scheduler.scale_noise(clean, times, noise))
        assert results[0].dtype == results[1].dtype
        torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


def test_helpers_that_pipelines_call():
    ours, reference = pair(use_dynamic_shifting=True, time_shift_type="linear", shift_terminal=0.1)
    sigmas = torch.linspace(1, 0.1, 5)
    for name, arguments in (
        ("time_shift", (0.8, 2.0, sigmas)),
        ("stretch_shift_to_terminal", (sigmas,)),
        ("time_shift", (0.8, 2.0, sigmas.numpy())),
    ):
        result, expected = getattr(ours, name)(*arguments), getattr(reference, name)(*arguments)
        assert type(result) is type(expected)
        torch.testing.assert_close(result, expected)
    schedule = torch.tensor([5.0, 3.0, 3.0, 3.0, 1.0])
    for expected in (5.0, 3.0, torch.tensor(1.0)):
        assert ours.index_for_timestep(expected, schedule) == reference.index_for_timestep(
            expected, schedule
        )
    ours.set_timesteps(6, mu=0.9)
    assert ours.index_for_timestep(ours.timesteps[4].item()) == 4


def test_set_shift_takes_effect_at_the_next_schedule():
    ours, reference = pair(shift=2.0)
    for scheduler in (ours, reference):
        scheduler.set_shift(6.0)
        scheduler.set_timesteps(5)
    assert ours.shift == reference.shift == 6.0
    assert_same_schedule(ours, reference)


def both_refuse(call):
    """Check that the call raises with each library's class: in filmstrip a sentence."""
    with pytest.raises(Exception):  # noqa: B017 (diffusers raises several types)
        call(diffusers.FlowMatchEulerDiscreteScheduler)
    with pytest.raises(InputError) as raised:
        call(FlowMatchEulerDiscreteScheduler)
    assert str(raised.value)[0].isalpha()
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(
    "config",
    [
        {"time_shift_type": "cubic"},
        {"use_karras_sigmas": True, "use_beta_sigmas": True},
        {"use_karras_sigmas": True, "use_exponential_sigmas": True},
    ],
)
def test_the_same_configs_are_refused(config):
    both_refuse(lambda scheduler: scheduler(**config))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_inference_steps": 4, "sigmas": [1.0, 0.5]},
        {"num_inference_steps": 4, "timesteps": [1000.0, 500.0]},
        {"sigmas": [1.0, 0.5], "timesteps": [1000.0]},
        {"num_inference_steps": -1},
    ],
)
def test_the_same_schedules_are_refused(arguments):
    both_refuse(lambda scheduler: scheduler().set_timesteps(**arguments))


def test_the_same_calls_are_refused():
    dynamic = {"use_dynamic_shifting": True}
    both_refuse(lambda scheduler: scheduler(**dynamic).set_timesteps(4))
    both_refuse(
        lambda scheduler: scheduler(use_exponential_sigmas=True).set_timesteps(sigmas=[1.0, 0.0])
    )

    sample = torch.zeros(1, 2, 3)

    def step(timestep, times=1):
        def call(scheduler):
            instance = scheduler()
            instance.set_timesteps(4)
            for _ in range(times):
                instance.step(sample, timestep, sample)

        return call

    for timestep in (1000, torch.tensor(1000), torch.tensor(3, dtype=torch.int32)):
        both_refuse(step(timestep))
    both_refuse(step(123.0))
    both_refuse(step(1000.0, times=5))


@pytest.mark.parametrize(
    "config", [PUBLISHED, {}, {"use_beta_sigmas": True, "stochastic_sampling": True}]
)
def test_each_library_reads_the_config_that_the_other_saved(config, tmp_path):
    ours, reference = pair(**config)
    ours.save_pretrained(tmp_path / "filmstrip")
    reference.save_pretrained(tmp_path / "diffusers")
    loaded = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "diffusers")
    loaded_by_diffusers = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(
        tmp_path / "filmstrip"
    )
    for scheduler in (loaded, loaded_by_diffusers):
        scheduler.set_timesteps(6, mu=1.2)
    assert_same_schedule(loaded, loaded_by_diffusers)
    options = [name for name in reference.config if not name.startswith("_")]
    assert [loaded.config[name] for name in options] == [
        loaded_by_diffusers.config[name] for name in options
    ]
    assert (
        FlowMatchEulerDiscreteScheduler.from_config(reference.config).config.shift
        == reference.config.shift
    )
