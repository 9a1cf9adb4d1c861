"""Requests are written to JSON and read back, with every value checked."""

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
def test_a_request_survives_json(request: Request) -> None:
    assert Request.from_json(request.to_json()) == request
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_missing_fields_have_their_defaults() -> None:
    request = Request.from_dict({"task": "generate", "prompt": "a"})
    assert request == GenerateRequest(prompt="a")


@pytest.mark.parametrize(
    ("data", "message"),
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
def test_bad_data_is_refused_with_the_field(data: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        Request.from_dict(data)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="This is no Request in JSON"):
        Request.from_json(text)
