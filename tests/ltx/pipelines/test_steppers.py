"""Steppers of LTX: the tokens that a step changes, the model's timesteps, and new noise."""

import torch

from filmstrip.ltx.latents import LatentShape, pack, unpack
from filmstrip.ltx.pipelines.steppers import FirstFrameStepper, MaskedStepper
from filmstrip.pipeline.denoise import Step

SHAPE = LatentShape(3, 2, 2)
FIRST = SHAPE.height * SHAPE.width  # tokens of the first frame


def step_at(timestep: float) -> Step:
    return Step(0, torch.tensor(timestep))


def tokens(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, SHAPE.num_tokens, 5, generator=generator)


def test_the_first_frame_has_timestep_0_and_does_not_change() -> None:
    shapes = []

    def euler_step(latents: torch.Tensor, velocity: torch.Tensor, step: Step) -> torch.Tensor:
        shapes.append(latents.shape)
        return latents - step.timestep * velocity

    stepper = FirstFrameStepper(euler_step, SHAPE)
    latents = tokens(0)
    prediction = tokens(1)
    step = step_at(500.0)
    assert stepper.renoise(latents, step) is latents
    timesteps = stepper.timesteps(latents, step)
    assert timesteps.shape == (1, SHAPE.num_tokens)
    assert timesteps[0].tolist() == [0.0] * FIRST + [500.0] * (SHAPE.num_tokens - FIRST)
    stepped = stepper.step(latents, prediction, step)
    assert torch.equal(stepped[:, :FIRST], latents[:, :FIRST])
    torch.testing.assert_close(stepped[:, FIRST:], latents[:, FIRST:] - 500 * prediction[:, FIRST:])
    assert shapes == [(2, 5, 2, 2, 2)]
    assert torch.equal(pack(unpack(latents, SHAPE)), latents)


def masked(strength: list[float], noise_scale: float = 0.0, seed: int = 3) -> MaskedStepper:
    def euler_step(
        latents: torch.Tensor, velocity: torch.Tensor, timesteps: torch.Tensor, step: Step
    ) -> torch.Tensor:
        return latents - timesteps.unsqueeze(-1) * velocity

    return MaskedStepper(
        euler_step,
        conditioned=torch.full((1, len(strength), 2), 7.0),
        strength=torch.tensor([strength]),
        noise_scale=noise_scale,
        generator=torch.Generator().manual_seed(seed),
    )


def test_the_timestep_of_a_token_is_limited_by_its_strength() -> None:
    stepper = masked([0.0, 0.25, 0.5, 1.0])
    latents = torch.zeros(1, 4, 2)
    assert stepper.timesteps(latents, step_at(600.0)).tolist() == [[600.0, 600.0, 500.0, 0.0]]
    assert stepper.timesteps(latents, step_at(100.0)).tolist() == [[100.0, 100.0, 100.0, 0.0]]


def test_a_token_is_denoised_below_the_noise_level_of_its_strength() -> None:
    stepper = masked([0.0, 0.25, 0.5, 1.0])
    latents = torch.ones(1, 4, 2)
    velocity = torch.ones(1, 4, 2)
    for timestep, changed in [
        (900.0, [True, False, False, False]),
        (750.0, [True, True, False, False]),
        (600.0, [True, True, False, False]),
        (500.0, [True, True, True, False]),
        (1.0, [True, True, True, False]),
    ]:
        stepped = stepper.step(latents, velocity, step_at(timestep))
        expected = [1 - timestep if is_changed else 1.0 for is_changed in changed]
        torch.testing.assert_close(stepped[0, :, 0], torch.tensor(expected))


def test_only_fully_conditioned_tokens_get_new_noise_by_the_square_of_the_timestep() -> None:
    stepper = masked([0.0, 0.999, 1.0], noise_scale=0.4)
    latents = torch.ones(1, 3, 2)
    noised = stepper.renoise(latents, step_at(500.0))
    noise = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(noised[:, :2], latents[:, :2])
    torch.testing.assert_close(noised[:, 2], 7 + 0.4 * noise[:, 2] * 0.25)
    again = stepper.renoise(noised, step_at(500.0))
    assert not torch.equal(again[:, 2], noised[:, 2])
    assert (again[:, 2] - 7).abs().max() < 0.5  # from the conditioned tokens, not added up


def test_without_a_noise_scale_nothing_is_drawn() -> None:
    stepper = masked([1.0, 0.0], noise_scale=0.0)
    latents = torch.ones(1, 2, 2)
    assert stepper.renoise(latents, step_at(500.0)) is latents
    assert isinstance(stepper.generator, torch.Generator)
    drawn = torch.randn(1, generator=stepper.generator)
    assert torch.equal(drawn, torch.randn(1, generator=torch.Generator().manual_seed(3)))
