"""The callback classes behave as diffusers', and are correct for batches too."""

from types import SimpleNamespace

import diffusers.callbacks
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.pipeline.callbacks import (
    MultiPipelineCallbacks,
    PipelineCallback,
    SDCFGCutoffCallback,
)

TIMESTEP = torch.tensor(500.0)


class Pipeline(SimpleNamespace):
    @property
    def do_classifier_free_guidance(self):
        return self._guidance_scale > 1


def pipeline(scale=3.0, steps=10):
    return Pipeline(_guidance_scale=scale, num_timesteps=steps)


def embeddings(rows):
    return torch.arange(rows * 6.0).view(rows, 2, 3)


def run(callback, pipe, tensors):
    """The tensors and the guidance scale after each step."""
    results = []
    for index in range(pipe.num_timesteps):
        tensors = callback(pipe, index, TIMESTEP, dict(tensors))
        results.append((tensors["prompt_embeds"].tolist(), pipe._guidance_scale))
    return results


@pytest.mark.parametrize(
    "cutoff",
    [
        {},
        {"cutoff_step_ratio": 0.4},
        {"cutoff_step_ratio": 0.0},
        {"cutoff_step_ratio": 0.99},
        {"cutoff_step_ratio": None, "cutoff_step_index": 7},
        {"cutoff_step_ratio": None, "cutoff_step_index": 99},
    ],
)
def test_guidance_is_switched_off_at_the_same_step_as_in_diffusers(cutoff):
    ours = run(SDCFGCutoffCallback(**cutoff), pipeline(), {"prompt_embeds": embeddings(2)})
    theirs = run(
        diffusers.callbacks.SDCFGCutoffCallback(**cutoff),
        pipeline(),
        {"prompt_embeds": embeddings(2)},
    )
    assert ours == theirs


def test_the_cutoff_keeps_the_positive_prompt_of_every_video():
    tensors = {"prompt_embeds": embeddings(6), "latents": torch.zeros(3)}
    pipe = pipeline()
    result = SDCFGCutoffCallback(cutoff_step_ratio=0.0)(pipe, 0, TIMESTEP, tensors)
    assert torch.equal(result["prompt_embeds"], embeddings(6)[3:])
    assert torch.equal(result["latents"], torch.zeros(3))
    assert pipe._guidance_scale == 0


def test_without_guidance_all_prompts_are_kept():
    pipe = pipeline(scale=1.0)
    result = SDCFGCutoffCallback(cutoff_step_ratio=0.0)(
        pipe, 0, TIMESTEP, {"prompt_embeds": embeddings(3)}
    )
    assert torch.equal(result["prompt_embeds"], embeddings(3))


def test_each_callback_gets_the_tensors_that_the_previous_one_returned():
    class Add(PipelineCallback):
        tensor_inputs = ("latents",)

        def callback_fn(self, pipeline, step_index, timestep, callback_kwargs):
            return {**callback_kwargs, "latents": callback_kwargs["latents"] + 1}

    class Double(Add):
        tensor_inputs = ("latents", "prompt_embeds")

        def callback_fn(self, pipeline, step_index, timestep, callback_kwargs):
            return {**callback_kwargs, "latents": callback_kwargs["latents"] * 2}

    both = MultiPipelineCallbacks([Add(), Double()])
    assert both.tensor_inputs == ["latents", "prompt_embeds"]
    assert both(pipeline(), 0, TIMESTEP, {"latents": torch.tensor(3)})["latents"] == 8


@pytest.mark.parametrize(
    "cutoff",
    [
        {"cutoff_step_index": 3},
        {"cutoff_step_ratio": None},
        {"cutoff_step_ratio": 1.5},
        {"cutoff_step_ratio": -0.1},
        {"cutoff_step_ratio": 1},
    ],
)
def test_the_same_cutoffs_are_refused(cutoff):
    with pytest.raises(ValueError):
        diffusers.callbacks.SDCFGCutoffCallback(**cutoff)
    with pytest.raises(InputError, match=r"cutoff_step_ratio is .*\.$"):
        SDCFGCutoffCallback(**cutoff)


def test_the_base_class_names_the_missing_method():
    with pytest.raises(NotImplementedError, match="callback_fn"):
        PipelineCallback()(pipeline(), 0, TIMESTEP, {})


def test_the_cutoff_is_in_the_config():
    assert SDCFGCutoffCallback(cutoff_step_ratio=0.4).config.cutoff_step_ratio == 0.4
