"""Limits of Stable Video Diffusion: sizes, frame rates, motion buckets and scheduler configs.

It does not import torch, so that the command line can check arguments before torch is loaded.
"""

from collections.abc import Mapping
from typing import Any

SIZE_MULTIPLE = 8  # height and width in pixels must be multiples of it
BEST_SIZE_MULTIPLE = 64  # sizes that are multiples of it give better videos
# Outside these ranges Stability-AI/generative-models warns (`simple_video_sample.py`).
FPS_RANGE = (6, 31)
MOTION_BUCKET_RANGE = (0, 255)
# The entries of a scheduler's config that SVD was trained with.
SCHEDULER_CONFIG = {"prediction_type": "v_prediction", "timestep_type": "continuous"}


def scheduler_problems(scheduler_config: Mapping[str, Any]) -> list[str]:
    """Find the entries of a scheduler's config that SVD does not work with.

    SVD predicts v and is given `log(sigma) / 4` as a continuous timestep
    (Stability-AI/generative-models, `svd.yaml`).

    Returns:
        A phrase for each entry, such as "timestep_type is 'discrete', not 'continuous'".
    """
    problems = []
    for name, trained_value in SCHEDULER_CONFIG.items():
        value = scheduler_config.get(name)
        if value != trained_value:
            problems.append(f"{name} is {value!r}, not {trained_value!r}")
    return problems


def untrained_settings(
    num_frames: int, trained_num_frames: int | None, fps: float, motion_bucket_id: float
) -> list[str]:
    """Find the arguments of a call that lie outside what the model was trained on.

    Args:
        num_frames: of the video.
        trained_num_frames: of the training videos, if known.
        fps: frames per second of the video.
        motion_bucket_id: the amount of motion, 0 to 255.

    Returns:
        A sentence for each.
    """
    sentences = []
    if trained_num_frames not in (None, num_frames):
        sentences.append(
            f"{num_frames} frames: the model was trained for {trained_num_frames}; other lengths "
            "look worse."
        )
    for name, value, (low, high) in (
        ("fps", fps, FPS_RANGE),
        ("The motion bucket", motion_bucket_id, MOTION_BUCKET_RANGE),
    ):
        if not low <= value <= high:
            sentences.append(f"{name} is {value:g}; the model was trained for {low} to {high}.")
    return sentences
