"""Contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

STRIP = 18  # height of a title


def save_sheet(videos: torch.Tensor, titles: Sequence[str], path: Path) -> None:
    """A picture of videos (B, 3, T, H, W) in [0, 1], each a row of its frames below its title."""
    count, height, width = videos.shape[2:]
    sheet = Image.new("RGB", (width * count, (height + STRIP) * len(videos)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (video, title) in enumerate(zip(videos, titles, strict=True)):
        top = row * (height + STRIP)
        draw.text((2, top + 2), title, fill="black", font=ImageFont.load_default(12))
        pixels = (
            (video.clamp(0, 1) * 255).round().byte().permute(2, 1, 3, 0).flatten(1, 2).cpu().numpy()
        )
        sheet.paste(Image.fromarray(pixels), (0, top + STRIP))
    sheet.save(path, optimize=True)
