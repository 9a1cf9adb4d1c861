"""Preprocessing of pictures as in the authors' code: cropped, blurred and compressed.

The model was trained on compressed videos. Lightricks/LTX-Video, `inference.py` and
`crf_compressor.py`.
"""

import io

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

CRF = 29  # of H.264


def prepare_picture(
    picture: PIL.Image.Image, height: int, width: int, just_crop: bool = True, crf: int = CRF
) -> torch.Tensor:
    """Crop a picture to the aspect ratio of a video, blur and compress it.

    Args:
        height, width: of the video, in pixels.
        just_crop: keep the resolution of the picture, rather than resizing it to the video's.
        crf: constant rate factor of H.264, 0 to 51; 0 does not compress. A compressed picture loses
            an odd last row or column.

    Returns:
        `(1, 3, 1, H, W)` in [-1, 1].
    """
    picture = picture.convert("RGB")
    crop_width, crop_height = centre_size(picture.width, picture.height, width / height)
    left = (picture.width - crop_width) // 2
    top = (picture.height - crop_height) // 2
    picture = picture.crop((left, top, left + crop_width, top + crop_height))
    if not just_crop:
        picture = picture.resize((width, height))
    pixels = blur(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)
    if crf:
        pixels = compress(pixels, crf)
    return (pixels * 2 - 1)[None, :, None]


def centre_size(width: int, height: int, aspect_ratio: float) -> tuple[int, int]:
    """Width and height of the largest part of a picture with an aspect ratio (width : height)."""
    if width / height > aspect_ratio:
        return int(height * aspect_ratio), height
    return width, int(width / aspect_ratio)


def cover(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Scale frames so that they just cover the size of a video, and crop them to their centre.

    Lightricks/LTX-Video-Trainer, `reference_video` in `ltxv_pipeline.py`.

    Args:
        frames: `(T, 3, H', W')`.
        height, width: of the video, in pixels.

    Returns:
        `(T, 3, height, width)`.
    """
    aspect_ratio = frames.shape[3] / frames.shape[2]
    if aspect_ratio > width / height:
        scaled_height = height
        scaled_width = int(height * aspect_ratio)
    else:
        scaled_height = int(width / aspect_ratio)
        scaled_width = width
    frames = F.interpolate(frames, (scaled_height, scaled_width), mode="bilinear", antialias=True)
    top = round((scaled_height - height) / 2)
    left = round((scaled_width - width) / 2)
    return frames[:, :, top : top + height, left : left + width]


def blur(pixels: torch.Tensor) -> torch.Tensor:
    """Blur `(C, H, W)` with a Gaussian kernel of 3x3 pixels and deviation 1."""
    kernel = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    padded = F.pad(pixels[:, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(padded, kernel[None, None])[:, 0]


def compress(pixels: torch.Tensor, crf: int) -> torch.Tensor:
    """Compress `(3, H, W)` in [0, 1] with H.264; an odd last row or column is cropped."""
    import av

    even = pixels[:, : pixels.shape[1] // 2 * 2, : pixels.shape[2] // 2 * 2]
    array = (even * 255).byte().permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=1, options={"crf": str(crf), "preset": "veryfast"}
        )
        stream.height, stream.width = array.shape[:2]
        container.mux(
            stream.encode(
                av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format="yuv420p")
            )
        )
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return torch.from_numpy(frame).permute(2, 0, 1).float() / 255
