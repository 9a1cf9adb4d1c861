"""`filmstrip show`: the provenance of a video, and the command that makes it again."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from filmstrip.media.export import save_video

from .conftest import FakePipeline, Run

ARGUMENTS = ("--width", 32, "--height", 64, "--frames", 5, "--steps", 2, "--fps", 12.5, "--seed", 8)
PROMPT = "a 'quoted' cat; rm -rf /  \u00e9 \N{CAT FACE}"


def test_the_printed_command_makes_the_same_call(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    assert (
        run("generate", PROMPT, "-m", model, *ARGUMENTS, "--negative", "a dog", "-o", "a.mp4").code
        == 0
    )
    shown = run("show", "a.mp4").out
    command = shlex.split(shown.splitlines()[-1])
    assert command[:3] == ["filmstrip", "generate", PROMPT]
    assert run(*command[1:]).code == 0
    first, again = pipeline.calls
    assert first.pop("generator").initial_seed() == again.pop("generator").initial_seed()
    assert first == again


def test_a_prompt_that_looks_like_an_option_survives(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    words = ("-m", model, *ARGUMENTS, "--negative=--width", "-o", "a.mp4", "--", "--help")
    assert run("generate", *words).code == 0
    assert run(*shlex.split(run("show", "a.mp4").out.splitlines()[-1])[1:]).code == 0
    assert [(call["prompt"], call["negative_prompt"]) for call in pipeline.calls] == [
        ("--help", "--width")
    ] * 2


def test_json_is_the_whole_provenance(run: Run, model: str, pipeline: FakePipeline) -> None:
    run("generate", PROMPT, "-m", model, *ARGUMENTS, "-o", "a.mp4")
    values = run("show", "a.mp4", "--json").json
    assert values["prompt"] == PROMPT
    assert (values["seed"], values["width"], values["frame_rate"], values["dtype"]) == (
        8,
        32,
        12.5,
        "float32",
    )
    assert (values["model"], values["pipeline"]) == ("tiny", "LTXPipeline")
    assert values["numerics"] == "drop-in numbers (as diffusers' LTXPipeline)"
    assert set(values["versions"]) == {"filmstrip", "torch", "transformers", "python"}


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mkv", "frames"])
def test_every_format_stores_the_provenance(
    run: Run, model: str, pipeline: FakePipeline, name: str
) -> None:
    assert run("generate", "x", "-m", model, *ARGUMENTS, "-o", name).code == 0
    assert run("show", name, "--json").json["seed"] == 8


def test_files_without_provenance_are_refused(run: Run, model: str, pipeline: FakePipeline) -> None:
    assert run("generate", "x", "-m", model, *ARGUMENTS, "--no-provenance", "-o", "a.mp4").code == 0
    assert "--no-provenance" in run("show", "a.mp4").err
    save_video(np.zeros((1, 16, 16, 3), np.uint8), "odd.mp4", 8, provenance={"hello": 1})
    assert run("show", "odd.mp4", "--json").code == 0
    assert "It has no 'command', so there is no command" in run("show", "odd.mp4").out
    Path("text.mp4").write_text("hello")
    for name in ("text.mp4", "nowhere.mp4"):
        result = run("show", name)
        assert (result.code, result.out) == (2, "")
        assert name in result.err
