"""Carrying out a plan: load, make each video, write it, and say what it took."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from filmstrip.cli.display import Display, duration
from filmstrip.cli.families import CONDITIONED, RECIPE_PIPELINE, UPSAMPLER
from filmstrip.cli.plan import Plan
from filmstrip.cli.recipe import recipe
from filmstrip.errors import FilmstripError
from filmstrip.presets import PRESETS, fetch

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Video:
    """A finished video, and how long each stage took, in seconds."""

    path: str
    seed: int
    bytes: int  # on disk, of all frames if it is a folder
    seconds: dict[str, float]


Make = Callable[[Any, Mapping[str, Any], "torch.Generator"], Any]


class UnfinishedError(Exception):
    """What ended a video, as its cause, with the frames `(T, H, W, 3)` that were finished by
    then.
    """


def once(pipe: Any, call: Mapping[str, Any], generator: "torch.Generator") -> Any:
    """The frames `(T, H, W, 3)` of a single call."""
    return pipe(**call, generator=generator, output_type="np").frames[0]


def carry_out(
    plan: Plan,
    display: Display,
    *,
    as_json: bool,
    dry_run: bool,
    given: Mapping[str, Any] = MappingProxyType({}),
    make: Make = once,
) -> None:
    """Make the videos of `plan` and print the result; with `dry_run`, only print the plan.

    Args:
        given: takes the place of the arguments of the call that name files.
        make: from a pipeline, the call and a generator, the frames of a video.
    """
    if plan.credit:
        display.say(plan.credit)
    for note in plan.notes:
        display.warn(note)
    if dry_run:
        print(json.dumps(plan.as_dict(), indent=2) if as_json else plan.as_text())
        return
    display.say(plan.headline())
    with _warnings_in_one_line(display, plan.notes) as warnings, _memory_errors_in_one_line(plan):
        _download(plan, quiet=as_json)
        load_seconds, videos = _make(plan, display, make, {**plan.call, **given})
    memory = _peak_memory(plan.device)
    if as_json:
        result = {
            "videos": [asdict(video) for video in videos],
            "load_seconds": load_seconds,
            "peak_memory": memory,
        }
        print(
            json.dumps(
                result | {"warnings": [*plan.notes, *warnings], "plan": plan.as_dict()}, indent=2
            )
        )
        return
    for video in videos:
        times = ", ".join(
            f"{stage} {duration(seconds)}" for stage, seconds in video.seconds.items()
        )
        print(f"{video.path}: {decimal(video.bytes)}, seed {video.seed}, {times}")
    print(
        f"load {duration(load_seconds)}, peak memory {decimal(memory['bytes'])} ({memory['kind']})"
    )


def _make(
    plan: Plan, display: Display, make: Make, call: Mapping[str, Any]
) -> tuple[float, list[Video]]:
    """Load, then make the videos one by one, each from its own seed, so that any can be made again
    alone.
    """
    import torch

    from filmstrip.media.export import save_video

    loading, videos = Stopwatch(display, plan.device), list[Video]()
    try:
        with display.running():
            with loading.stage("load"):
                pipe = _load(plan)
            for seed, path in zip(plan.seeds, plan.outputs, strict=True):
                if len(plan.seeds) > 1:
                    display.next_video(f"{len(videos) + 1} of {len(plan.seeds)}: {path}")
                pipe.progress = watch = Stopwatch(display, plan.device)
                torch.manual_seed(seed)  # some VAEs draw noise from the global generator
                generator = torch.Generator().manual_seed(seed)
                try:
                    frames = make(pipe, call, generator)
                except UnfinishedError as unfinished:
                    part = path.with_stem(f"{path.stem}-unfinished")
                    save_video(unfinished.args[0], part, plan.fps)
                    display.warn(
                        f"The frames that were finished, {len(unfinished.args[0])}, are in {part}."
                    )
                    raise unfinished.__cause__ or unfinished from None
                with watch.stage("write"):
                    save_video(
                        frames,
                        path,
                        plan.fps,
                        provenance=recipe(plan, seed) if plan.recipe else None,
                    )
                size = sum(
                    file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path])
                )
                videos.append(Video(str(path), seed, size, watch.seconds))
    except KeyboardInterrupt:
        display.warn(f"Interrupted: {len(videos)} of {len(plan.seeds)} videos are written.")
        raise
    return loading.seconds["load"], videos


def _load(plan: Plan) -> Any:
    import torch

    import filmstrip

    options = {
        "dtype": getattr(torch, plan.dtype),
        "device": plan.device,
        "revision": plan.revision,
    }
    if plan.pipeline == RECIPE_PIPELINE:
        pipe: Any = filmstrip.load(plan.model, **options)
        pipe.recipe = pipe.recipe.adjusted(**plan.changes, upscale=plan.upscale)
        return pipe
    pipe = getattr(filmstrip, plan.pipeline).from_pretrained(plan.source, **options)
    if plan.upscale and plan.pipeline == CONDITIONED.pipeline:
        kind = filmstrip.LTXLatentUpsamplerModel
        pipe.latent_upsampler = kind.from_pretrained(plan.source, subfolder=UPSAMPLER, **options)
    return pipe


def _download(plan: Plan, quiet: bool) -> None:
    """Find all files of the model, those of a Hub id by downloading what is not cached."""
    from huggingface_hub.utils import disable_progress_bars

    from filmstrip.weights.folder import fetch_pipeline
    from filmstrip.weights.hub import HubOptions, Source

    if quiet:
        disable_progress_bars()
    hub = HubOptions(revision=plan.revision)
    if plan.pipeline == RECIPE_PIPELINE:
        fetch(PRESETS[plan.model], hub)
    else:
        fetch_pipeline(Source(plan.source, **hub))


class Stopwatch:
    """A Progress that passes every stage on to a display and keeps how long each took, in
    seconds.
    """

    def __init__(self, display: Display, device: str) -> None:
        self.display = display
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """As `Progress.stage`. When the stage ends, a GPU has finished its work."""
        with self.display.stage(name, total) as advance:
            start = time.perf_counter()
            yield advance
            if self.device.startswith("cuda"):
                import torch

                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _peak_memory(device: str) -> dict[str, Any]:
    """The most memory the process has held: allocated on a GPU, else resident (as getrusage(2)
    counts it).
    """
    if device.startswith("cuda"):
        import torch

        return {"bytes": torch.cuda.max_memory_allocated(device), "kind": "allocated on the GPU"}
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "kind": "resident"}


@contextmanager
def _warnings_in_one_line(display: Display, notes: Sequence[str]) -> Iterator[list[str]]:
    """Send what filmstrip's loggers warn of and the notes do not say to `display`, a line each, and
    collect it.
    """
    from filmstrip.logging import disable_default_handler, enable_default_handler

    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = " ".join(record.getMessage().split())
            if line not in (*notes, *lines):
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


@contextmanager
def _memory_errors_in_one_line(plan: Plan) -> Iterator[None]:
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(
            error, torch.OutOfMemoryError | MemoryError
        ) and "allocate memory" not in str(error):
            raise
        raise FilmstripError(
            f"{plan.device} ran out of memory for {plan.shape()} in {plan.dtype}. Use a smaller "
            "--width, "
            "--height or --frames, or --dtype bfloat16."
        ) from error
