"""The loop: guide, renoise, predict, step, callbacks, in this order, until it is interrupted."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.pipeline.denoise import Step, denoise
from filmstrip.pipeline.progress import ProgressBar
from filmstrip.pipeline.step_callbacks import StepCallback, StepCallbacks
from filmstrip.pipeline.steppers import EulerStepper

TIMESTEPS = torch.tensor([900.0, 500.0, 100.0])


class Recorder:
    """The parts of a loop, on latents that are text, to which each adds its name."""

    branches = ("positive",)

    def guide(self, step: Step) -> Any:
        return self

    def combine(self, prediction: Any) -> Any:
        return prediction + " combined"

    def predict(self, latents: Any, step: Step, guider: Any) -> Any:
        assert guider is self
        return f"prediction of ({latents}) at {step.timestep:.0f}"

    def renoise(self, latents: Any, step: Step) -> Any:
        return f"renoised {latents}"

    def step(self, latents: Any, prediction: Any, step: Step) -> Any:
        assert prediction == f"prediction of ({latents}) at {step.timestep:.0f} combined"
        return f"{latents} stepped"

    def on_step_end(self, step: Step, latents: Any) -> Any:
        return f"{latents} ended {step.index}"


def test_a_step_renoises_predicts_combines_steps_and_ends() -> None:
    parts = Recorder()
    steps = [Step(index, timestep) for index, timestep in enumerate(TIMESTEPS[:2])]
    latents: Any = denoise("noise", steps, parts.predict, parts.guide, parts, parts.on_step_end)
    assert latents == "renoised renoised noise stepped ended 0 stepped ended 1"


def test_without_steps_latents_are_unchanged() -> None:
    parts = Recorder()
    assert denoise("noise", [], parts.predict, parts.guide, parts, parts.on_step_end) == "noise"


def test_an_euler_stepper_takes_the_schedulers_step() -> None:
    stepper = EulerStepper(lambda latents, prediction, step: latents - prediction * step.timestep)
    step = Step(0, torch.tensor(2.0))
    latents = torch.ones(1, 2)
    assert stepper.renoise(latents, step) is latents
    assert stepper.timesteps(latents, step) is step.timestep
    assert torch.equal(stepper.step(latents, torch.ones(1, 2), step), -latents)


class Tensors:
    """The tensors of a call that a callback may see."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {"prompt_embeds": 1, "other": 2}

    def callback_tensors(self) -> dict[str, Any]:
        return self.tensors

    def replace_tensors(self, tensors: Any) -> None:
        self.tensors = {**self.tensors, **tensors}


def callbacks(function: Any = None, names: Any = ("latents",)) -> tuple[Any, Any, list[int]]:
    """Step callbacks, their pipeline, and a list with an element for each reported step."""
    pipeline = SimpleNamespace(interrupt=False, current_timestep=None)
    progress: list[int] = []
    step_callbacks = StepCallbacks(
        pipeline, lambda: progress.append(1), StepCallback(function, names), Tensors()
    )
    return step_callbacks, pipeline, progress


def test_steps_have_the_timesteps_and_set_that_of_the_pipeline() -> None:
    step_callbacks, pipeline, _ = callbacks()
    for index, step in enumerate(step_callbacks.steps(TIMESTEPS)):
        assert step.index == index
        assert step.timestep == TIMESTEPS[index] == pipeline.current_timestep
    assert index == 2


def test_an_interrupt_ends_the_steps() -> None:
    step_callbacks, pipeline, _ = callbacks()
    indices = []
    for step in step_callbacks.steps(TIMESTEPS):
        indices.append(step.index)
        pipeline.interrupt = True
    assert indices == [0]
    assert list(step_callbacks.steps(TIMESTEPS)) == []


def test_without_a_callback_only_progress_is_reported() -> None:
    step_callbacks, _, progress = callbacks()
    latents = torch.zeros(1)
    assert step_callbacks(Step(0, TIMESTEPS[0]), latents) is latents
    assert progress == [1]


def test_a_callback_gets_the_tensors_that_it_names_and_may_replace_them() -> None:
    calls = []

    def function(pipeline: Any, index: int, timestep: torch.Tensor, tensors: Any) -> Any:
        calls.append((pipeline, index, timestep, dict(tensors)))
        return {"latents": 5, "prompt_embeds": 6, "unknown": 7}

    step_callbacks, pipeline, progress = callbacks(function, ["latents", "prompt_embeds"])
    assert step_callbacks(Step(2, TIMESTEPS[2]), 4) == 5
    assert calls == [(pipeline, 2, TIMESTEPS[2], {"latents": 4, "prompt_embeds": 1})]
    assert step_callbacks.tensors.tensors == {"prompt_embeds": 6, "other": 2}
    assert progress == [1]


def test_a_callback_that_returns_nothing_changes_nothing() -> None:
    step_callbacks, _, _ = callbacks(lambda *_: None, ["latents", "prompt_embeds"])
    assert step_callbacks(Step(0, TIMESTEPS[0]), 4) == 4
    assert step_callbacks.tensors.tensors == {"prompt_embeds": 1, "other": 2}


def test_a_callback_may_name_no_tensors() -> None:
    tensors = []
    step_callbacks, _, _ = callbacks(lambda *args: tensors.append(args[3]), None)
    assert step_callbacks(Step(0, TIMESTEPS[0]), 4) == 4
    assert tensors == [{}]


def test_names_of_tensors_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(InputError, match="names 'image', 'x'; a callback can be handed 'latents'"):
        StepCallback(print, ["latents", "image", "x"]).tensor_names(["latents"])


def test_a_bar_counts_the_steps_of_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar({"disable": False}).stage("denoise", 3) as advance:
        for _ in range(2):
            advance()
    assert "2/3" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "total"), [({"disable": True}, 3), ({"disable": False}, None)])
def test_there_is_no_bar_if_it_is_disabled_or_steps_are_not_counted(
    options: dict[str, Any], total: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar(options).stage("encode prompt", total) as advance:
        advance()
    assert capsys.readouterr().err == ""
