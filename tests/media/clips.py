"""Clips for the tests of this folder."""

import numpy as np
from numpy.typing import NDArray

COLOURS = (
    (255, 0, 0),
    (0, 160, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (128, 128, 128),
    (90, 40, 10),
)


def plain(frames: int = 8, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """Frames of one colour each, in which 4:2:0 loses no detail."""
    colours = np.array([COLOURS[index % len(COLOURS)] for index in range(frames)], np.uint8)
    return np.broadcast_to(colours[:, None, None], (frames, height, width, 3)).copy()


def smooth(frames: int = 8, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """Gradients whose colour changes from frame to frame."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    clip = [
        np.stack([x, y, np.full_like(x, 0.2 + 0.6 * index / frames)], -1) for index in range(frames)
    ]
    return (np.stack(clip) * 255).round().astype(np.uint8)
