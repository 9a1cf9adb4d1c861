"""What `generate`, `animate` and `upscale` do with a request: plan it, run the job, print."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.filesize import decimal

from filmstrip.cli.display import Display, format_entries, open_display
from filmstrip.cli.interrupts import interrupts
from filmstrip.jobs.formatting import duration
from filmstrip.jobs.job import Job
from filmstrip.jobs.request import Request

INTERRUPT_NOTICE = "Ending after this step. Press Ctrl-C again to end at once."
# Fields of a job that are printed before, or whose entries have lines of their own.
UNLISTED_FIELDS = ("call", "recipe_changes", "credit", "adjustments", "inputs", "windows")


def plan_and_run(request: Request, *, as_json: bool, dry_run: bool) -> None:
    """Plan a request, run its job, and print the result.

    Args:
        request: what to make.
        as_json: print one JSON object, and no progress.
        dry_run: print the job instead of running it.
    """
    display = open_display(quiet=as_json)
    with display.checking():
        from filmstrip.jobs.plan import plan

        job = plan(request)
    run_and_print(job, display, as_json=as_json, dry_run=dry_run)


def run_and_print(job: Job, display: Display, *, as_json: bool, dry_run: bool) -> None:
    """Run a job and print the result, or only print the job; see `plan_and_run`."""
    if job.credit:
        display.info(job.credit)
    for adjustment in job.adjustments:
        display.warn(adjustment)
    if dry_run:
        print(job.to_json(indent=2) if as_json else job_as_text(job))
        return
    display.info(job.headline())
    with _warnings_to(display, job.adjustments) as warnings:
        result = _load_and_run(job, display, quiet=as_json)
    if as_json:
        result["warnings"] = [*job.adjustments, *warnings]
        result["job"] = job.to_dict()
        print(json.dumps(result, indent=2))
        return
    for video in result["videos"]:
        times = ", ".join(
            f"{stage} {duration(seconds)}" for stage, seconds in video["seconds"].items()
        )
        print(f"{video['path']}: {decimal(video['bytes'])}, seed {video['seed']}, {times}")
    memory = result["peak_memory"]
    print(
        f"load {duration(result['load_seconds'])}, peak memory {decimal(memory['bytes'])} "
        f"({memory['kind']})"
    )


def job_as_text(job: Job) -> str:
    """A job as text, one entry in a line."""
    values = {name: value for name, value in job.to_dict().items() if name not in UNLISTED_FIELDS}
    values.update(job.call)
    values.update(job.recipe_changes)
    if job.inputs:
        values["inputs"] = [f"{item.role} {item}" for item in job.inputs]
    if job.windows is not None:
        values.update(job.windows.to_dict())
    return format_entries(values)


def _load_and_run(job: Job, display: Display, quiet: bool) -> dict[str, Any]:
    """Load the models, make the videos, and return the result with times and memory."""
    from huggingface_hub.utils import disable_progress_bars

    from filmstrip.jobs.load import fetch, load
    from filmstrip.jobs.memory import peak_memory
    from filmstrip.jobs.progress import JobCancelledError, StageTimer
    from filmstrip.jobs.run import run

    if quiet:
        disable_progress_bars()
    fetch(job)
    timer = StageTimer(display, job.device)
    try:
        with display.running():
            with timer.stage("load"):
                models = load(job)
            with interrupts.deferred(None if quiet else INTERRUPT_NOTICE):
                result = run(job, models, display, cancel=interrupts.requested)
    except (KeyboardInterrupt, JobCancelledError):
        written = f"{display.num_finished} of {len(job.seeds)} videos are written"
        display.warn(f"Interrupted: {written}.")
        raise
    return {
        **result.to_dict(),
        "load_seconds": timer.seconds["load"],
        "peak_memory": peak_memory(job.device),
    }


@contextmanager
def _warnings_to(display: Display, printed: Sequence[str]) -> Iterator[list[str]]:
    """Within the context, show filmstrip's warnings on `display`, one line for each.

    Args:
        printed: lines that were printed before, which are not repeated.

    Yields:
        The lines that were shown.
    """
    from filmstrip.logging import disable_default_handler, enable_default_handler

    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = " ".join(record.getMessage().split())
            if line not in (*printed, *lines):
                lines.append(line)
                display.warn(line)

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("filmstrip")
    disable_default_handler()
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        enable_default_handler()
