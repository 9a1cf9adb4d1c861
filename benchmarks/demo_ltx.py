"""Measure the embedded LTX model with pictures, keyframes, clips, larger sizes and long videos.

    python -m benchmarks.demo_ltx --out benchmarks/results --sheets docs/images

Results go to `demo_conditions.json`. Clips are held out: training never saw their pairs of
attributes.
"""

import argparse
import random
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from benchmarks import measure as measuring
from filmstrip import demo
from filmstrip.ltx.pipelines.conditions import ConditioningPixels
from filmstrip.ltx.pipelines.long_video import Window, long_video, plan_windows
from filmstrip.ltx.pipelines.preprocess import prepare_picture
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.video_shape import VideoShape
from tools.demo_clips import (
    JUDGED,
    Scene,
    caption,
    draw_clips,
    evaluation_prompts,
    judge_clips,
    measure_clips,
    to_indices,
)
from tools.demo_clips.measure import CHUNK, area_and_centre, separate
from tools.train_demo.common.sheet import save_sheet

FRAMES = 25
SIZE = 128  # height and width in pixels
FRAME_RATE = 25
BATCH_SIZE = 32
GUIDANCE = 4.0
STG = {"stg_scale": 1.0, "rescale": 0.7}  # in the middle block
# Frames that a video shares with the clip that it extends, and windows with each other.
NUM_OVERLAPPING = 9
NUM_LONG_FRAMES = 3 * (FRAMES - 1) + 1
SHEET_ROWS = 5
SEED = 7

Videos = torch.Tensor  # (N, 3, T, H, W) in [0, 1]


class HeldOut:
    """Scenes that training never saw, with their captions and drawn clips.

    Attributes:
        captions: one a scene.
        indices: of the scenes' attributes.
        clips: `(N, 3, T, H, W)` in [0, 1].
        large: the same at twice the height and width.
    """

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        scenes, captions = zip(*evaluation_prompts(count, seed), strict=True)
        self.captions: list[str] = list(captions)
        self.indices = to_indices(list(scenes)).to(device)
        generator = torch.Generator(device)
        self.clips = draw_clips(self.indices, generator.manual_seed(seed), side=SIZE)
        self.large = draw_clips(self.indices, generator.manual_seed(seed), side=2 * SIZE)


def load(folder: Path, device: torch.device) -> LTXRecipePipeline:
    """Load the model of a folder in float32, without progress bars."""
    pipe = LTXRecipePipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    pipe.default_shape = VideoShape(SIZE, SIZE, FRAMES, FRAME_RATE)
    return pipe


def one_pass(steps: int, **guidance: Any) -> Recipe:
    """A recipe of one pass."""
    return Recipe(Pass(GuidanceSchedule(scale=GUIDANCE, **guidance), steps))


def two_passes(steps: int) -> Recipe:
    """A recipe of a pass at half the size, and a short one after the upsampler."""
    return one_pass(steps).adjusted(upscale=True)


def prepared_pictures(frames: torch.Tensor) -> torch.Tensor:
    """Blur and compress frames as the recipe does.

    Args:
        frames: `(N, 3, T, H, W)` in [0, 1].

    Returns:
        The same shape, in [-1, 1].
    """
    arrays = (frames * 255).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
    size = arrays.shape[2:4]
    clips = []
    for clip in arrays:
        pictures = [prepare_picture(PIL.Image.fromarray(frame), *size) for frame in clip]
        clips.append(torch.cat(pictures, dim=2))
    return torch.cat(clips).to(frames.device)


def generate(
    pipe: LTXRecipePipeline,
    recipe: Recipe,
    captions: Sequence[str],
    conditions: Sequence[ConditioningPixels] = (),
    size: int = SIZE,
) -> Videos:
    """Generate a video for each caption. The batch of each condition has one row for each."""
    videos = []
    for start in range(0, len(captions), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        torch.manual_seed(SEED + start)
        frames = pipe(
            list(captions[rows]),
            height=size,
            width=size,
            conditions=[replace(item, pixels=item.pixels[rows]) for item in conditions],
            generator=torch.Generator().manual_seed(SEED + start),
            output_type="pt",
            recipe=recipe,
        ).frames
        videos.append(frames.transpose(1, 2))
    return torch.cat(videos)


def psnr(video: torch.Tensor, expected: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the mean over the rows."""
    error = (video - expected).square().flatten(1).mean(1).clamp(min=1e-10)
    return float((-10 * error.log10()).mean())


def adherence(videos: Videos, indices: torch.Tensor) -> dict[str, float]:
    """Fraction of clips with the right value of each attribute, and the mean over attributes."""
    correct = judge_clips(measure_clips(videos), indices).float().mean(0)
    fractions = dict(zip(JUDGED, correct.tolist(), strict=True))
    return fractions | {"attributes": float(correct.mean())}


def edge_width(videos: Videos) -> float:
    """The width of edges in pixels; smaller is sharper.

    Pixels are first mapped to 0 for the background's colour and 1 for the object's. An edge of
    width w then rises by 1 / w in a pixel. The result is the sum of squared slopes divided by the
    sum of their cubes, in which faint noise has little weight.
    """
    squares = 0.0
    cubes = 0.0
    for part in videos.split(CHUNK):
        background, colour, _ = separate(part)
        axis = colour - background
        position = torch.einsum("bcthw,bc->bthw", part - background[:, :, None, None, None], axis)
        position = position / axis.square().sum(1).clamp(min=1e-6)[:, None, None, None]
        vertical = position.diff(dim=2)[..., :-1]
        horizontal = position.diff(dim=3)[..., :-1, :]
        slope = torch.hypot(vertical, horizontal)
        squares += float(slope.square().sum())
        cubes += float(slope.pow(3).sum())
    return squares / max(cubes, 1e-9)


def centres(videos: Videos) -> torch.Tensor:
    """The centre of each video's object in each frame, `(N, T, 2)`, in pixels."""
    parts = [area_and_centre(separate(part)[2])[1] for part in videos.split(CHUNK)]
    return torch.cat(parts) * videos.shape[-1]


def extension(videos: Videos, clips: Videos) -> dict[str, float]:
    """How closely videos that extend the first frames of clips follow the clips, in pixels."""
    offset = centres(videos) - centres(clips)
    distance = offset.norm(dim=2)
    jump = offset.diff(dim=1).norm(dim=2)
    elsewhere = torch.cat([jump[:, : NUM_OVERLAPPING - 1], jump[:, NUM_OVERLAPPING:]], dim=1)
    return {
        "psnr_given": psnr(videos[:, :, :NUM_OVERLAPPING], clips[:, :, :NUM_OVERLAPPING]),
        "off_at_end": float(distance[:, -1].median()),
        "jump_at_seam": float(jump[:, NUM_OVERLAPPING - 1].median()),
        "jump_elsewhere": float(elsewhere.median()),
    }


def measure(
    pipe: LTXRecipePipeline, held_out: HeldOut, steps: int, prepared: bool = True
) -> tuple[dict[str, Any], dict[str, Videos]]:
    """Measure everything but long videos; return the scores and the videos.

    Args:
        prepared: blur and compress pictures as the recipe does.
    """
    prepare: Callable[[torch.Tensor], torch.Tensor] = (
        prepared_pictures if prepared else lambda frames: frames * 2 - 1
    )
    clips = held_out.clips
    captions = held_out.captions
    first = ConditioningPixels(prepare(clips[:, :, :1]), 0, 1.0)
    last = ConditioningPixels(prepare(clips[:, :, -1:]), FRAMES - 1, 1.0)
    beginning = ConditioningPixels(prepare(clips[:, :, :NUM_OVERLAPPING]), 0, 1.0)
    plain = one_pass(steps)
    perturbed = one_pass(steps, **STG, blocks=(pipe.transformer.config.num_layers // 2,))
    videos = {
        "text": generate(pipe, plain, captions),
        "stg": generate(pipe, perturbed, captions),
        "picture": generate(pipe, plain, captions, [first]),
        "keyframes": generate(pipe, plain, captions, [first, last]),
        "extension": generate(pipe, plain, captions, [beginning]),
        "single_scale": generate(pipe, plain, captions, size=2 * SIZE),
    }
    if pipe.latent_upsampler is not None:
        videos["multi_scale"] = generate(pipe, two_passes(steps), captions, size=2 * SIZE)
    scores: dict[str, Any] = {}
    for name, generated in videos.items():
        scores[name] = adherence(generated, held_out.indices)
    for name in ("picture", "keyframes"):
        scores[name]["psnr_first"] = psnr(videos[name][:, :, 0], clips[:, :, 0])
    scores["keyframes"]["psnr_last"] = psnr(videos["keyframes"][:, :, -1], clips[:, :, -1])
    scores["extension"] |= extension(videos["extension"], clips)
    for name in ("single_scale", "multi_scale"):
        if name in videos:
            scores[name]["edge_width"] = edge_width(videos[name])
    decoded = through_autoencoder(pipe, held_out.large)
    scores["drawn"] = {"edge_width": edge_width(held_out.large)}
    scores["autoencoder"] = {
        "edge_width": edge_width(decoded),
        "psnr": psnr(decoded, held_out.large),
    }
    scores["autoencoder"]["psnr_small"] = psnr(through_autoencoder(pipe, clips), clips)
    return scores, videos


@torch.no_grad()
def through_autoencoder(pipe: LTXRecipePipeline, clips: Videos) -> Videos:
    """Encode and decode clips."""
    decoded = []
    for part in clips.split(CHUNK):
        latents = pipe.vae.encode(part * 2 - 1, return_dict=False)[0].mode()
        decoded.append(pipe.vae.decode(latents, latents.new_zeros(len(part)), return_dict=False)[0])
    return (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)


def measure_long(
    pipe: LTXRecipePipeline, count: int, steps: int
) -> tuple[dict[str, Any], Videos, list[str]]:
    """Measure long videos of three parts of about a second; return them with their captions.

    The object turns, moves, and moves back. The error of a frame is its distance from the mean of
    its neighbours. Where a new part begins, and the motion changes, it is not counted.
    """
    scenes = [scene for scene, _ in evaluation_prompts(4 * count, SEED) if scene.shape != "circle"]
    rng = random.Random(SEED)
    videos = []
    captions = []
    parts = []
    for row, scene in enumerate(scenes[:count]):
        parts.append(three_parts(scene, rng))
        prompts = [
            (index * (FRAMES - 1) / FRAME_RATE, caption(part, rng))
            for index, part in enumerate(parts[-1])
        ]
        captions.append(", then ".join(text for _, text in prompts))
        torch.manual_seed(SEED + row)
        generator = torch.Generator().manual_seed(SEED + row)
        size = (SIZE, SIZE, NUM_LONG_FRAMES, FRAME_RATE)
        stream = long_video(
            pipe,
            prompts,
            "",
            *size,
            window=FRAMES,
            overlap=NUM_OVERLAPPING,
            generator=generator,
            recipe=one_pass(steps),
        )
        frames = np.concatenate(list(stream))
        videos.append(torch.from_numpy(frames).movedim(-1, 0).float() / 255)
    batch = torch.stack(videos)
    thirds = [batch[:, :, index * (FRAMES - 1) :][:, :, :FRAMES] for index in range(3)]
    indices = to_indices([part[index] for index in range(3) for part in parts])
    windows = plan_windows(
        prompts,
        NUM_LONG_FRAMES,
        FRAME_RATE,
        FRAMES,
        NUM_OVERLAPPING,
        pipe.vae_temporal_compression_ratio,
    )
    scores = adherence(torch.cat(thirds), indices) | {"videos": count}
    return scores | seam_errors(batch, windows), batch, captions


def three_parts(scene: Scene, rng: random.Random) -> list[Scene]:
    """The scene with its object turning, then moving in a random direction, then moving back."""
    forward, back = rng.choice(
        [("left", "right"), ("right", "left"), ("up", "down"), ("down", "up")]
    )
    motions = (("still", "rotates"), (forward, "steady"), (back, "steady"))
    return [replace(scene, direction=direction, change=change) for direction, change in motions]


def seam_errors(videos: Videos, windows: Sequence[Window]) -> dict[str, float]:
    """Mean error of frames at seams between windows of one prompt, and elsewhere."""
    is_new_part = {
        window.new_frames.start: window.prompt != previous.prompt
        for previous, window in pairwise(windows)
    }
    middle = (videos[:, :, :-2] + videos[:, :, 2:]) / 2
    errors = (videos[:, :, 1:-1] - middle).square().mean((0, 1, 3, 4)).sqrt().tolist()
    at_seams = []
    elsewhere = []
    for frame, error in enumerate(errors, start=1):
        new_part = is_new_part.get(frame, is_new_part.get(frame + 1))
        if new_part is None:
            elsewhere.append(error)
        elif not new_part:
            at_seams.append(error)
    return {
        "error_at_seams": statistics.mean(at_seams),
        "error_elsewhere": statistics.mean(elsewhere),
    }


def save_sheets(videos: dict[str, Videos], titles: dict[str, list[str]], folder: Path) -> None:
    """Save a contact sheet of each measurement: rows of seven frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, batch in videos.items():
        frames = torch.linspace(0, batch.shape[2] - 1, 7).round().long().tolist()
        save_sheet(
            batch[:SHEET_ROWS, :, frames].cpu(),
            titles[name][:SHEET_ROWS],
            folder / f"demo-{name}.png",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything and write `demo_conditions.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_ltx", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    parser.add_argument(
        "--model", type=Path, default=None, help="folder of the model; by default the embedded one"
    )
    parser.add_argument("--clips", type=int, default=128, help="clips of each measurement")
    parser.add_argument("--long", type=int, default=24, help="long videos")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)

    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    pipe = load(options.model or demo.path("ltx"), device)
    held_out = HeldOut(options.clips, SEED, device)
    words = sys.argv[1:] if arguments is None else arguments
    command = f"python -m benchmarks.demo_ltx {shlex.join(words)}"
    result = measuring.environment(command, device) | {
        "clips": options.clips,
        "steps": options.steps,
    }
    begin = time.perf_counter()
    scores, videos = measure(pipe, held_out, options.steps)
    measuring.log(f"measured clips after {time.perf_counter() - begin:.0f} s")
    measuring.write_json(options.out / "demo_conditions.json", result | scores)
    titles = dict.fromkeys(videos, held_out.captions)
    scores["long"], videos["long"], titles["long"] = measure_long(pipe, options.long, options.steps)
    measuring.log(f"measured long videos after {time.perf_counter() - begin:.0f} s")
    measuring.write_json(options.out / "demo_conditions.json", result | scores)
    if options.sheets is not None:
        save_sheets(videos, titles, options.sheets)


if __name__ == "__main__":
    main()
