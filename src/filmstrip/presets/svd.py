"""The SVD checkpoints that have a name, a row each.

Repositories, sizes and licences are those of the model cards of stabilityai; settings are the
defaults of diffusers' `StableVideoDiffusionPipeline`.
"""

from dataclasses import dataclass

from filmstrip.presets.base import ModelPreset

HUB = "https://huggingface.co"
LICENCE = "Stable Video Diffusion Community License"


@dataclass(frozen=True, kw_only=True)
class SVDPreset(ModelPreset):
    """A checkpoint of SVD, and the default settings of its videos."""

    width: int = 1024
    height: int = 576
    frames: int = 25
    fps: float = 7
    steps: int = 25
    motion: int = 127
    noise_aug: float = 0.02
    guidance_min: float = 1.0
    guidance_max: float = 3.0


CALL_DEFAULTS = SVDPreset(
    name="", about="The defaults of diffusers' call, for folders that are no preset."
)

PRESETS = (
    SVDPreset(
        name="demo",
        about="things that go where they point, to try it out",
        licence="Apache-2.0",
        width=128,
        height=128,
        frames=14,
        guidance_max=1.5,
        one_size=True,
    ),
    SVDPreset(
        name="svd",
        about="SVD, 14 frames",
        repo="stabilityai/stable-video-diffusion-img2vid",
        download_gb=9,
        licence=LICENCE,
        licence_url=f"{HUB}/stabilityai/stable-video-diffusion-img2vid/blob/main/LICENSE.md",
        frames=14,
    ),
    SVDPreset(
        name="svd-xt",
        about="SVD-XT, 25 frames",
        repo="stabilityai/stable-video-diffusion-img2vid-xt",
        download_gb=9,
        licence=LICENCE,
        licence_url=f"{HUB}/stabilityai/stable-video-diffusion-img2vid-xt/blob/main/LICENSE.md",
        frames=25,
    ),
    SVDPreset(
        name="svd-xt-1.1",
        about="SVD-XT 1.1, tuned at fps 7 and motion 127",
        repo="stabilityai/stable-video-diffusion-img2vid-xt-1-1",
        download_gb=9,
        licence="Stable Video Diffusion 1.1 Community License",
        licence_url=f"{HUB}/stabilityai/stable-video-diffusion-img2vid-xt-1-1/blob/main/LICENSE.md",
        frames=25,
    ),
)
