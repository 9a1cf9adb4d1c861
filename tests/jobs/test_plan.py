"""`plan` completes and checks a request before a tensor is read."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from filmstrip.errors import CheckpointError, InputError
from filmstrip.jobs import load as loading
from filmstrip.jobs.job import Job
from filmstrip.jobs.plan import plan
from filmstrip.jobs.request import AnimateRequest, GenerateRequest, Request, UpscaleRequest

SMALL: dict[str, Any] = {"device": "cpu", "seed": 1, "output": "a.mp4"}

pytestmark = pytest.mark.usefixtures("files")


def test_a_folder_gives_a_drop_in_pipeline_and_a_preset_a_recipe(ltx_folder: Path) -> None:
    job = plan(GenerateRequest(prompt="a", model=str(ltx_folder), **SMALL))
    assert (job.task, job.pipeline, job.uses_recipe) == ("generate", "LTXPipeline", False)
    assert job.numerics == "drop-in numbers (as diffusers' LTXPipeline)"
    assert job.call["num_inference_steps"] == job.steps == 50
    job = plan(GenerateRequest(prompt="a", steps=7, **SMALL))
    assert (job.pipeline, job.uses_recipe) == ("LTXRecipePipeline", True)
    assert job.numerics == "the authors' numbers (the recipe of demo)"
    assert (job.recipe_changes, job.steps) == ({"num_inference_steps": 7}, 7)
    assert "num_inference_steps" not in job.call


def test_the_job_lists_all_adjustments(ltx_folder: Path) -> None:
    Path("a.mp4").touch()
    request = GenerateRequest(
        prompt="a",
        model=str(ltx_folder),
        width=70,
        height=32,
        frames=10,
        guidance=1,
        negative="b",
        extend="clip.mkv",
        **SMALL,
    )
    assert plan(request).adjustments == (
        "--width 70 is not a multiple of 32: using 64.",
        "--frames 10 is not 4 * k + 1: using 9.",
        "clip.mkv: the last 5 of its 7 frames are kept at the start.",
        "4 frames are new, and the file has 11.",
        "--negative has no effect: guidance is off (1).",
        "Replacing a.mp4.",
    )


def test_upscaling_doubles_the_size_of_the_call() -> None:
    job = plan(GenerateRequest(prompt="a", width=64, height=32, upscale=True, **SMALL))
    assert (job.call["width"], job.call["height"]) == (64, 32)
    assert (job.width, job.height) == (128, 64)
    assert "64x32 upscaled to 128x64, 25 frames" in job.headline()


def test_the_disk_space_is_checked_for_the_size_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        "filmstrip.media.export.check_writable", lambda path, *size: checked.append(size)
    )
    plan(
        GenerateRequest(
            prompt="a", frames=9, width=64, height=32, upscale=True, extend="clip.mkv", **SMALL
        )
    )
    assert checked == [(9 + 2, 64, 128)]  # two frames of the clip are copied


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    frames=st.integers(1, 60),
    steps=st.integers(1, 9),
    upscale=st.booleans(),
    window=st.none() | st.integers(6, 40),
)
def test_a_recipe_takes_any_size_and_the_job_survives_json(
    width: int, height: int, frames: int, steps: int, upscale: bool, window: int | None
) -> None:
    request = GenerateRequest(
        prompt="a",
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        upscale=upscale,
        window=window,
        **SMALL,
    )
    job = plan(request)
    assert (job.call["width"], job.call["height"], job.call["num_frames"]) == (
        width,
        height,
        frames,
    )
    windows = 1 if job.windows is None else job.windows.num_windows
    assert job.steps == windows * (steps + (6 if upscale else 0))
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(
    ("bad_request", "message"),
    [
        (GenerateRequest(prompt=" "), "The prompt is empty"),
        (GenerateRequest(prompt="a", frames=9, seconds=1), "both set the length"),
        (GenerateRequest(prompt="a", model="zzz"), "no known model"),
        (GenerateRequest(prompt="a", count=0), "--count is 0"),
        (AnimateRequest(image="first.png", guidance_min=4), "is above --guidance-max"),
        (AnimateRequest(image="nowhere.png"), "There is no picture nowhere.png"),
        (UpscaleRequest(video="nowhere.mp4"), "There is no video nowhere.mp4"),
        (UpscaleRequest(video="clip.mkv", snap=False), "7 frames, of which the first 5 can be"),
        (Request(), "A Request cannot be planned; give one of GenerateRequest, AnimateRequest"),
    ],
)
def test_a_bad_request_is_refused_before_models_are_loaded(
    bad_request: Request, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load", lambda job: pytest.fail("models are loaded"))
    with pytest.raises(InputError) as error:
        plan(bad_request)
    assert message in str(error.value)


def test_a_folder_of_another_family_is_refused_with_its_command(
    svd_folder: Path,
) -> None:
    with pytest.raises(CheckpointError, match=r"`filmstrip animate` takes it\."):
        plan(GenerateRequest(prompt="a", model=str(svd_folder)))
