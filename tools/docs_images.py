"""Make the moving picture of the README with the models that ship with filmstrip.

    python -m tools.docs_images docs/images/filmstrip.webp

Runs `filmstrip generate` and `filmstrip animate` for each clip below, and writes one animated WebP
that shows the clips side by side, each with its prompt, at the frame rates they were made for.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tools.demo_clips.pointers import draw_picture

COLUMNS = 4
CLIP_SIZE = 192  # pixels on the page; the models make 128
CAPTION_HEIGHT = 64
GAP = 8
FONT_SIZE = 13
FRAME_RATE = 25
SECONDS = 2  # as long as the clips of `animate`
BACKGROUND = "white"
MAX_BYTES = 1_500_000


@dataclass(frozen=True)
class Clip:
    """One clip of the picture: the caption, the command's arguments, and its frame rate."""

    caption: str
    arguments: tuple[str, ...]
    frame_rate: int
    picture: tuple[str, ...] = ()  # of `draw_picture`, for `animate`


def generate(prompt: str, seed: int) -> Clip:
    """A clip of the LTX demo model."""
    return Clip(prompt, ("generate", prompt, "--seed", str(seed)), 25)


def animate(caption: str, picture: tuple[str, ...]) -> Clip:
    """A clip of the SVD demo model, from a drawn picture."""
    arguments = ("animate", "picture.png", "--motion", "200", "--seed", "0")
    return Clip(caption, arguments, 7, picture)


CLIPS = (
    generate("a large red circle moves left over a blue background", 0),
    generate("a small green star moves up and grows over a grey background", 0),
    generate("a purple square spins on a yellow background", 1),
    animate("from a picture of a red arrow", ("red", "arrow", "white", "up", "large")),
    generate("a yellow triangle sinks while shrinking against a purple background", 2),
    generate("a large white star slides right on a black background", 3),
    generate("a big orange circle rises on a green background", 4),
    animate("from a picture of a blue triangle", ("blue", "triangle", "yellow", "left", "large")),
)


def make_frames(clip: Clip, folder: Path) -> list[Image.Image]:
    """Run the command line for a clip, and read the frames that it writes."""
    if clip.picture:
        draw_picture(*clip.picture).save(folder / "picture.png")
    command = [sys.executable, "-m", "filmstrip", *clip.arguments, "-o", "frames"]
    subprocess.run(command, cwd=folder, check=True)
    frames = []
    for path in sorted((folder / "frames").glob("*.png")):
        with Image.open(path) as image:
            larger = image.convert("RGB").resize((CLIP_SIZE, CLIP_SIZE), Image.Resampling.BICUBIC)
            frames.append(larger)
    return frames


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Break a text into lines that are at most `width` pixels wide."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def draw_grid(clips: Sequence[Clip], videos: Sequence[Sequence[Image.Image]]) -> list[Image.Image]:
    """All clips in one picture for each frame of the animation; a clip that ends starts again."""
    rows = -(-len(clips) // COLUMNS)
    step_x = CLIP_SIZE + GAP
    step_y = CLIP_SIZE + CAPTION_HEIGHT
    empty = Image.new("RGB", (COLUMNS * step_x - GAP, rows * step_y), BACKGROUND)
    font = ImageFont.load_default(FONT_SIZE)
    draw = ImageDraw.Draw(empty)
    for index, clip in enumerate(clips):
        position = (index % COLUMNS * step_x + 2, index // COLUMNS * step_y + CLIP_SIZE + 4)
        draw.multiline_text(position, wrap(clip.caption, font, CLIP_SIZE - 4), "black", font)
    pictures = []
    for number in range(SECONDS * FRAME_RATE):
        picture = empty.copy()
        for index, (clip, frames) in enumerate(zip(clips, videos, strict=True)):
            frame = frames[number * clip.frame_rate // FRAME_RATE % len(frames)]
            picture.paste(frame, (index % COLUMNS * step_x, index // COLUMNS * step_y))
        pictures.append(picture)
    return pictures


def main() -> None:
    """Parse the command line, make the clips and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs_images", description=__doc__)
    parser.add_argument("file", type=Path, help="the WebP file to write")
    output: Path = parser.parse_args().file
    videos = []
    for clip in CLIPS:
        with tempfile.TemporaryDirectory() as folder:
            videos.append(make_frames(clip, Path(folder)))
    first, *others = draw_grid(CLIPS, videos)
    duration = 1000 // FRAME_RATE
    first.save(
        output, save_all=True, append_images=others, duration=duration, loop=0, quality=80, method=6
    )
    if output.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{output} has more than {MAX_BYTES} bytes: lower CLIP_SIZE or quality.")


if __name__ == "__main__":
    main()
