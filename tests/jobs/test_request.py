"""Requests as JSON: out and in again, with every value checked on the way in."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from filmstrip.errors import InputError
from filmstrip.jobs.request import (
    AnimateRequest,
    ConditionRequest,
    GenerateRequest,
    Request,
    TimedPrompt,
    UpscaleRequest,
)

REQUESTS = st.one_of(
    st.builds(
        GenerateRequest,
        conditions=st.lists(st.builds(ConditionRequest, strength=st.floats(0, 1)), max_size=2).map(
            tuple
        ),
        guidance=st.none() | st.floats(allow_nan=False),
        seconds=st.none() | st.floats(0, 100),
        fps=st.none() | st.floats(0, 100),
        prompts_at=st.lists(st.builds(TimedPrompt), max_size=2).map(tuple),
    ),
    st.builds(
        AnimateRequest,
        noise_aug=st.none() | st.floats(0, 1),
        guidance_min=st.none() | st.floats(0, 1),
        guidance_max=st.none() | st.floats(0, 1),
        fps=st.none() | st.floats(0, 100),
    ),
    st.builds(UpscaleRequest, fps=st.none() | st.floats(0, 100)),
)


@settings(deadline=None, max_examples=50)
@given(request=REQUESTS)
def test_a_request_goes_to_json_and_back(request: Request) -> None:
    assert Request.from_json(request.to_json()) == request
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_what_is_not_given_the_model_decides() -> None:
    request = Request.from_dict({"task": "generate", "prompt": "a"})
    assert request == GenerateRequest(prompt="a")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"task": "paint"}, "task is 'paint'; give one of generate, animate, upscale"),
        ([], "task is []"),
        ({"task": "generate"}, "GenerateRequest lacks the field prompt"),
        ({"task": "animate", "image": "a.png", "cfg": 1}, "AnimateRequest has no field cfg"),
        ({"task": "generate", "prompt": 3}, "GenerateRequest.prompt is 3; it must be of type str"),
        ({"task": "generate", "prompt": "a", "width": 3.5}, "width is 3.5; it must be of type int"),
        ({"task": "generate", "prompt": "a", "width": True}, "width is True; it must be of type"),
        ({"task": "generate", "prompt": "a", "snap": 1}, "snap is 1; it must be of type bool"),
        ({"task": "generate", "prompt": "a", "conditions": "b"}, "it must be a list"),
        (
            {"task": "generate", "prompt": "a", "conditions": [{"option": "image"}]},
            "GenerateRequest.conditions[0] lacks the field file",
        ),
        (
            {"task": "generate", "prompt": "a", "conditions": ["b.png"]},
            "conditions[0] is 'b.png'; give an object with the fields of ConditionRequest",
        ),
    ],
)
def test_other_data_is_refused_in_a_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        Request.from_dict(data)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_text_that_is_no_json_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match="This is no Request in JSON"):
        Request.from_json(text)
