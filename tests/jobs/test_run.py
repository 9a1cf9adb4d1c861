"""Running jobs with small models: from JSON alone, on shared models, and cancelled."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmstrip import LTXRecipePipeline
from filmstrip.errors import InputError
from filmstrip.jobs.inputs import MediaFile, MediaInput
from filmstrip.jobs.job import Job
from filmstrip.jobs.load import Models, load
from filmstrip.jobs.plan import plan
from filmstrip.jobs.progress import FinishedVideo, JobCancelledError, JobProgress
from filmstrip.jobs.request import (
    AnimateRequest,
    ConditionRequest,
    GenerateRequest,
    Request,
    TimedPrompt,
    UpscaleRequest,
)
from filmstrip.jobs.run import JobResult, run
from filmstrip.media.load import load_video
from filmstrip.media.provenance import read_provenance

SIZE: dict[str, Any] = {"width": 64, "height": 32, "device": "cpu", "seed": 5}
PICTURES = (
    ConditionRequest("image", "first.png", strength=0.5),
    ConditionRequest("image", "last.png", frame=-1),
)
REQUESTS: dict[str, Callable[..., Request]] = {
    "text": lambda **options: GenerateRequest(prompt="a", frames=9, steps=2, **options),
    "pictures": lambda **options: GenerateRequest(
        prompt="a", conditions=PICTURES, frames=9, steps=2, **options
    ),
    "extension": lambda **options: GenerateRequest(
        prompt="a", extend="clip.mkv", frames=9, steps=2, **options
    ),
    "upscaled": lambda **options: GenerateRequest(
        prompt="a", upscale=True, frames=5, steps=3, **options
    ),
    "clip": lambda **options: UpscaleRequest(video="clip.mkv", **options),
    "clip with a prompt": lambda **options: UpscaleRequest(video="clip.mkv", prompt="a", **options),
}
LONG = GenerateRequest(
    prompt="a",
    prompts_at=(TimedPrompt("1s", "a a"),),
    frames=33,
    fps=12,
    window=13,
    steps=1,
    output="long.webp",
    **SIZE,
)


def run_and_read(job: Job, models: Models | None = None) -> NDArray[np.uint8]:
    """Run a job and read the frames that it wrote."""
    run(job, load(job) if models is None else models)
    return read_frames(job.outputs[0])


def read_frames(path: str) -> NDArray[np.uint8]:
    return np.stack([np.asarray(frame) for frame in load_video(path)])


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("model", ["demo", "folder"])
@pytest.mark.parametrize("task", REQUESTS)
def test_a_job_from_json_gives_the_same_frames(task: str, model: str, ltx_folder: Path) -> None:
    name = str(ltx_folder) if model == "folder" else "demo"
    job = plan(REQUESTS[task](model=name, output="a.webp", **SIZE))
    frames = run_and_read(job)
    assert frames.shape[1:] == (job.height, job.width, 3)
    assert Job.from_json(job.to_json()) == job
    assert np.array_equal(run_and_read(Job.from_json(job.to_json())), frames)


@pytest.mark.usefixtures("files")
def test_a_long_video_from_json_has_the_same_frames() -> None:
    job = plan(LONG)
    frames = run_and_read(job)
    assert len(frames) == 33
    assert np.array_equal(run_and_read(Job.from_json(job.to_json())), frames)


@pytest.mark.usefixtures("files")
def test_an_svd_job_from_json_gives_the_same_frames() -> None:
    request = AnimateRequest(
        image="first.png", width=64, height=64, steps=2, seed=3, device="cpu", output="a.webp"
    )
    job = plan(request)
    frames = run_and_read(job)
    assert np.array_equal(run_and_read(Job.from_json(job.to_json())), frames)


def test_another_process_runs_a_job_from_json(files: Path, ltx_folder: Path) -> None:
    job = plan(REQUESTS["pictures"](model=str(ltx_folder), output="a.webp", **SIZE))
    frames = run_and_read(job)
    Path("a.webp").unlink()
    program = (
        "import sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from filmstrip.jobs.job import Job\n"
        "from filmstrip.jobs.load import load\n"
        "from filmstrip.jobs.run import run\n"
        "job = Job.from_json(sys.stdin.read())\n"
        "print(run(job, load(job)).to_json())\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program],
        input=job.to_json(),
        capture_output=True,
        text=True,
        cwd=files,
        check=True,
    )
    assert np.array_equal(read_frames("a.webp"), frames)
    result = JobResult.from_json(completed.stdout.splitlines()[-1])
    (video,) = result.videos
    assert (video.path, video.seed, video.bytes) == ("a.webp", 5, Path("a.webp").stat().st_size)
    assert list(video.seconds) == [
        "encode prompt",
        "encode conditions",
        "denoise",
        "decode",
        "write",
    ]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("task", ["text", "pictures", "upscaled", "clip", "clip with a prompt"])
def test_a_job_does_not_change_shared_models(task: str) -> None:
    first = plan(REQUESTS[task](model="demo", output="a.webp", **SIZE))
    second = plan(GenerateRequest(prompt="a", frames=5, output="b.webp", **SIZE))
    models = load(first)
    pipeline: Any = models.pipeline
    names = ("recipe", "progress", "default_shape", "clip", *pipeline.components)
    before = {name: getattr(pipeline, name, None) for name in names}
    frames = run_and_read(first, models)
    assert {name: getattr(pipeline, name, None) for name in names} == before
    assert np.array_equal(run_and_read(second, models), run_and_read(second))
    assert np.array_equal(run_and_read(first, models), frames)


@pytest.mark.usefixtures("files")
def test_a_shared_pipeline_gives_the_frames_of_a_new_one() -> None:
    changed = plan(
        GenerateRequest(prompt="a", frames=5, steps=3, upscale=True, output="a.webp", **SIZE)
    )
    plain = plan(GenerateRequest(prompt="a", frames=5, output="b.webp", **SIZE))
    models = load(changed)
    shared = [run_and_read(job, models) for job in (changed, plain)]
    assert [frames.shape for frames in shared] == [(5, 64, 128, 3), (5, 32, 64, 3)]
    for frames, job in zip(shared, (changed, plain), strict=True):
        assert np.array_equal(frames, run_and_read(job))


@pytest.mark.usefixtures("files")
def test_jobs_of_a_folder_share_models(ltx_folder: Path) -> None:
    options = {"model": str(ltx_folder), "output": "a.webp", **SIZE}
    upscaled = plan(REQUESTS["upscaled"](**options))
    pictures = plan(REQUESTS["pictures"](**options))
    models = load(upscaled)
    assert not hasattr(models.pipeline, "latent_upsampler")
    shared = [run_and_read(job, models) for job in (upscaled, pictures)]
    assert np.array_equal(shared[0], run_and_read(upscaled))
    assert np.array_equal(shared[1], run_and_read(pictures))
    with pytest.raises(InputError, match="have no latent upsampler, which the job needs"):
        run(upscaled, load(pictures))


@pytest.mark.usefixtures("files")
def test_a_video_depends_on_its_own_seed_alone() -> None:
    request = {"prompt": "a", "frames": 5, "steps": 1, **SIZE}
    both = plan(GenerateRequest(count=2, output="a.webp", **request))
    alone = plan(GenerateRequest(output="b.webp", **{**request, "seed": 6}))
    events: list[Any] = []

    class Listener(JobProgress):
        def video_started(self, number: int, count: int, path: str) -> None:
            events.append((number, count, path))

        def video_finished(self, video: FinishedVideo) -> None:
            events.append(video)

    result = run(both, load(both), Listener())
    assert [video.seed for video in result.videos] == [5, 6]
    assert events == [
        (1, 2, "a-0001.webp"),
        result.videos[0],
        (2, 2, "a-0002.webp"),
        result.videos[1],
    ]
    assert np.array_equal(read_frames("a-0002.webp"), run_and_read(alone))


class CancelAt(JobProgress):
    """Cancels the job when the stage `name` begins for the `times`-th time."""

    def __init__(self, name: str, times: int = 1) -> None:
        self.name = name
        self.times = times
        self.stages: list[str] = []
        self.num_steps = 0
        self.unfinished: list[tuple[str, int]] = []

    def cancelled(self) -> bool:
        return self.stages.count(self.name) >= self.times

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        self.stages.append(name)

        def advance() -> None:
            self.num_steps += 1

        yield advance

    def unfinished_kept(self, path: str, num_frames: int) -> None:
        self.unfinished.append((path, num_frames))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("name", "num_steps"), [("denoise", 1), ("encode prompt", 0), ("decode", 9)]
)
def test_a_cancelled_job_ends_at_the_next_step_or_stage(name: str, num_steps: int) -> None:
    job = plan(GenerateRequest(prompt="a", frames=5, steps=9, output="a.webp", **SIZE))
    models = load(job)
    before = models.pipeline.progress
    progress = CancelAt(name)
    with pytest.raises(JobCancelledError):
        run(job, models, progress, cancel=progress.cancelled)
    assert progress.num_steps == num_steps
    assert progress.stages[-1] == name
    assert not Path("a.webp").exists()
    assert models.pipeline.progress is before
    expected = run_and_read(job)
    assert np.array_equal(run_and_read(job, models), expected)


@pytest.mark.usefixtures("files")
def test_videos_before_the_cancellation_are_kept() -> None:
    job = plan(GenerateRequest(prompt="a", frames=5, steps=2, count=3, output="a.webp", **SIZE))
    progress = CancelAt("denoise", times=2)
    with pytest.raises(JobCancelledError):
        run(job, load(job), progress, cancel=progress.cancelled)
    assert sorted(path.name for path in Path().glob("*.webp")) == ["a-0001.webp"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no more"), None])
def test_the_finished_frames_of_a_long_video_are_kept(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    job = plan(LONG)
    progress = CancelAt("denoise", times=2)
    cancel = progress.cancelled
    expected: type[BaseException] = JobCancelledError
    if error is not None:
        expected = type(error)
        decode = LTXRecipePipeline.decode_video
        num_calls = 0

        def failing(*arguments: Any, **options: Any) -> Any:
            nonlocal num_calls
            num_calls += 1
            if num_calls == 2:
                raise error
            return decode(*arguments, **options)

        monkeypatch.setattr(LTXRecipePipeline, "decode_video", failing)
        cancel = lambda: False  # noqa: E731
    with pytest.raises(expected):
        run(job, load(job), progress, cancel=cancel)
    ((path, num_frames),) = progress.unfinished
    assert path == "long-unfinished.webp"
    assert read_provenance(path)["seed"] == job.seeds[0]
    assert 0 < num_frames == len(load_video(path)) < 33
    assert not Path("long.webp").exists()


@pytest.mark.usefixtures("files")
def test_a_job_whose_file_is_missing_or_has_changed_is_refused() -> None:
    job = plan(REQUESTS["pictures"](model="demo", output="a.webp", **SIZE))
    models = load(job)
    Path("last.png").write_bytes(Path("first.png").read_bytes())
    with pytest.raises(InputError, match=r"last.png has changed since the job was planned"):
        run(Job.from_json(job.to_json()), models)
    Path("last.png").unlink()
    with pytest.raises(InputError, match=r"There is no picture last.png"):
        run(job, models)


def test_a_job_survives_json_and_its_values_are_checked() -> None:
    file = MediaFile("a.png", 64, 32, sha256="0" * 64)
    job = Job(
        task="generate",
        model="demo",
        source="folder",
        revision=None,
        pipeline="LTXConditionPipeline",
        numerics="",
        credit="",
        device="cpu",
        dtype="float32",
        steps=2,
        seeds=(1, 2**63 - 1),
        outputs=("a.mp4", "b.mp4"),
        fps=25,
        provenance=True,
        call={"prompt": "\N{CAT FACE}", "width": 64, "height": 32, "num_frames": 9},
        inputs=(MediaInput("image", file, strength=0.1),),
        recipe_changes={},
    )
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    data = job.to_dict()
    with pytest.raises(InputError, match="2 seeds and 1 output;"):
        Job.from_dict({**data, "outputs": ["a.mp4"]})
    data["inputs"][0]["file"]["path"] = 3
    with pytest.raises(InputError, match=r"Job.inputs\[0\].file.path is 3; it must be of type str"):
        Job.from_dict(data)
