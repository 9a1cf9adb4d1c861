"""Spacings, shifts and betas follow the formulas of their papers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.schedulers.sigmas import (
    BETA_SCHEDULES,
    SPACINGS,
    beta,
    chosen_spacing,
    exponential,
    exponential_shift,
    karras,
    linear_shift,
    static_shift,
    stretch_to_terminal,
    zero_terminal_snr,
)

SIGMAS = np.linspace(1, 0.02, 50)
shifts = st.floats(0.05, 20)


@pytest.mark.parametrize("spacing", SPACINGS.values())
@settings(deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0.6, 700), st.integers(2, 60))
def test_spacings_fall_from_sigma_max_to_sigma_min(spacing, low, high, steps):
    sigmas = spacing(low, high, steps)
    assert sigmas.shape == (steps,)
    assert (np.diff(sigmas) < 0).all()
    np.testing.assert_allclose(sigmas[[0, -1]], [high, low], rtol=1e-9)


def test_karras_steps_are_even_in_the_seventh_root():
    steps = np.diff(karras(0.02, 80.0, 18) ** (1 / 7))
    np.testing.assert_allclose(steps, steps[0])


def test_exponential_steps_are_even_in_the_logarithm():
    steps = np.diff(np.log(exponential(0.02, 80.0, 18)))
    np.testing.assert_allclose(steps, steps[0])


def test_beta_sigmas_are_symmetric_and_dense_at_the_ends():
    sigmas = beta(0.1, 0.9, 21)
    np.testing.assert_allclose(sigmas + sigmas[::-1], 1.0)
    steps = -np.diff(sigmas)
    assert steps[0] < steps[10]
    np.testing.assert_allclose(beta(0.1, 0.9, 21, a=1, b=1), np.linspace(0.9, 0.1, 21))


@settings(deadline=None)
@given(shifts, shifts)
def test_static_shifts_compose_by_multiplying(first, second):
    np.testing.assert_allclose(
        static_shift(second, static_shift(first, SIGMAS)),
        static_shift(first * second, SIGMAS),
        rtol=1e-9,
    )


@settings(deadline=None)
@given(shifts)
def test_the_three_shifts_are_one_formula(shift):
    """Flux's e^mu is the factor of Esser et al., eq. 23."""
    expected = static_shift(shift, SIGMAS)
    np.testing.assert_allclose(exponential_shift(np.log(shift), 1.0, SIGMAS), expected, rtol=1e-9)
    np.testing.assert_allclose(linear_shift(shift, 1.0, SIGMAS), expected, rtol=1e-9)


@pytest.mark.parametrize("shift", [exponential_shift, linear_shift])
def test_shifts_keep_pure_noise_and_data(shift):
    for levels in (np.array([1.0, 0.0]), torch.tensor([1.0, 0.0])):
        assert shift(1.7, 2.0, levels).tolist() == pytest.approx([1.0, 0.0])


@settings(deadline=None)
@given(st.floats(0.01, 0.9))
def test_stretching_keeps_the_first_sigma_and_the_order_and_ends_at_the_terminal(terminal):
    stretched = stretch_to_terminal(terminal, static_shift(3.0, SIGMAS))
    np.testing.assert_allclose(stretched[[0, -1]], [1.0, terminal])
    assert (np.diff(stretched) < 0).all()


def test_several_spacings_are_refused():
    assert chosen_spacing({"shift": 3.0, "use_karras_sigmas": False}) is None
    assert chosen_spacing({"use_beta_sigmas": True}) is beta
    with pytest.raises(InputError, match="use_karras_sigmas and use_beta_sigmas"):
        chosen_spacing({"use_karras_sigmas": True, "use_beta_sigmas": True})


def test_exponential_spacing_needs_sigmas_above_zero():
    with pytest.raises(InputError, match="0 to 1"):
        exponential(0.0, 1.0, 5)


def test_scipy_is_imported_for_beta_sigmas_only():
    code = (
        "import sys\n"
        "from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler as S\n"
        "for option in 'use_karras_sigmas', 'use_beta_sigmas':\n"
        "    S(**{option: True}).set_timesteps(4)\n"
        "    print('scipy' in sys.modules, 'scipy.stats' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False", "True", "False"]


def test_linear_betas_are_even():
    expected = torch.linspace(0.0001, 0.02, 11)
    torch.testing.assert_close(BETA_SCHEDULES["linear"](0.0001, 0.02, 11), expected)


def test_scaled_linear_betas_are_even_in_the_square_root():
    betas = BETA_SCHEDULES["scaled_linear"](0.0004, 0.0225, 11)
    torch.testing.assert_close(betas.sqrt(), torch.linspace(0.02, 0.15, 11))


def test_cosine_betas_give_the_signal_of_the_paper():
    """Nichol and Dhariwal, eq. 17, with s = 0.008; the last beta is clipped to 0.999."""
    betas = BETA_SCHEDULES["squaredcos_cap_v2"](0.0, 0.0, 50).double()
    signal = torch.cumprod(1 - betas, dim=0)
    times = torch.arange(51, dtype=torch.float64) / 50
    expected = torch.cos((times + 0.008) / 1.008 * torch.pi / 2) ** 2
    assert betas.shape == (50,)
    torch.testing.assert_close(
        signal[:-1], expected[1:-1] / expected[0], rtol=1e-4, atol=1e-6, check_dtype=False
    )
    assert betas[-1].item() == pytest.approx(0.999)


def test_zero_terminal_snr_scales_the_square_roots_of_the_signal_linearly():
    """Lin et al., algorithm 1."""
    betas = BETA_SCHEDULES["linear"](0.01, 0.2, 20).double()
    roots = torch.cumprod(1 - betas, dim=0).sqrt()
    rescaled = torch.cumprod(1 - zero_terminal_snr(betas), dim=0).sqrt()
    expected = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    torch.testing.assert_close(rescaled, expected)


def test_shifts_follow_the_formula_of_flux_for_any_power():
    expected = 2.5 / (2.5 + (1 / SIGMAS - 1) ** 1.7)
    np.testing.assert_allclose(linear_shift(2.5, 1.7, SIGMAS), expected)
    np.testing.assert_allclose(exponential_shift(np.log(2.5), 1.7, SIGMAS), expected)
