"""Settings of a request replace those of a preset, within their limits; seeds."""

from collections.abc import Callable

import pytest

from filmstrip.errors import InputError
from filmstrip.jobs.settings import MAX_SEED, override, seeds_from
from filmstrip.presets.ltx import CALL_DEFAULTS as PRESET


def test_settings_that_are_none_keep_those_of_the_preset() -> None:
    assert override(PRESET, frames=None) == PRESET


def test_seeds_are_consecutive_and_the_first_is_random_by_default() -> None:
    assert seeds_from(7, 3) == (7, 8, 9)
    assert seeds_from(MAX_SEED, 1) == (MAX_SEED,)
    first, second = seeds_from(None, 2)
    assert second == first + 1
    assert len({seeds_from(None, 1) for _ in range(5)}) > 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: override(PRESET, height=0), "--height is 0, but it must be 1 or more"),
        (lambda: override(PRESET, frames=-1), "--frames is -1"),
        (lambda: override(PRESET, fps=float("nan")), "--fps is nan"),
        (lambda: override(PRESET, fps=float("inf")), "--fps is inf"),
        (lambda: override(PRESET, guidance=-0.5), "--guidance is -0.5"),
        (lambda: override(PRESET, guidance=float("inf")), "--guidance is inf"),
        (lambda: seeds_from(-1, 1), "--seed is -1"),
        (lambda: seeds_from(MAX_SEED, 2), f"--seed is {MAX_SEED}"),
        (lambda: seeds_from(0, 0), "--count is 0"),
        (lambda: seeds_from(0, 10_000), "--count is 10000"),
    ],
)
def test_settings_outside_their_limits_are_refused(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        call()
