"""Conditions, extension, upscaling and long videos from the command line, with small models."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import filmstrip
from filmstrip import (
    LTXConditionPipeline,
    LTXLatentUpsamplePipeline,
    LTXPipeline,
    LTXRecipePipeline,
    LTXVideoCondition,
    demo,
)
from filmstrip.ltx.pipelines.long_video import long_video
from filmstrip.media.export import save_video
from filmstrip.media.load import load_video
from filmstrip.presets import PRESETS
from tests.jobs.models import save_checkpoint
from tests.ltx.published import repositories
from tests.weights.hub import store_repository
from tests.weights.samples import components

from .conftest import Run

SIZE = ("--width", 64, "--height", 32, "--device", "cpu", "--seed", 5, "-o", "a.webp")
TASKS: dict[str, tuple[object, ...]] = {
    "picture": ("generate", "a", "--image", "first.png@0:0.5", "--frames", 9),
    "keyframes": ("generate", "a", "--image", "first.png", "--image", "last.png@-1", "--frames", 9),
    "clip": ("generate", "a", "--video", "clip.mkv@4", "--frames", 9),
    "extension": ("generate", "a", "--extend", "clip.mkv", "--frames", 9),
    "beginning": ("generate", "a", "--extend-before", "clip.mkv", "--frames", 9),
    "upscaled": ("generate", "a", "--image", "first.png", "--upscale", "--frames", 5),
    "upscaled clip": ("upscale", "clip.mkv"),
    "upscaled clip with a prompt": ("upscale", "clip.mkv", "--prompt", "a"),
}
LONG = (
    "generate",
    "a",
    "--prompt-at",
    "1s",
    "a a",
    "--prompt-at",
    "24f",
    "a",
    "--frames",
    41,
    "--fps",
    12,
)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("models") / "ltx")


@pytest.fixture(autouse=True)
def _files(run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures and a clip; a small model replaces the demo model."""
    monkeypatch.setattr(demo, "path", lambda embedded="ltx": checkpoint)
    noise = np.random.default_rng(0).integers(0, 256, (7, 32, 64, 3), np.uint8)
    for name, frame in {"first.png": noise[0], "last.png": noise[1]}.items():
        PIL.Image.fromarray(frame).save(name)
    save_video(noise, "clip.mkv", 12)


def read_frames(name: str = "a.webp") -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(frame) for frame in load_video(name)])


def write_and_read(video: Any) -> np.ndarray[Any, Any]:
    """Frames after writing and reading them as the command line does."""
    save_video(video, "b.webp", 25)
    return read_frames("b.webp")


def seeded_generator() -> torch.Generator:
    torch.manual_seed(5)
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("model", ["demo", "folder"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_works_with_presets_and_folders_and_show_prints_its_command(
    run: Run, checkpoint: Path, task: str, model: str
) -> None:
    words = TASKS[task]
    steps = () if words[0] == "upscale" else ("--steps", 2)
    result = run(*words, *steps, *SIZE, "-m", checkpoint if model == "folder" else model)
    assert result.code == 0, result.err
    first = read_frames()
    assert first.shape[1:] == ((64, 128, 3) if "pscale" in str(words) else (32, 64, 3))
    assert run(*shlex.split(run("show", "a.webp").out.splitlines()[-1])[1:]).code == 0
    assert np.array_equal(read_frames(), first)


def test_pictures_equal_the_conditions_of_the_pipeline_class(run: Run, checkpoint: Path) -> None:
    options = ("--image", "first.png", "--image", "last.png@-1:0.5")
    result = run(
        "generate", "a", "-m", checkpoint, *options, *SIZE, "--frames", 9, "--steps", 2, "--json"
    )
    assert result.json["job"]["numerics"] == "drop-in numbers (as diffusers' LTXConditionPipeline)"
    inputs = result.json["job"]["inputs"]
    assert [
        (item["role"], item["file"]["path"], item["frame_index"], item["strength"])
        for item in inputs
    ] == [("image", "first.png", 0, 1.0), ("image", "last.png", 8, 0.5)]
    pipe = LTXConditionPipeline.from_pretrained(checkpoint)
    pictures = [PIL.Image.open("first.png"), PIL.Image.open("last.png")]
    call: dict[str, Any] = {
        "width": 64,
        "height": 32,
        "num_frames": 9,
        "num_inference_steps": 2,
        "output_type": "np",
    }
    conditions = [
        LTXVideoCondition(image=pictures[0], frame_index=0, strength=1.0),
        LTXVideoCondition(image=pictures[1], frame_index=8, strength=0.5),
    ]
    assert np.array_equal(
        read_frames(),
        write_and_read(
            pipe(conditions, prompt="a", **call, generator=seeded_generator()).frames[0]
        ),
    )


def test_the_file_has_all_frames_of_an_extended_clip(run: Run) -> None:
    clip = read_frames("clip.mkv")
    result = run(*TASKS["extension"], *SIZE, "--steps", 1)
    assert (
        "clip.mkv: the last 5 of its 7 frames are kept at the start.\n4 frames are new, and the "
        "file has 11." in result.err
    )
    assert "9 frames (0.75 s at 12 fps)" in result.err
    assert len(read_frames()) == 11
    assert np.abs(read_frames()[:2].astype(int) - clip[:2]).mean() < 9  # as lossy WebP is to noise
    assert run(*TASKS["beginning"], *SIZE, "--steps", 1).code == 0
    assert np.abs(read_frames()[-2:].astype(int) - clip[-2:]).mean() < 9


def test_upscaling_follows_the_recipe_and_doubles_the_size(run: Run) -> None:
    result = run("generate", "a", "--upscale", *SIZE, "--frames", 5, "--steps", 5)
    assert "64x32 upscaled to 128x64, 5 frames (0.20 s at 25 fps), 11 steps" in result.err
    pipe: Any = filmstrip.load("demo")
    pipe.recipe = pipe.recipe.adjusted(5, upscale=True)
    assert [pass_.count for pass_ in pipe.recipe.passes] == [5, 6]
    expected = pipe(
        "a", width=128, height=64, num_frames=5, output_type="np", generator=seeded_generator()
    ).frames[0]
    assert np.array_equal(read_frames(), write_and_read(expected))


def test_an_upscaled_clip_is_cut_and_equals_that_of_the_pipeline_class(
    run: Run, checkpoint: Path
) -> None:
    result = run("upscale", "clip.mkv", *SIZE)
    assert (
        "clip.mkv has 7 frames, of which the first 5 can be used (4 * k + 1): the others are cut."
        in result.err
    )
    pipe: Any = LTXLatentUpsamplePipeline.from_pretrained(checkpoint)
    clip = load_video("clip.mkv")[:5]
    expected = pipe(
        clip, 32, 64, adain_factor=1.0, output_type="np", generator=seeded_generator()
    ).frames[0]
    assert np.array_equal(read_frames(), write_and_read(expected))


def test_timed_prompts_are_made_window_by_window(run: Run) -> None:
    result = run(*LONG, "--window", 13, *SIZE, "--steps", 2, "--image", "first.png@20")
    assert result.code == 0
    first = read_frames()
    assert run(*shlex.split(run("show", "a.webp").out.splitlines()[-1])[1:]).code == 0
    assert np.array_equal(read_frames(), first)
    pipe: Any = filmstrip.load("demo")
    pipe.recipe = pipe.recipe.adjusted(2)
    prompts = [(0.0, "a"), (1.0, "a a"), (2.0, "a")]
    conditions = [LTXVideoCondition(PIL.Image.open("first.png"), frame_index=20)]
    size = {
        "width": 64,
        "height": 32,
        "num_frames": 41,
        "frame_rate": 12,
        "window": 13,
        "overlap": 5,
    }
    parts = [
        *long_video(pipe, prompts, **size, conditions=conditions, generator=seeded_generator())
    ]
    assert (
        f"The video is made in {len(parts)} windows of up to 13 frames, one after the other."
        in result.err
    )
    assert f"{len(parts[0])} of 41 frames are made" in result.err
    assert np.array_equal(first, write_and_read(np.concatenate(parts)))


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (torch.OutOfMemoryError("no more"), 1)]
)
def test_the_finished_frames_of_a_long_video_are_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    decode = LTXRecipePipeline.decode_video
    num_calls = 0

    def failing(*arguments: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 3:
            raise error
        return decode(*arguments)

    monkeypatch.setattr(LTXRecipePipeline, "decode_video", failing)
    result = run(*LONG, "--window", 13, *SIZE, "--steps", 1)
    assert result.code == code
    kept = load_video("a-unfinished.webp")
    assert f"The frames that were finished, {len(kept)}, are in a-unfinished.webp." in result.err
    assert 12 < len(kept) < 41
    assert not Path("a.webp").exists()


def test_the_default_length_counts_from_the_last_prompt(run: Run) -> None:
    job = run("generate", "a", "--prompt-at", "2s", "b", "--dry-run", "--json").json
    windows = job["windows"]
    assert (job["call"]["num_frames"], windows["window"], windows["overlap"]) == (75, 25, 9)


def test_a_preset_upscales_with_its_upsampler(run: Run, cache: Path) -> None:
    name = "ltx-2b-0.9.8-distilled"
    preset: Any = PRESETS[name]
    for number, (repository, files) in enumerate(repositories(preset).items()):
        store_repository(cache, repository, files, commit=str(number) * 40)
    words = (
        "-m",
        name,
        "--width",
        64,
        "--height",
        64,
        "--frames",
        9,
        "--dtype",
        "float32",
        "-o",
        "a.webp",
    )
    result = run("generate", "a", *words, "--upscale")
    assert result.code == 0, result.err
    assert "64x64 upscaled to 128x128, 9 frames (0.30 s at 30 fps), 10 steps" in result.err
    assert read_frames().shape == (9, 128, 128, 3)
    Path("a.webp").rename("clip.webp")
    assert run("upscale", "clip.webp", *words[:2], *words[6:], "--prompt", "a").code == 0
    assert read_frames().shape == (9, 256, 256, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("generate", "a", "--prompt-at", "1s", "b", "-m", "FOLDER"),
            "need a preset",
        ),
        (
            ("generate", "a", "--upscale", "-m", "ltx-2b-0.9.5"),
            "The model ltx-2b-0.9.5 has no latent upsampler",
        ),
        (("upscale", "clip.mkv", "-m", "bare"), "The model bare has no latent upsampler"),
        (("upscale", "nowhere.mp4"), "There is no video nowhere.mp4"),
        (("upscale", "clip.mkv", "--no-snap"), "7 frames, of which the first 5 can be used"),
        (("generate", "a", "--extend", "nowhere.mp4"), "There is no video nowhere.mp4"),
        (("generate", "a", "--image", "first.png@25"), "the video has the frames 0 to 24"),
        (("generate", "a", "--image", "first.png", "--extend", "clip.mkv"), "both set frame 0"),
    ],
)
def test_bad_requests_are_refused_before_models_are_loaded(
    run: Run,
    checkpoint: Path,
    cache: Path,
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("filmstrip.jobs.load.load", lambda job: pytest.fail("models are loaded"))
    LTXPipeline(**components()).save_pretrained("bare")
    result = run(*(str(checkpoint) if word == "FOLDER" else word for word in words))
    assert result.code in (1, 2)
    assert message in result.err
