"""The provenance of a video, and the command that makes the video again."""

import shlex
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from filmstrip.jobs.job import Job
from filmstrip.jobs.plan import plan
from filmstrip.jobs.provenance import command, provenance
from filmstrip.jobs.request import (
    AnimateRequest,
    ConditionRequest,
    GenerateRequest,
    TimedPrompt,
    UpscaleRequest,
)


def make_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "task": "generate",
        "model": "ltx-2b-0.9.5",
        "source": "Lightricks/LTX-Video",
        "revision": "0123abc",
        "pipeline": "LTXRecipePipeline",
        "numerics": "the authors' numbers",
        "credit": "",
        "device": "cpu",
        "dtype": "float32",
        "steps": 40,
        "seeds": (1,),
        "outputs": ("a.mp4",),
        "fps": 25,
        "provenance": True,
        "call": {
            "prompt": "a cat",
            "negative_prompt": "",
            "width": 64,
            "height": 32,
            "num_frames": 9,
            "frame_rate": 24.0,
        },
        "recipe_changes": {"num_inference_steps": 3},
    }
    return Job(**{**values, **changes})


def test_the_model_of_a_hub_id_includes_its_commit() -> None:
    assert provenance(make_job(), 1)["model"] == "ltx-2b-0.9.5@0123abc"
    assert provenance(make_job(revision=None), 1)["model"] == "ltx-2b-0.9.5"


def test_the_provenance_has_every_setting_of_the_video() -> None:
    values = provenance(make_job(upscale=True), 7)
    versions = values.pop("versions")
    assert set(versions) == {"filmstrip", "torch", "transformers", "python"}
    assert values == {
        "command": "generate",
        "model": "ltx-2b-0.9.5@0123abc",
        "pipeline": "LTXRecipePipeline",
        "numerics": "the authors' numbers",
        "seed": 7,
        "prompt": "a cat",
        "negative_prompt": "",
        "width": 64,
        "height": 32,
        "num_frames": 9,
        "frame_rate": 24.0,
        "num_inference_steps": 3,
        "upscale": True,
        "device": "cpu",
        "dtype": "float32",
    }


def test_the_command_has_an_option_for_each_setting() -> None:
    assert command(provenance(make_job(upscale=True), 7), "b.mp4") == (
        "filmstrip generate 'a cat' --model ltx-2b-0.9.5@0123abc --seed 7 --negative '' "
        "--width 64 --height 32 --frames 9 --fps 24 --steps 3 --upscale --device cpu "
        "--dtype float32 --output b.mp4"
    )


@settings(deadline=None)
@given(prompt=st.text(min_size=1), negative=st.text())
def test_any_prompt_survives_the_shell(prompt: str, negative: str) -> None:
    job = make_job(call={**make_job().call, "prompt": prompt, "negative_prompt": negative})
    words = shlex.split(command(provenance(job, 1), "b.mp4"))
    argument = words[-1] if prompt.startswith("-") else words[2]
    assert argument == prompt
    assert words[words.index("--negative") + 1] == negative


@pytest.mark.usefixtures("files")
def test_conditions_and_timed_prompts_are_in_the_provenance_and_the_command() -> None:
    request = GenerateRequest(
        prompt="a",
        conditions=(ConditionRequest("image", "first.png", 20, 0.5),),
        extend="clip.mkv",
        prompts_at=(TimedPrompt("24f", "b b"), TimedPrompt("2.5", "c")),
        frames=41,
        fps=12,
        window=13,
        width=64,
        height=32,
    )
    values = provenance(plan(request), 1)
    assert values["conditions"] == [{"image": "first.png@20:0.5"}, {"extend": "clip.mkv"}]
    assert (values["prompts_at"], values["window"]) == (["2s b b", "2.5s c"], 13)
    words = shlex.split(command(values, "b.mp4"))
    for option, value in (("--image", "first.png@20:0.5"), ("--extend", "clip.mkv")):
        assert words[words.index(option) + 1] == value
    first = words.index("--prompt-at")
    assert words[first : first + 6] == ["--prompt-at", "2s", "b b", "--prompt-at", "2.5s", "c"]


@pytest.mark.usefixtures("files")
def test_animate_and_upscale_begin_with_their_file() -> None:
    animate = provenance(plan(AnimateRequest(image="first.png")), 1)
    assert animate["image"] == "first.png"
    assert command(animate, "b.mp4").startswith("filmstrip animate first.png --model demo")
    upscale = provenance(plan(UpscaleRequest(video="clip.mkv", prompt="a cat")), 1)
    words = shlex.split(command(upscale, "b.mp4"))
    assert words[:3] == ["filmstrip", "upscale", "clip.mkv"]
    assert words[words.index("--prompt") + 1] == "a cat"
    assert not {"--steps", "--negative", "--upscale"}.intersection(words)


def test_provenance_of_another_program_has_no_command() -> None:
    with pytest.raises(KeyError):
        command({"hello": 1}, "b.mp4")
