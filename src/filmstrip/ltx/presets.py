"""The LTX checkpoints that filmstrip knows by name, a row each, and which video sizes a checkpoint can make.

Repositories and settings are those of the examples in diffusers' documentation (docs/source/en/api/pipelines/
ltx_video.md) and pipelines; the licences are those that the model card of Lightricks/LTX-Video names.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filmstrip.errors import CheckpointError
from filmstrip.pipeline.presets import KnownModel

NEGATIVE = "worst quality, inconsistent motion, blurry, jittery, distorted"
DISTILLED_TIMESTEPS = (1000.0, 993.0, 987.0, 981.0, 975.0, 909.0, 725.0, 0.03)
_LICENCES = "https://huggingface.co/Lightricks/LTX-Video/blob/main/"


@dataclass(frozen=True, kw_only=True)
class Preset(KnownModel):
    """One known checkpoint of LTX, and the settings to use when none are given."""

    width: int = 704
    height: int = 512
    frames: int = 161
    fps: float = 25
    steps: int = 50
    guidance: float = 3.0
    guidance_rescale: float = 0.0
    negative: str = ""
    timesteps: tuple[float, ...] | None = None  # instead of `steps`, for models distilled to these
    decode_timestep: float = 0.0
    decode_noise_scale: float | None = None


CALL_DEFAULTS = Preset(name="", about="The defaults of diffusers' LTXPipeline call, for folders that are no preset.")

_2B: dict[str, Any] = {"width": 768, "negative": NEGATIVE}
_DENOISING_DECODER: dict[str, Any] = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
_13B: dict[str, Any] = _DENOISING_DECODER | {
    "licence": "LTXV Open Weights License 0.X",
    "licence_url": _LICENCES + "LTX-Video-Open-Weights-License-0.X.txt",
    "download_gb": 48,
    "width": 768,
}
_DISTILLED: dict[str, Any] = _13B | {"steps": 8, "guidance": 1.0, "timesteps": DISTILLED_TIMESTEPS}

PRESETS = (
    Preset(
        name="demo",
        about="moving shapes, to try things out",
        licence="Apache-2.0",
        width=128,
        height=128,
        frames=25,
        steps=25,
        guidance=4.0,
        one_size=True,
    ),
    Preset(
        name="ltx-2b-0.9.0",
        about="LTX-Video 2B, the first",
        repo="Lightricks/LTX-Video",
        licence="LTXV 2B v0.9 licence",
        licence_url=_LICENCES + "ltx-video-2b-v0.9.license.txt",
        **_2B,
    ),
    Preset(
        name="ltx-2b-0.9.1",
        about="LTX-Video 2B, decoder denoises too",
        repo="Lightricks/LTX-Video-0.9.1",
        licence="LTXV 2B v0.9.1 licence",
        licence_url=_LICENCES + "ltx-video-2b-v0.9.1.license.txt",
        download_gb=25,
        **_2B | _DENOISING_DECODER | {"decode_timestep": 0.03},
    ),
    Preset(
        name="ltx-2b-0.9.5",
        about="LTX-Video 2B, better VAE",
        repo="Lightricks/LTX-Video-0.9.5",
        licence="OpenRAIL-M",
        licence_url=_LICENCES + "ltx-video-2b-v0.9.5.license.txt",
        download_gb=25,
        **_2B | _DENOISING_DECODER | {"steps": 40},
    ),
    Preset(
        name="ltx-13b-0.9.7-dev",
        about="LTX-Video 13B",
        repo="Lightricks/LTX-Video-0.9.7-dev",
        **_13B | {"steps": 30, "guidance": 5.0, "guidance_rescale": 0.7, "negative": NEGATIVE},
    ),
    Preset(
        name="ltx-13b-0.9.7-distilled",
        about="LTX-Video 13B, 8 steps",
        repo="Lightricks/LTX-Video-0.9.7-distilled",
        **_DISTILLED,
    ),
    Preset(
        name="ltx-13b-0.9.8-distilled",
        about="LTX-Video 13B, 8 steps, the last",
        repo="Lightricks/LTX-Video-0.9.8-13B-distilled",
        **_DISTILLED,
    ),
)


@dataclass(frozen=True)
class Grid:
    """The sizes a checkpoint can make: sides of `side` * k pixels, lengths of `stride` * k + 1 frames."""

    side: int
    stride: int


def grid(vae: Mapping[str, Any], transformer: Mapping[str, Any]) -> Grid:
    """The grid of a checkpoint with these `config.json`s.

    LTX refuses sides that are no multiple of 32, whatever its VAE compresses (diffusers, pipeline_ltx.py).
    The VAE's ratios stand in its config or follow from its patch and its blocks (autoencoder_kl_ltx.py).

    Raises:
        CheckpointError: an entry is of the wrong kind.
    """
    try:
        halvings = sum(vae.get("spatio_temporal_scaling", (True, True, True, False)))
        spatial = vae.get("spatial_compression_ratio") or vae.get("patch_size", 4) * 2**halvings
        temporal = vae.get("temporal_compression_ratio") or vae.get("patch_size_t", 1) * 2**halvings
        found = Grid(side=math.lcm(32, spatial * transformer.get("patch_size", 1)), stride=operator.index(temporal))
    except TypeError as error:
        raise CheckpointError(f"The configs of the VAE and the transformer give no sizes: {error}.") from None
    if found.side < 1 or found.stride < 1:
        raise CheckpointError(f"The configs of the VAE and the transformer give sizes that cannot be: {found}.")
    return found
