"""Cropping, padding and resizing of videos."""

import torch
import torch.nn.functional as F

from filmstrip.ltx.video_shape import VideoShape


def margins(inner: int, outer: int) -> tuple[int, int]:
    """The pixels before and after a length that is centred in a larger one."""
    before = (outer - inner) // 2
    return before, outer - inner - before


def crop_video(video: torch.Tensor, shape: VideoShape) -> torch.Tensor:
    """Crop a video `(B, 3, T, H, W)` to its centre and its first frames."""
    top, _ = margins(shape.height, video.shape[3])
    left, _ = margins(shape.width, video.shape[4])
    bottom = top + shape.height
    right = left + shape.width
    return video[:, :, : shape.num_frames, top:bottom, left:right]


def pad_video(video: torch.Tensor, shape: VideoShape, padded: VideoShape) -> torch.Tensor:
    """Add grey margins to a video.

    Args:
        video: `(B, 3, T, H, W)` in [-1, 1], in the aspect ratio of `shape`.
        shape: without the margins.
        padded: with the margins.
    """
    top, bottom = margins(shape.height, padded.height)
    left, right = margins(shape.width, padded.width)
    return F.pad(video, (left, right, top, bottom))


def resize_video(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize a video `(B, C, T, H, W)` by bilinear interpolation."""
    if video.shape[-2:] == (height, width):
        return video
    return F.interpolate(video, (video.shape[2], height, width), mode="trilinear")
