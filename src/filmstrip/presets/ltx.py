"""The LTX checkpoints that filmstrip knows by name, a row each.

Files, recipes, sizes, seed and negative prompt are those of Lightricks/LTX-Video: `configs/` (those
of 0.9.7 before commit 02844ce) and `ltx_video/inference.py`; the licences are those that the model
card names. The authors let language models rewrite short prompts first, which is left out.
"""

from dataclasses import dataclass, replace
from typing import Any

from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.presets.base import KnownModel, Published

REPO = "Lightricks/LTX-Video"
TEXT_ENCODER = "PixArt-alpha/PixArt-XL-2-1024-MS"
T5_GB, UPSCALER_GB = 19.1, 0.5


@dataclass(frozen=True, kw_only=True)
class Preset(KnownModel):
    """One known checkpoint of LTX, and what to use when nothing else is asked for."""

    width: int = 1216
    height: int = 704
    frames: int = 121
    fps: float = 30
    negative: str = "worst quality, inconsistent motion, blurry, jittery, distorted"
    seed: int | None = 171198  # None: another one each time
    recipe: Recipe | None = None  # None: a folder of no preset, for diffusers' pipelines
    steps: int | None = None  # instead of the recipe's
    guidance: float | None = None
    file: str = ""  # in the repository, with transformer and autoencoder
    upscaler: str | None = None  # beside it
    vae: str = "0.9.5"  # the version that brought this kind of autoencoder
    text_encoder: str = TEXT_ENCODER

    @property
    def files(self) -> tuple[str, ...]:
        """What is read of the repository."""
        return tuple(file for file in (self.file, self.upscaler) if file)


@dataclass(frozen=True, kw_only=True)
class Part(Published):
    """A file that belongs to other checkpoints."""

    file: str
    repo: str | None = REPO


CALL_DEFAULTS = Preset(
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

_LICENCES = f"https://huggingface.co/{REPO}/blob/main/"
_OPEN_WEIGHTS: dict[str, Any] = {
    "licence": "LTXV Open Weights 0.X",
    "licence_url": _LICENCES + "LTX-Video-Open-Weights-License-0.X.txt",
}

_BASE = Recipe(
    Pass(GuidanceSchedule(scale=3.0, stg_scale=1.0, rescale=0.7, blocks=(19,)), steps=40)
)
_EIGHT_STEPS = Recipe(Pass(steps=8), stochastic=True)
_DEV = Recipe(
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
        GuidanceSchedule(stg_scale=1.0, blocks=(27,), cfg_zero_star=True), steps=30, skip_initial=17
    ),
    downscale=0.6666666,
)
_DISTILLED = Recipe(
    Pass(timesteps=(1.0, 0.9937, 0.9875, 0.9812, 0.9750, 0.9094, 0.7250)),
    Pass(timesteps=(0.9094, 0.7250, 0.4219)),
    downscale=0.6666666,
)
_TONE_MAPPED = replace(_DISTILLED, second=Pass(timesteps=(0.9094, 0.7250, 0.4219), tone_map=0.6))


def _row(
    name: str, about: str, file: str, gb: float, recipe: Recipe, licence: str = "", **more: Any
) -> Preset:
    """A published checkpoint, whose file has so many gigabytes; a licence of its own lies beside
    it.
    """
    total = gb + T5_GB + (UPSCALER_GB if "upscaler" in more else 0)
    more |= {"repo": REPO, "file": f"{file}.safetensors", "download_gb": round(total)}
    more |= (
        {"licence": licence, "licence_url": f"{_LICENCES}{file}.license.txt"}
        if licence
        else _OPEN_WEIGHTS
    )
    return Preset(name=name, about=about, recipe=recipe, **more)


def _pair(
    name: str, about: str, recipe: Recipe, sizes: tuple[float, float]
) -> tuple[Preset, Preset]:
    """The two rows of a checkpoint with two passes: in bfloat16, and with matrices in fp8."""
    upscaler = f"ltxv-spatial-upscaler-{name.split('-')[2]}.safetensors"
    file = name.replace("ltx-", "ltxv-")
    return (
        _row(name, about, file, sizes[0], recipe, upscaler=upscaler),
        _row(f"{name}-fp8", f"{about}, fp8", f"{file}-fp8", sizes[1], recipe, upscaler=upscaler),
    )


PRESETS = (
    Preset(
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
        recipe=Recipe(Pass(GuidanceSchedule(scale=4.0), steps=25)),
    ),
    _row(
        "ltx-2b-0.9.0",
        "2B, the first",
        "ltx-video-2b-v0.9",
        9.4,
        _BASE,
        "LTXV 2B v0.9 licence",
        vae="0.9.0",
    ),
    _row(
        "ltx-2b-0.9.1",
        "2B, decoder denoises",
        "ltx-video-2b-v0.9.1",
        5.7,
        _BASE,
        "LTXV 2B v0.9.1 licence",
        vae="0.9.1",
    ),
    _row("ltx-2b-0.9.5", "2B, better VAE", "ltx-video-2b-v0.9.5", 6.3, _BASE, "OpenRAIL-M"),
    _row("ltx-2b-0.9.6-dev", "2B, better motion", "ltxv-2b-0.9.6-dev-04-25", 6.3, _BASE),
    _row(
        "ltx-2b-0.9.6-distilled", "2B, 8 steps", "ltxv-2b-0.9.6-distilled-04-25", 6.3, _EIGHT_STEPS
    ),
    *_pair("ltx-2b-0.9.8-distilled", "2B, 7 + 3 steps", _DISTILLED, (6.3, 4.5)),
    *_pair("ltx-13b-0.9.7-dev", "13B", _DEV, (28.6, 15.7)),
    *_pair("ltx-13b-0.9.7-distilled", "13B, 7 + 3 steps", _DISTILLED, (28.6, 15.7)),
    *_pair("ltx-13b-0.9.8-dev", "13B, the last", _DEV, (28.6, 15.7)),
    *_pair("ltx-13b-0.9.8-distilled", "13B, 7 + 3 steps", _TONE_MAPPED, (28.6, 15.7)),
)


PARTS = tuple(
    Part(name=name, about=about, file=f"{name}.safetensors", download_gb=gb, **_OPEN_WEIGHTS)
    for name, about, gb in (
        ("ltxv-spatial-upscaler-0.9.7", "doubles the sides of latents", UPSCALER_GB),
        ("ltxv-spatial-upscaler-0.9.8", "doubles the sides of latents", UPSCALER_GB),
        ("ltxv-temporal-upscaler-0.9.7", "doubles the frames of latents", UPSCALER_GB),
        ("ltxv-13b-0.9.7-distilled-lora128", "distils ltx-13b-0.9.7-dev (LoRA)", 1.3),
    )
)
