"""The spacings and shifts obey the formulas of the papers that they come from."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.schedulers.sigmas import (
    SPACINGS,
    beta,
    chosen_spacing,
    exponential,
    exponential_shift,
    karras,
    linear_shift,
    static_shift,
    stretch_to_terminal,
)

LEVELS = np.linspace(1, 0.02, 50)
shifts = st.floats(0.05, 20)


@pytest.mark.parametrize("spacing", SPACINGS.values())
@settings(deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0.6, 700), st.integers(2, 60))
def test_spacings_fall_from_the_first_level_to_the_last(spacing, low, high, steps):
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


def test_beta_levels_are_symmetric_and_dense_at_the_ends():
    sigmas = beta(0.1, 0.9, 21)
    np.testing.assert_allclose(sigmas + sigmas[::-1], 1.0)
    steps = -np.diff(sigmas)
    assert steps[0] < steps[10]
    np.testing.assert_allclose(beta(0.1, 0.9, 21, a=1, b=1), np.linspace(0.9, 0.1, 21))


@settings(deadline=None)
@given(shifts, shifts)
def test_static_shifts_compose_by_multiplying(first, second):
    np.testing.assert_allclose(
        static_shift(second, static_shift(first, LEVELS)),
        static_shift(first * second, LEVELS),
        rtol=1e-9,
    )


@settings(deadline=None)
@given(shifts)
def test_the_three_shifts_are_one_formula(shift):
    """Flux's e^mu is the factor of Esser et al., eq. 23."""
    wanted = static_shift(shift, LEVELS)
    np.testing.assert_allclose(exponential_shift(np.log(shift), 1.0, LEVELS), wanted, rtol=1e-9)
    np.testing.assert_allclose(linear_shift(shift, 1.0, LEVELS), wanted, rtol=1e-9)


@pytest.mark.parametrize("shift", [exponential_shift, linear_shift])
def test_shifts_leave_noise_and_data_where_they_are(shift):
    for levels in (np.array([1.0, 0.0]), torch.tensor([1.0, 0.0])):
        assert shift(1.7, 2.0, levels).tolist() == pytest.approx([1.0, 0.0])


@settings(deadline=None)
@given(st.floats(0.01, 0.9))
def test_stretching_keeps_noise_and_order_and_ends_at_the_terminal(terminal):
    stretched = stretch_to_terminal(terminal, static_shift(3.0, LEVELS))
    np.testing.assert_allclose(stretched[[0, -1]], [1.0, terminal])
    assert (np.diff(stretched) < 0).all()


def test_one_spacing_at_most_can_be_chosen():
    assert chosen_spacing({"shift": 3.0, "use_karras_sigmas": False}) is None
    assert chosen_spacing({"use_beta_sigmas": True}) is beta
    with pytest.raises(InputError, match="use_karras_sigmas and use_beta_sigmas"):
        chosen_spacing({"use_karras_sigmas": True, "use_beta_sigmas": True})


def test_exponential_spacing_needs_levels_above_zero():
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
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False", "True", "False"]
