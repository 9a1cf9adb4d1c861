"""The SVD checkpoints that filmstrip knows by name, a row each, and the schedulers that SVD works
with.

Repositories, sizes and licences are those of the model cards of stabilityai; settings are the
defaults of diffusers' `StableVideoDiffusionPipeline`.
"""

from dataclasses import dataclass

from filmstrip.presets.base import KnownModel

_HUB = "https://huggingface.co/stabilityai/"


@dataclass(frozen=True, kw_only=True)
class Preset(KnownModel):
    """One known checkpoint of SVD, and the settings to use when none are given."""

    width: int = 1024
    height: int = 576
    frames: int = 25
    fps: float = 7
    steps: int = 25
    motion: int = 127
    noise_aug: float = 0.02
    guidance_min: float = 1.0
    guidance_max: float = 3.0


def _published(name: str, about: str, repo: str, licence: str, frames: int) -> Preset:
    where = f"{_HUB}{repo}/blob/main/LICENSE.md"
    return Preset(
        name=name,
        about=about,
        repo=f"stabilityai/{repo}",
        licence=licence,
        licence_url=where,
        download_gb=9,
        frames=frames,
    )


CALL_DEFAULTS = Preset(
    name="", about="The defaults of diffusers' call, for folders that are no preset."
)
_LICENCE = "Stable Video Diffusion Community License"

PRESETS = (
    Preset(
        name="demo",
        about="things that go where they point, to try it out",
        licence="Apache-2.0",
        width=128,
        height=128,
        frames=14,
        guidance_max=1.5,
        one_size=True,
    ),
    _published("svd", "SVD, 14 frames", "stable-video-diffusion-img2vid", _LICENCE, 14),
    _published("svd-xt", "SVD-XT, 25 frames", "stable-video-diffusion-img2vid-xt", _LICENCE, 25),
    _published(
        "svd-xt-1.1",
        "SVD-XT 1.1, tuned at fps 7 and motion 127",
        "stable-video-diffusion-img2vid-xt-1-1",
        "Stable Video Diffusion 1.1 Community License",
        25,
    ),
)
