"""What Stable Video Diffusion was trained for: sizes, frame rates, motion buckets, schedulers.

Needs no torch, so that the command line can check numbers while it starts.
"""

from collections.abc import Mapping
from typing import Any

SIZE_MULTIPLE = 8  # pixels, of which height and width must be multiples
BEST_SIZE_MULTIPLE = 64
# Beyond these Stability-AI/generative-models warns (`simple_video_sample.py`).
FPS_RANGE = (6, 31)
MOTION_BUCKET_RANGE = (0, 255)
# The only scheduler config that SVD is trained for.
SCHEDULER_CONFIG = {"prediction_type": "v_prediction", "timestep_type": "continuous"}


def scheduler_problems(scheduler_config: Mapping[str, Any]) -> list[str]:
    """What in a scheduler's config SVD cannot work with, a phrase for each entry.

    SVD predicts v and is told log(sigma) / 4, a continuous timestep
    (Stability-AI/generative-models, `svd.yaml`).
    """
    found = {name: scheduler_config.get(name) for name in SCHEDULER_CONFIG}
    return [
        f"{name} is {found[name]!r}, not {wanted!r}"
        for name, wanted in SCHEDULER_CONFIG.items()
        if found[name] != wanted
    ]


def untrained_settings(
    frames: int, trained_frames: int | None, fps: float, motion: float
) -> list[str]:
    """A sentence for each number of a call that the model was not trained for."""
    found = []
    if trained_frames not in (None, frames):
        found.append(
            f"{frames} frames: the model was trained for {trained_frames}; other lengths look "
            "worse."
        )
    for name, value, (low, high) in (
        ("fps", fps, FPS_RANGE),
        ("The motion bucket", motion, MOTION_BUCKET_RANGE),
    ):
        if not low <= value <= high:
            found.append(f"{name} is {value:g}; the model was trained for {low} to {high}.")
    return found
