"""`plan`: from a request to a job, with everything checked before a tensor is read."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from filmstrip.errors import InputError
from filmstrip.jobs.job import Job
from filmstrip.jobs.plan_animate import plan_animate
from filmstrip.jobs.plan_generate import plan_generate
from filmstrip.jobs.plan_upscale import plan_upscale
from filmstrip.jobs.request import AnimateRequest, GenerateRequest, Request, UpscaleRequest

PLANNERS: Mapping[type[Request], Callable[[Any], Job]] = MappingProxyType(
    {
        GenerateRequest: plan_generate,
        AnimateRequest: plan_animate,
        UpscaleRequest: plan_upscale,
    }
)


def plan(request: Request) -> Job:
    """Turn a request into a job: complete its settings and check them.

    Reads pictures, clips and the model's JSON files, but no weights.

    Raises:
        InputError: something in the request cannot be done.
        CheckpointError: the model cannot be loaded, as far as can be known without its weights.
    """
    planner = PLANNERS.get(type(request))
    if planner is None:
        raise InputError(
            f"A {type(request).__name__} cannot be planned; give one of "
            f"{', '.join(request_class.__name__ for request_class in PLANNERS)}."
        )
    return planner(request)
