"""Replacements for the weights, the GPU and the pictures that the pages mention.

- The published checkpoints are in a temporary Hub cache: tiny models with random weights in the
  authors' layout, and the demo models in folders with diffusers' layout.
- Sizes and steps are small: in the rows of presets, in the defaults of calls, and, where a page
  has them in its text, by `REPLACEMENTS`.
- The reader's pictures and clips are drawn.
"""

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import filmstrip
from filmstrip import demo
from filmstrip.media.export import save_video
from filmstrip.presets import ltx, svd
from tests.ltx.published import repositories
from tests.weights.hub import store_repository

# Text of a page, and the text that is run instead.
REPLACEMENTS = {
    '"cuda"': '"cpu"',
    "torch.float16": "torch.float32",
    '"float16"': '"float32"',
    "torch.bfloat16": "torch.float32",
    "width=768, height=512, num_frames=121": "width=64, height=64, num_frames=9",
    '"height": 512, "width": 768, "num_frames": 121': '"height": 64, "width": 64, "num_frames": 9',
    "width=256, height=256": "width=128, height=128",
    "height=128, width=128": "height=64, width=64",
    "num_inference_steps=20": "num_inference_steps=2",
    "--seconds 60 --window 121": "--seconds 2 --window 33",
}
# Output in a page, and the output with these replacements. Numbers are not compared.
OUTPUT_REPLACEMENTS = {"cuda bfloat16": "cpu float32"}

SMALL_CALL = {"height": 64, "width": 64, "num_frames": 9, "num_inference_steps": 1}
DROP_IN_PIPELINES = (
    "LTXConditionPipeline",
    "LTXImageToVideoPipeline",
    "LTXPipeline",
    "StableVideoDiffusionPipeline",
)
HUB_FOLDERS = {
    "Lightricks/LTX-Video-0.9.5": "ltx",
    "stabilityai/stable-video-diffusion-img2vid-xt": "svd",
}
PICTURES = ("bud.jpg", "cat.jpg", "cat.png", "end.png", "half.jpg", "rose.jpg")
CLIPS = ("clip.mp4", "train.mp4")


def fill_hub(cache: Path, names: set[str]) -> None:
    """Put presets by name, and `HUB_FOLDERS`, into a Hub cache."""
    files: dict[str, dict[str, Any]] = {}
    for preset in ltx.PRESETS:
        if preset.name in names and preset.repo is not None:
            for repository, contents in repositories(preset).items():
                files.setdefault(repository, {}).update(contents)
    for repository, family in HUB_FOLDERS.items():
        folder = demo.path(family)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                variant = re.sub(r"\.safetensors$", ".fp16.safetensors", name)
                files.setdefault(repository, {}).update(
                    dict.fromkeys((name, variant), path.read_bytes())
                )
    for number, (repository, contents) in enumerate(files.items()):
        store_repository(cache, repository, contents, commit=str(number) * 40)


def draw_user_files(folder: Path) -> None:
    """Draw the pictures and clips that the pages use as input, and copy the demo's picture."""
    gradient = np.linspace(0, 255, 96 * 96 * 3).reshape(96, 96, 3).astype(np.uint8)
    for name in PICTURES:
        PIL.Image.fromarray(gradient).save(folder / name)
    frames = np.stack([np.roll(gradient, shift, axis=1) for shift in range(25)])
    for name in CLIPS:
        save_video(frames, folder / name, 25)
    picture = folder / "src" / "filmstrip" / "demo" / "picture.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes((demo.path().parent / "picture.png").read_bytes())


@contextmanager
def small_presets() -> Iterator[None]:
    """Make the rows of presets small. They are changed in place, since several tables have them."""
    changed = []
    try:
        for row in (*ltx.PRESETS, ltx.CALL_DEFAULTS, *svd.PRESETS, svd.CALL_DEFAULTS):
            changes: dict[str, Any] = {"height": 64, "width": 64}
            if hasattr(row, "motion"):
                changes["frames"] = 3
            elif row.name != "demo":  # the pages mention its 25 frames
                changes["frames"] = 17
            recipe = getattr(row, "recipe", None)
            if recipe is not None and recipe.second is None:  # others list their steps
                changes["recipe"] = recipe.adjusted(num_inference_steps=2)
            elif recipe is None:
                changes["steps"] = 2
            changed.append((row, {name: getattr(row, name) for name in changes}))
            for name, value in changes.items():
                object.__setattr__(row, name, value)
        yield
    finally:
        for row, values in changed:
            for name, value in values.items():
                object.__setattr__(row, name, value)


def shrink_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the default sizes and steps of the drop-in pipelines small."""
    for name in DROP_IN_PIPELINES:
        pipeline = getattr(filmstrip, name)
        call = functools.partialmethod(pipeline.__call__, **SMALL_CALL)
        monkeypatch.setattr(pipeline, "__call__", call)
