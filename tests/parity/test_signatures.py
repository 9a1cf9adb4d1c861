"""Constructors and calls have diffusers' parameters and defaults."""

import inspect
from typing import Any

import diffusers
import pytest
from diffusers.pipelines.ltx import LTXLatentUpsamplePipeline, modeling_latent_upsampler

import filmstrip

CLASSES = {
    "LTXVideoTransformer3DModel": diffusers.LTXVideoTransformer3DModel,
    "AutoencoderKLLTXVideo": diffusers.AutoencoderKLLTXVideo,
    "LTXLatentUpsamplerModel": modeling_latent_upsampler.LTXLatentUpsamplerModel,
    "UNetSpatioTemporalConditionModel": diffusers.UNetSpatioTemporalConditionModel,
    "AutoencoderKLTemporalDecoder": diffusers.AutoencoderKLTemporalDecoder,
    "FlowMatchEulerDiscreteScheduler": diffusers.FlowMatchEulerDiscreteScheduler,
    "EulerDiscreteScheduler": diffusers.EulerDiscreteScheduler,
    "LTXPipeline": diffusers.LTXPipeline,
    "LTXImageToVideoPipeline": diffusers.LTXImageToVideoPipeline,
    "LTXConditionPipeline": diffusers.LTXConditionPipeline,
    "LTXLatentUpsamplePipeline": LTXLatentUpsamplePipeline,
    "StableVideoDiffusionPipeline": diffusers.StableVideoDiffusionPipeline,
}
EXCEPTIONS = {
    ("FlowMatchEulerDiscreteScheduler", "scale_noise"),  # diffusers crashes without its noise
    ("StableVideoDiffusionPipeline", "prepare_latents"),  # takes the shape
}
METHODS = [
    (name, method)
    for name, theirs in CLASSES.items()
    for method in vars(theirs)
    if inspect.isfunction(vars(theirs)[method])
    and method in vars(getattr(filmstrip, name))
    and (name, method) not in EXCEPTIONS
    and (not method.startswith("_") or method in ("__init__", "__call__"))
]


def parameters(method: Any) -> dict[str, Any]:
    return {
        name: tuple(parameter.default) if isinstance(parameter.default, list) else parameter.default
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


@pytest.mark.parametrize(("name", "method"), METHODS, ids=map(".".join, METHODS))
def test_parameters_and_defaults_are_diffusers(name: str, method: str) -> None:
    ours = parameters(getattr(getattr(filmstrip, name), method))
    theirs = parameters(getattr(CLASSES[name], method))
    assert list(ours)[: len(theirs)] == list(theirs)
    for parameter, default in theirs.items():
        if default is not inspect.Parameter.empty:
            assert ours[parameter] == default, parameter
