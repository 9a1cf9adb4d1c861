"""`run`: makes the videos of a job with loaded models, which it leaves unchanged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filmstrip.jobs.job import Job
from filmstrip.jobs.json_dataclass import JsonDataclass
from filmstrip.jobs.load import Models
from filmstrip.jobs.memory import explain_out_of_memory
from filmstrip.jobs.output_files import unfinished_path
from filmstrip.jobs.pipeline_calls import LoadedInput, VideoMaker, load_inputs
from filmstrip.jobs.progress import CancellableProgress, FinishedVideo, JobProgress, StageTimer
from filmstrip.jobs.provenance import provenance


@dataclass(frozen=True)
class JobResult(JsonDataclass):
    """The videos that a job wrote."""

    videos: tuple[FinishedVideo, ...]


def never_cancelled() -> bool:
    """The default of `cancel`: the job cannot be cancelled."""
    return False


def run(
    job: Job,
    models: Models,
    progress: JobProgress | None = None,
    cancel: Callable[[], bool] = never_cancelled,
) -> JobResult:
    """Make the videos of a job, one after the other.

    Each video depends on its own seed alone. The models do not change, so that jobs can share
    them, one after the other.

    Args:
        models: from `filmstrip.jobs.load.load`, for this job or for one with the same model,
            pipeline, device and dtype.
        progress: what the job reports to.
        cancel: called at each stage and each step, such as `threading.Event().is_set`; the job ends
            when it returns True.

    Raises:
        InputError: a picture or clip of the job is missing or has changed.
        JobCancelledError: `cancel` returned True. Videos that were written by then are kept, and
            so are the finished frames of a long video, in NAME-unfinished.
        FilmstripError: memory ran out.
    """
    progress = JobProgress() if progress is None else progress
    videos = []
    with explain_out_of_memory(job):
        inputs = load_inputs(job)
        for number, (seed, path) in enumerate(zip(job.seeds, job.outputs, strict=True), start=1):
            progress.video_started(number, len(job.seeds), path)
            video = _make_video(job, models, inputs, seed, path, progress, cancel)
            progress.video_finished(video)
            videos.append(video)
    return JobResult(tuple(videos))


def _make_video(
    job: Job,
    models: Models,
    inputs: tuple[LoadedInput, ...],
    seed: int,
    path: str,
    progress: JobProgress,
    cancel: Callable[[], bool],
) -> FinishedVideo:
    """Make and write one video."""
    import torch

    from filmstrip.media.export import save_video

    def save_unfinished(frames: Any) -> None:
        unfinished = unfinished_path(path)
        save_video(frames, unfinished, job.fps, provenance=values)
        progress.unfinished_kept(str(unfinished), len(frames))

    values = provenance(job, seed) if job.provenance else None
    timer = StageTimer(progress, job.device)
    stages = CancellableProgress(timer, cancel)
    torch.manual_seed(seed)  # some VAEs draw noise from the global generator
    generator = torch.Generator().manual_seed(seed)
    maker = VideoMaker(
        job,
        models,
        inputs,
        generator,
        stages,
        job_progress=progress,
        save_unfinished=save_unfinished,
    )
    frames = maker.make()
    with stages.stage("write"):
        save_video(frames, path, job.fps, provenance=values)
    return FinishedVideo(path, seed, _size_on_disk(Path(path)), timer.seconds)


def _size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
