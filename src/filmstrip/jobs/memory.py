"""The peak memory of a job, and an error message for running out of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filmstrip.errors import FilmstripError
from filmstrip.jobs.job import Job


def peak_memory(device: str) -> dict[str, Any]:
    """The peak memory of the process so far.

    Args:
        device: the torch device of the job.

    Returns:
        `bytes`, and what they count as `kind`: memory allocated on the GPU, or else the resident
        set size of getrusage(2).
    """
    if device.startswith("cuda"):
        import torch

        return {"bytes": torch.cuda.max_memory_allocated(device), "kind": "allocated on the GPU"}
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "kind": "resident"}


@contextmanager
def explain_out_of_memory(job: Job) -> Iterator[None]:
    """Turn running out of memory within the context into an error that says what to make smaller.

    Raises:
        FilmstripError: memory ran out.
    """
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not out_of_memory and "allocate memory" not in str(error):
            raise
        raise FilmstripError(
            f"{job.device} ran out of memory for {job.video_shape()} in {job.dtype}. Use a smaller "
            "--width, --height or --frames, or --dtype bfloat16."
        ) from error
