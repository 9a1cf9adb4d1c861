"""The LTX checkpoints that have a name, a row each.

Files, recipes, sizes, seed and negative prompt are those of Lightricks/LTX-Video: `configs/` (those
of 0.9.7 before commit 02844ce) and `ltx_video/inference.py`; the licences are those that the model
card names. The authors' rewriting of short prompts by language models is left out.
"""

from dataclasses import dataclass, replace

from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.presets.base import ModelPreset, PublishedWeights

REPO = "Lightricks/LTX-Video"
TEXT_ENCODER = "PixArt-alpha/PixArt-XL-2-1024-MS"
UPSCALER_GB = 0.5

LICENCE_FOLDER = f"https://huggingface.co/{REPO}/blob/main"
OPEN_WEIGHTS = "LTXV Open Weights 0.X"
OPEN_WEIGHTS_URL = f"{LICENCE_FOLDER}/LTX-Video-Open-Weights-License-0.X.txt"


@dataclass(frozen=True, kw_only=True)
class LTXPreset(ModelPreset):
    """A checkpoint of LTX, and the default settings of its videos."""

    width: int = 1216
    height: int = 704
    frames: int = 121
    fps: float = 30
    negative: str = "worst quality, inconsistent motion, blurry, jittery, distorted"
    seed: int | None = 171198  # None: a random one
    recipe: Recipe | None = None  # None: a folder that is no preset, for diffusers' pipelines
    steps: int | None = None  # None: the recipe's
    guidance: float | None = None  # None: the recipe's
    file: str = ""  # the file in the repository with transformer and autoencoder
    upscaler: str | None = None  # the file in the repository with the latent upsampler
    vae: str = "0.9.5"  # the first version with this autoencoder
    text_encoder: str = TEXT_ENCODER

    @property
    def files(self) -> tuple[str, ...]:
        """The files in the repository that the preset needs."""
        return tuple(file for file in (self.file, self.upscaler) if file)


@dataclass(frozen=True, kw_only=True)
class ExtraFile(PublishedWeights):
    """A published file that is no checkpoint itself but is used with one."""

    file: str
    repo: str | None = REPO
    licence: str = OPEN_WEIGHTS
    licence_url: str = OPEN_WEIGHTS_URL


CALL_DEFAULTS = LTXPreset(
    name="",
    about="The defaults of diffusers' LTXPipeline call, for folders that are no preset.",
    width=704,
    height=512,
    frames=161,
    fps=25,
    negative="",
    seed=None,
    steps=50,
    guidance=3.0,
)

# Recipes.

DEMO = Recipe(Pass(GuidanceSchedule(scale=4.0), steps=25))
BASE = Recipe(Pass(GuidanceSchedule(scale=3.0, stg_scale=1.0, rescale=0.7, blocks=(19,)), steps=40))
EIGHT_STEPS = Recipe(Pass(steps=8), stochastic=True)
DEV = Recipe(
    Pass(
        GuidanceSchedule(
            scale=(1, 1, 6, 8, 6, 1, 1),
            stg_scale=(0, 0, 4, 4, 4, 2, 1),
            rescale=(1, 1, 0.5, 0.5, 1, 1, 1),
            blocks=((), (11, 25, 35, 39), (22, 35, 39), (28,), (28,), (28,), (28,)),
            timesteps=(1.0, 0.996, 0.9933, 0.9850, 0.9767, 0.9008, 0.6180),
            cfg_zero_star=True,
        ),
        steps=30,
        skip_final=3,
    ),
    Pass(
        GuidanceSchedule(stg_scale=1.0, blocks=(27,), cfg_zero_star=True),
        steps=30,
        skip_initial=17,
    ),
    downscale=0.6666666,
)
DISTILLED = Recipe(
    Pass(timesteps=(1.0, 0.9937, 0.9875, 0.9812, 0.9750, 0.9094, 0.7250)),
    Pass(timesteps=(0.9094, 0.7250, 0.4219)),
    downscale=0.6666666,
)
TONE_MAPPED = replace(DISTILLED, second=Pass(timesteps=(0.9094, 0.7250, 0.4219), tone_map=0.6))

# Rows. `download_gb` is the file, the text encoder (19.1) and the upscaler, if there is one (0.5).

PRESETS = (
    LTXPreset(
        name="demo",
        about="moving shapes, to try things out",
        licence="Apache-2.0",
        width=128,
        height=128,
        frames=25,
        fps=25,
        one_size=True,
        negative="",
        seed=None,
        recipe=DEMO,
    ),
    LTXPreset(
        name="ltx-2b-0.9.0",
        about="2B, the first",
        repo=REPO,
        file="ltx-video-2b-v0.9.safetensors",
        download_gb=28,
        licence="LTXV 2B v0.9 licence",
        licence_url=f"{LICENCE_FOLDER}/ltx-video-2b-v0.9.license.txt",
        recipe=BASE,
        vae="0.9.0",
    ),
    LTXPreset(
        name="ltx-2b-0.9.1",
        about="2B, decoder denoises",
        repo=REPO,
        file="ltx-video-2b-v0.9.1.safetensors",
        download_gb=25,
        licence="LTXV 2B v0.9.1 licence",
        licence_url=f"{LICENCE_FOLDER}/ltx-video-2b-v0.9.1.license.txt",
        recipe=BASE,
        vae="0.9.1",
    ),
    LTXPreset(
        name="ltx-2b-0.9.5",
        about="2B, better VAE",
        repo=REPO,
        file="ltx-video-2b-v0.9.5.safetensors",
        download_gb=25,
        licence="OpenRAIL-M",
        licence_url=f"{LICENCE_FOLDER}/ltx-video-2b-v0.9.5.license.txt",
        recipe=BASE,
    ),
    LTXPreset(
        name="ltx-2b-0.9.6-dev",
        about="2B, better motion",
        repo=REPO,
        file="ltxv-2b-0.9.6-dev-04-25.safetensors",
        download_gb=25,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=BASE,
    ),
    LTXPreset(
        name="ltx-2b-0.9.6-distilled",
        about="2B, 8 steps",
        repo=REPO,
        file="ltxv-2b-0.9.6-distilled-04-25.safetensors",
        download_gb=25,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=EIGHT_STEPS,
    ),
    LTXPreset(
        name="ltx-2b-0.9.8-distilled",
        about="2B, 7 + 3 steps",
        repo=REPO,
        file="ltxv-2b-0.9.8-distilled.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=26,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DISTILLED,
    ),
    LTXPreset(
        name="ltx-2b-0.9.8-distilled-fp8",
        about="2B, 7 + 3 steps, fp8",
        repo=REPO,
        file="ltxv-2b-0.9.8-distilled-fp8.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=24,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DISTILLED,
    ),
    LTXPreset(
        name="ltx-13b-0.9.7-dev",
        about="13B",
        repo=REPO,
        file="ltxv-13b-0.9.7-dev.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.7.safetensors",
        download_gb=48,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DEV,
    ),
    LTXPreset(
        name="ltx-13b-0.9.7-dev-fp8",
        about="13B, fp8",
        repo=REPO,
        file="ltxv-13b-0.9.7-dev-fp8.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.7.safetensors",
        download_gb=35,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DEV,
    ),
    LTXPreset(
        name="ltx-13b-0.9.7-distilled",
        about="13B, 7 + 3 steps",
        repo=REPO,
        file="ltxv-13b-0.9.7-distilled.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.7.safetensors",
        download_gb=48,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DISTILLED,
    ),
    LTXPreset(
        name="ltx-13b-0.9.7-distilled-fp8",
        about="13B, 7 + 3 steps, fp8",
        repo=REPO,
        file="ltxv-13b-0.9.7-distilled-fp8.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.7.safetensors",
        download_gb=35,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DISTILLED,
    ),
    LTXPreset(
        name="ltx-13b-0.9.8-dev",
        about="13B, the last",
        repo=REPO,
        file="ltxv-13b-0.9.8-dev.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=48,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DEV,
    ),
    LTXPreset(
        name="ltx-13b-0.9.8-dev-fp8",
        about="13B, the last, fp8",
        repo=REPO,
        file="ltxv-13b-0.9.8-dev-fp8.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=35,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=DEV,
    ),
    LTXPreset(
        name="ltx-13b-0.9.8-distilled",
        about="13B, 7 + 3 steps",
        repo=REPO,
        file="ltxv-13b-0.9.8-distilled.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=48,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=TONE_MAPPED,
    ),
    LTXPreset(
        name="ltx-13b-0.9.8-distilled-fp8",
        about="13B, 7 + 3 steps, fp8",
        repo=REPO,
        file="ltxv-13b-0.9.8-distilled-fp8.safetensors",
        upscaler="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=35,
        licence=OPEN_WEIGHTS,
        licence_url=OPEN_WEIGHTS_URL,
        recipe=TONE_MAPPED,
    ),
)

EXTRA_FILES = (
    ExtraFile(
        name="ltxv-spatial-upscaler-0.9.7",
        about="doubles height and width of latents",
        file="ltxv-spatial-upscaler-0.9.7.safetensors",
        download_gb=UPSCALER_GB,
    ),
    ExtraFile(
        name="ltxv-spatial-upscaler-0.9.8",
        about="doubles height and width of latents",
        file="ltxv-spatial-upscaler-0.9.8.safetensors",
        download_gb=UPSCALER_GB,
    ),
    ExtraFile(
        name="ltxv-temporal-upscaler-0.9.7",
        about="doubles the frames of latents",
        file="ltxv-temporal-upscaler-0.9.7.safetensors",
        download_gb=UPSCALER_GB,
    ),
    ExtraFile(
        name="ltxv-13b-0.9.7-distilled-lora128",
        about="distils ltx-13b-0.9.7-dev (LoRA)",
        file="ltxv-13b-0.9.7-distilled-lora128.safetensors",
        download_gb=1.3,
    ),
)
