"""Pictures, clips, larger and longer videos, on small real models of random weights: one test for
each way.
"""

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
from tests.weights.samples import components

from .conftest import Run, store

SIZE = ("--width", 64, "--height", 32, "--device", "cpu", "--seed", 5, "-o", "a.webp")
TASKS: dict[str, tuple[object, ...]] = {
    "picture": ("generate", "a", "--image", "first.png@0:0.5", "--frames", 9),
    "keyframes": ("generate", "a", "--image", "first.png", "--image", "last.png@-1", "--frames", 9),
    "clip": ("generate", "a", "--video", "clip.mkv@4", "--frames", 9),
    "extension": ("generate", "a", "--extend", "clip.mkv", "--frames", 9),
    "beginning": ("generate", "a", "--extend-before", "clip.mkv", "--frames", 9),
    "upscaled": ("generate", "a", "--image", "first.png", "--upscale", "--frames", 5),
    "upscaled clip": ("upscale", "clip.mkv"),
    "drawn clip": ("upscale", "clip.mkv", "--prompt", "a"),
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
    """Pictures and a clip beside a demo model that is the small one."""
    monkeypatch.setattr(demo, "path", lambda embedded="ltx": checkpoint)
    noise = np.random.default_rng(0).integers(0, 256, (7, 32, 64, 3), np.uint8)
    for name, frame in {"first.png": noise[0], "last.png": noise[1]}.items():
        PIL.Image.fromarray(frame).save(name)
    save_video(noise, "clip.mkv", 12)


def frames(name: str = "a.webp") -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(frame) for frame in load_video(name)])


def written(made: Any) -> np.ndarray[Any, Any]:
    """What reading gives of frames that the command line writes."""
    save_video(made, "b.webp", 25)
    return frames("b.webp")


def seeded() -> torch.Generator:
    torch.manual_seed(5)
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("model", ["demo", "folder"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_made_by_presets_and_folders_and_again_by_what_show_prints(
    run: Run, checkpoint: Path, task: str, model: str
) -> None:
    words = TASKS[task]
    steps = () if words[0] == "upscale" else ("--steps", 2)
    result = run(*words, *steps, *SIZE, "-m", checkpoint if model == "folder" else model)
    assert result.code == 0, result.err
    first = frames()
    assert first.shape[1:] == ((64, 128, 3) if "pscale" in str(words) else (32, 64, 3))
    assert run(*shlex.split(run("show", "a.webp").out.splitlines()[-1])[1:]).code == 0
    assert np.array_equal(frames(), first)


def test_pictures_are_held_as_the_class_holds_them(run: Run, checkpoint: Path) -> None:
    shown = ("--image", "first.png", "--image", "last.png@-1:0.5")
    result = run(
        "generate", "a", "-m", checkpoint, *shown, *SIZE, "--frames", 9, "--steps", 2, "--json"
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
    held = [
        LTXVideoCondition(picture, None, *at)
        for picture, at in zip(pictures, ((0, 1.0), (8, 0.5)), strict=True)
    ]
    assert np.array_equal(
        frames(), written(pipe(held, prompt="a", **call, generator=seeded()).frames[0])
    )


def test_a_continued_clip_is_written_whole(run: Run) -> None:
    clip = frames("clip.mkv")
    result = run(*TASKS["extension"], *SIZE, "--steps", 1)
    assert (
        "clip.mkv: the last 5 of its 7 frames are held at the start.\n4 frames are new, and the "
        "file has 11." in result.err
    )
    assert "9 frames (0.75 s at 12 fps)" in result.err
    assert len(frames()) == 11
    assert np.abs(frames()[:2].astype(int) - clip[:2]).mean() < 9  # as lossy WebP is to noise
    assert run(*TASKS["beginning"], *SIZE, "--steps", 1).code == 0
    assert np.abs(frames()[-2:].astype(int) - clip[-2:]).mean() < 9


def test_upscaling_follows_the_recipe_and_goes_on_from_half_the_size(run: Run) -> None:
    result = run("generate", "a", "--upscale", *SIZE, "--frames", 5, "--steps", 5)
    assert "64x32 upscaled to 128x64, 5 frames (0.20 s at 25 fps), 11 steps" in result.err
    pipe: Any = filmstrip.load("demo")
    pipe.recipe = pipe.recipe.adjusted(5, upscale=True)
    assert [one.count for one in pipe.recipe.passes] == [5, 6]
    made = pipe(
        "a", width=128, height=64, num_frames=5, output_type="np", generator=seeded()
    ).frames[0]
    assert np.array_equal(frames(), written(made))


def test_a_clip_is_upscaled_by_the_class_and_cut_to_what_fits(run: Run, checkpoint: Path) -> None:
    result = run("upscale", "clip.mkv", *SIZE)
    assert (
        "clip.mkv has 7 frames, of which the first 5 can be used (4 * k + 1): the others are cut."
        in result.err
    )
    pipe: Any = LTXLatentUpsamplePipeline.from_pretrained(checkpoint)
    clip = load_video("clip.mkv")[:5]
    made = pipe(clip, 32, 64, adain_factor=1.0, output_type="np", generator=seeded()).frames[0]
    assert np.array_equal(frames(), written(made))


def test_prompts_over_time_are_made_window_by_window(run: Run) -> None:
    result = run(*LONG, "--window", 13, *SIZE, "--steps", 2, "--image", "first.png@20")
    assert result.code == 0
    first = frames()
    assert run(*shlex.split(run("show", "a.webp").out.splitlines()[-1])[1:]).code == 0
    assert np.array_equal(frames(), first)
    pipe: Any = filmstrip.load("demo")
    pipe.recipe = pipe.recipe.adjusted(2)
    prompts = [(0.0, "a"), (1.0, "a a"), (2.0, "a")]
    held = [LTXVideoCondition(PIL.Image.open("first.png"), frame_index=20)]
    size = {
        "width": 64,
        "height": 32,
        "num_frames": 41,
        "frame_rate": 12,
        "window": 13,
        "overlap": 5,
    }
    parts = [*long_video(pipe, prompts, **size, conditions=held, generator=seeded())]
    assert (
        f"The video is made in {len(parts)} windows of up to 13 frames, one after the other."
        in result.err
    )
    assert f"{len(parts[0])} of 41 frames are made" in result.err
    assert np.array_equal(first, written(np.concatenate(parts)))


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (torch.OutOfMemoryError("no more"), 1)]
)
def test_what_a_long_video_had_finished_is_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    decode, calls = LTXRecipePipeline.decode_video, list[int]()

    def failing(*given: Any) -> Any:
        calls.append(0)
        if len(calls) == 3:
            raise error
        return decode(*given)

    monkeypatch.setattr(LTXRecipePipeline, "decode_video", failing)
    result = run(*LONG, "--window", 13, *SIZE, "--steps", 1)
    assert result.code == code
    kept = load_video("a-unfinished.webp")
    assert f"The frames that were finished, {len(kept)}, are in a-unfinished.webp." in result.err
    assert 12 < len(kept) < 41
    assert not Path("a.webp").exists()


def test_without_a_length_the_last_prompt_has_as_long_as_the_model_makes(run: Run) -> None:
    job = run("generate", "a", "--prompt-at", "2s", "b", "--dry-run", "--json").json
    windows = job["windows"]
    assert (job["call"]["num_frames"], windows["window"], windows["overlap"]) == (75, 25, 9)


def test_a_preset_upscales_with_its_own_upsampler(run: Run, cache: Path) -> None:
    name = "ltx-2b-0.9.8-distilled"
    preset: Any = PRESETS[name]
    for number, (repository, files) in enumerate(repositories(preset).items()):
        store(cache, repository, files, commit=str(number) * 40)
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
    assert frames().shape == (9, 128, 128, 3)
    assert run("upscale", "a.webp", *words[:2], *words[6:], "--prompt", "a").code == 0
    assert frames().shape == (9, 256, 256, 3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("generate", "a", "--prompt-at", "1s", "b", "-m", "FOLDER"),
            "need a model that has a name",
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
        (("generate", "a", "--image", "first.png", "--extend", "clip.mkv"), "both hold frame 0"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(
    run: Run,
    checkpoint: Path,
    cache: Path,
    words: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("filmstrip.jobs.load.load", lambda job: pytest.fail("work had begun"))
    LTXPipeline(**components()).save_pretrained("bare")
    result = run(*(str(checkpoint) if word == "FOLDER" else word for word in words))
    assert result.code in (1, 2)
    assert sentence in result.err
