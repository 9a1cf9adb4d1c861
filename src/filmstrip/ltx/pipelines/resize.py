"""Videos in another size: cropped, padded, resized."""

import torch
import torch.nn.functional as F

from filmstrip.ltx.video_shape import VideoShape


def margins(inner: int, outer: int) -> tuple[int, int]:
    """The pixels before and after an inner length that is centred in an outer one."""
    before = (outer - inner) // 2
    return before, outer - inner - before


def crop_video(video: torch.Tensor, shape: VideoShape) -> torch.Tensor:
    """The centre of a video `(B, 3, T, H, W)`, and its first frames, in a smaller shape."""
    top, _ = margins(shape.height, video.shape[3])
    left, _ = margins(shape.width, video.shape[4])
    bottom = top + shape.height
    right = left + shape.width
    return video[:, :, : shape.num_frames, top:bottom, left:right]


def pad_video(video: torch.Tensor, shape: VideoShape, padded: VideoShape) -> torch.Tensor:
    """A video `(B, 3, T, H, W)` in [-1, 1] with grey margins.

    Args:
        video: of the aspect ratio of `shape`, in any size.
        shape, padded: without and with the margins.
    """
    top, bottom = margins(shape.height, padded.height)
    left, right = margins(shape.width, padded.width)
    return F.pad(video, (left, right, top, bottom))


def resize_video(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A video `(B, C, T, H, W)` in another size, bilinearly."""
    if video.shape[-2:] == (height, width):
        return video
    return F.interpolate(video, (video.shape[2], height, width), mode="trilinear")
