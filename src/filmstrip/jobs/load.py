"""The models of a job, loaded once and kept for any number of jobs."""

from dataclasses import dataclass
from typing import Any

from filmstrip.jobs.families import CONDITION_PIPELINE, UPSAMPLE_PIPELINE, UPSAMPLER
from filmstrip.jobs.job import Job
from filmstrip.jobs.memory import explain_out_of_memory
from filmstrip.presets import PRESETS, fetch as fetch_preset
from filmstrip.registry import public
from filmstrip.weights.hub import HubOptions


@dataclass(frozen=True)
class Models:
    """The models that jobs with the same model, pipeline, device and dtype share."""

    pipeline: Any  # of the class that `Job.pipeline` names
    latent_upsampler: Any = None  # an LTXLatentUpsamplerModel; None: no job needs one


def fetch(job: Job) -> None:
    """Download the files of a job's model that are not on this machine.

    Raises:
        CheckpointError: a file is missing and cannot be downloaded.
    """
    from filmstrip.weights.hub import CheckpointLocation
    from filmstrip.weights.pipeline_index import fetch_pipeline

    hub = HubOptions(revision=job.revision)
    if job.uses_recipe:
        fetch_preset(PRESETS[job.model], hub)
    else:
        fetch_pipeline(CheckpointLocation(job.source, **hub))


def load(job: Job) -> Models:
    """Load the models that a job needs.

    Raises:
        CheckpointError: a file is missing, damaged, or refused.
        FilmstripError: memory ran out.
    """
    import torch

    options: dict[str, Any] = {
        "dtype": getattr(torch, job.dtype),
        "device": job.device,
        "revision": job.revision,
    }
    with explain_out_of_memory(job):
        if job.uses_recipe:
            pipeline = public("load")(job.model, **options)
            return Models(pipeline, getattr(pipeline, UPSAMPLER, None))
        pipeline = public(job.pipeline).from_pretrained(job.source, **options)
        if job.pipeline == UPSAMPLE_PIPELINE:
            return Models(pipeline, pipeline.latent_upsampler)
        if job.upscale and job.pipeline == CONDITION_PIPELINE:
            upsampler = public("LTXLatentUpsamplerModel").from_pretrained(
                job.source, subfolder=UPSAMPLER, **options
            )
            return Models(pipeline, upsampler)
        return Models(pipeline)
