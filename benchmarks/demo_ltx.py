"""What the embedded LTX model makes of pictures, keyframes, clips, larger sizes and long videos.

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
from filmstrip.ltx.pipelines.long_video import long_video, plan_windows
from filmstrip.ltx.pipelines.preprocess import prepare_picture
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.video_shape import VideoShape
from tools.demo_clips import (
    JUDGED,
    caption,
    draw_clips,
    evaluation_prompts,
    judge_clips,
    measure_clips,
    to_indices,
)
from tools.demo_clips.measure import CHUNK, area_and_centre, separate
from tools.train_demo.common.sheet import save_sheet

FRAMES, SIDE, RATE = 25, 128, 25
BATCH = 32  # videos made at once
GUIDANCE = 4.0
PERTURBED = {"stg_scale": 1.0, "rescale": 0.7}  # in the middle block
EXTENDED = (
    9  # frames that are given of a clip that is extended, and that windows of a long video share
)
LONG_FRAMES = 3 * (FRAMES - 1) + 1
SHEET_ROWS = 5
SEED = 7

Videos = torch.Tensor  # (N, 3, T, H, W) in [0, 1]


class HeldOut:
    """Scenes that training never saw, with their captions and clips that show them."""

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        scenes, captions = zip(*evaluation_prompts(count, seed), strict=True)
        self.captions: list[str] = list(captions)
        self.indices = to_indices(list(scenes)).to(device)
        self.clips, self.large = (
            draw_clips(self.indices, torch.Generator(device).manual_seed(seed), side=side)
            for side in (SIDE, 2 * SIDE)
        )


def load(folder: Path, device: torch.device) -> LTXRecipePipeline:
    """The model of a folder in float32, silent."""
    pipe = LTXRecipePipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    pipe.default_shape = VideoShape(SIDE, SIDE, FRAMES, RATE)
    return pipe


def recipe(steps: int, **guidance: Any) -> Recipe:
    """One pass."""
    return Recipe(Pass(GuidanceSchedule(scale=GUIDANCE, **guidance), steps))


def two_passes(steps: int) -> Recipe:
    """A pass at half the size, and a short one after the upsampler."""
    return recipe(steps).adjusted(upscale=True)


def prepared_pictures(frames: torch.Tensor) -> torch.Tensor:
    """Frames (N, 3, T, H, W) in [0, 1] as the recipe gives them to the model, softened and
    compressed, in [-1, 1].
    """
    array = (frames * 255).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
    size = array.shape[2:4]
    clips = [
        torch.cat([prepare_picture(PIL.Image.fromarray(one), *size) for one in clip], dim=2)
        for clip in array
    ]
    return torch.cat(clips).to(frames.device)


def make(
    pipe: LTXRecipePipeline,
    way: Recipe,
    captions: Sequence[str],
    held: Sequence[ConditioningPixels] = (),
    side: int = SIDE,
) -> Videos:
    """A video of each caption, with a row of what is held for each."""
    pipe.recipe = way
    made = []
    for start in range(0, len(captions), BATCH):
        rows = slice(start, start + BATCH)
        torch.manual_seed(SEED + start)
        frames = pipe(
            list(captions[rows]),
            height=side,
            width=side,
            conditions=[replace(item, pixels=item.pixels[rows]) for item in held],
            generator=torch.Generator().manual_seed(SEED + start),
            output_type="pt",
        ).frames
        made.append(frames.transpose(1, 2))
    return torch.cat(made)


def psnr(video: torch.Tensor, wanted: torch.Tensor) -> float:
    """Mean over the rows, in dB."""
    error = (video - wanted).square().flatten(1).mean(1).clamp(min=1e-10)
    return float((-10 * error.log10()).mean())


def adherence(videos: Videos, wanted: torch.Tensor) -> dict[str, float]:
    """Share of clips in which each attribute is right, and of all attributes."""
    right = judge_clips(measure_clips(videos), wanted).float().mean(0)
    return dict(zip(JUDGED, right.tolist(), strict=True)) | {"attributes": float(right.mean())}


def edge_width(videos: Videos) -> float:
    """How wide edges are, in pixels; the smaller, the sharper.

    An edge of width w rises by 1 / w a pixel. So this is the sum of squared slopes over the sum of
    their cubes, in which faint noise has no weight, where each pixel is first placed between 0, the
    background's colour, and 1, the object's.
    """
    squares, cubes = 0.0, 0.0
    for part in videos.split(CHUNK):
        background, colour, _ = separate(part)
        axis = colour - background
        place = torch.einsum("bcthw,bc->bthw", part - background[:, :, None, None, None], axis)
        place = place / axis.square().sum(1).clamp(min=1e-6)[:, None, None, None]
        down, across = place.diff(dim=2)[..., :-1], place.diff(dim=3)[..., :-1, :]
        slope = torch.hypot(down, across)
        squares += float(slope.square().sum())
        cubes += float(slope.pow(3).sum())
    return squares / max(cubes, 1e-9)


def centres(videos: Videos) -> torch.Tensor:
    """Where the object of each video is in each frame, (N, T, 2), in pixels."""
    parts = [area_and_centre(separate(part)[2])[1] for part in videos.split(CHUNK)]
    return torch.cat(parts) * videos.shape[-1]


def extension(videos: Videos, clips: Videos) -> dict[str, float]:
    """How well videos that were given the first frames of clips go on as these do, in pixels."""
    made, drawn = centres(videos), centres(clips)
    off = (made - drawn).norm(dim=2)
    jump = (made - drawn).diff(dim=1).norm(dim=2)
    rest = torch.cat([jump[:, : EXTENDED - 1], jump[:, EXTENDED:]], dim=1)
    return {
        "psnr_given": psnr(videos[:, :, :EXTENDED], clips[:, :, :EXTENDED]),
        "off_at_end": float(off[:, -1].median()),
        "jump_at_seam": float(jump[:, EXTENDED - 1].median()),
        "jump_elsewhere": float(rest.median()),
    }


def measure(
    pipe: LTXRecipePipeline, held_out: HeldOut, steps: int, prepared: bool = True
) -> tuple[dict[str, Any], dict[str, Videos]]:
    """All measurements but that of long videos, and the videos.

    Args:
        prepared: give pictures as the recipe does, softened and compressed; not as they are.
    """
    prepare: Callable[[torch.Tensor], torch.Tensor] = (
        prepared_pictures if prepared else lambda frames: frames * 2 - 1
    )
    clips, large, captions, wanted = (
        held_out.clips,
        held_out.large,
        held_out.captions,
        held_out.indices,
    )
    first = ConditioningPixels(prepare(clips[:, :, :1]), 0, 1.0)
    last = ConditioningPixels(prepare(clips[:, :, -1:]), FRAMES - 1, 1.0)
    given = ConditioningPixels(prepare(clips[:, :, :EXTENDED]), 0, 1.0)
    way, perturbed = (
        recipe(steps),
        recipe(steps, **PERTURBED, blocks=(pipe.transformer.config.num_layers // 2,)),
    )
    videos = {
        "text": make(pipe, way, captions),
        "stg": make(pipe, perturbed, captions),
        "picture": make(pipe, way, captions, [first]),
        "keyframes": make(pipe, way, captions, [first, last]),
        "extension": make(pipe, way, captions, [given]),
        "single_scale": make(pipe, way, captions, side=2 * SIDE),
    }
    if pipe.latent_upsampler is not None:
        videos["multi_scale"] = make(pipe, two_passes(steps), captions, side=2 * SIDE)
    scores: dict[str, Any] = {name: adherence(made, wanted) for name, made in videos.items()}
    for name in ("picture", "keyframes"):
        scores[name]["psnr_first"] = psnr(videos[name][:, :, 0], clips[:, :, 0])
    scores["keyframes"]["psnr_last"] = psnr(videos["keyframes"][:, :, -1], clips[:, :, -1])
    scores["extension"] |= extension(videos["extension"], clips)
    for name in ("single_scale", "multi_scale"):
        if name in videos:
            scores[name]["edge_width"] = edge_width(videos[name])
    decoded = through_autoencoder(pipe, large)
    scores["drawn"] = {"edge_width": edge_width(large)}
    scores["autoencoder"] = {"edge_width": edge_width(decoded), "psnr": psnr(decoded, large)}
    scores["autoencoder"]["psnr_small"] = psnr(through_autoencoder(pipe, clips), clips)
    return scores, videos


@torch.no_grad()
def through_autoencoder(pipe: LTXRecipePipeline, clips: Videos) -> Videos:
    """What encoding and decoding leave of clips."""
    decoded = []
    for part in clips.split(CHUNK):
        latents = pipe.vae.encode(part * 2 - 1, return_dict=False)[0].mode()
        decoded.append(pipe.vae.decode(latents, latents.new_zeros(len(part)), return_dict=False)[0])
    return (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)


def measure_long(
    pipe: LTXRecipePipeline, count: int, steps: int
) -> tuple[dict[str, Any], Videos, list[str]]:
    """Long videos of three parts of about a second each: the object turns, moves, and moves back.
    Their captions too.

    The error of a frame is how far it is from the middle of its neighbours. Where a new part
    begins, whose motion is another, it is not counted.
    """
    pipe.recipe = recipe(steps)
    scenes = [scene for scene, _ in evaluation_prompts(4 * count, SEED) if scene.shape != "circle"][
        :count
    ]
    rng, videos, captions, parts = random.Random(SEED), [], [], []
    for row, scene in enumerate(scenes):
        way, back = rng.choice(
            [("left", "right"), ("right", "left"), ("up", "down"), ("down", "up")]
        )
        moves = ("still", "rotates"), (way, "steady"), (back, "steady")
        parts.append(
            [replace(scene, direction=direction, change=change) for direction, change in moves]
        )
        prompts = [
            (place * (FRAMES - 1) / RATE, caption(part, rng))
            for place, part in enumerate(parts[-1])
        ]
        captions.append(", then ".join(text for _, text in prompts))
        torch.manual_seed(SEED + row)
        generator = torch.Generator().manual_seed(SEED + row)
        size = (SIDE, SIDE, LONG_FRAMES, RATE)
        made = long_video(
            pipe, prompts, "", *size, window=FRAMES, overlap=EXTENDED, generator=generator
        )
        videos.append(torch.from_numpy(np.concatenate(list(made))).movedim(-1, 0).float() / 255)
    made = torch.stack(videos)
    windows = plan_windows(
        prompts, LONG_FRAMES, RATE, FRAMES, EXTENDED, pipe.vae_temporal_compression_ratio
    )
    begins = {
        one.new_frames.start: one.prompt != before.prompt for before, one in pairwise(windows)
    }
    middle = (made[:, :, :-2] + made[:, :, 2:]) / 2
    errors = (made[:, :, 1:-1] - middle).square().mean((0, 1, 3, 4)).sqrt().tolist()
    kinds: dict[bool | None, list[float]] = {
        True: [],
        False: [],
        None: [],
    }  # a new part, a seam inside one, neither
    for frame, error in enumerate(errors, start=1):
        kinds[begins.get(frame, begins.get(frame + 1))].append(error)
    thirds = [made[:, :, place * (FRAMES - 1) :][:, :, :FRAMES] for place in range(3)]
    wanted = to_indices([part[place] for place in range(3) for part in parts])
    scores = adherence(torch.cat(thirds), wanted)
    seams, elsewhere = (statistics.mean(kinds[kind]) for kind in (False, None))
    return (
        scores | {"videos": count, "error_at_seams": seams, "error_elsewhere": elsewhere},
        made,
        captions,
    )


def save_sheets(videos: dict[str, Videos], titles: dict[str, list[str]], folder: Path) -> None:
    """A contact sheet of each kind of videos: rows of seven frames each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in videos.items():
        frames = torch.linspace(0, made.shape[2] - 1, 7).round().long().tolist()
        save_sheet(
            made[:SHEET_ROWS, :, frames].cpu(),
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
    given = parser.parse_args(arguments)
    words = sys.argv[1:] if arguments is None else list(arguments)

    device = torch.device(given.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    pipe = load(given.model or demo.path("ltx"), device)
    held_out = HeldOut(given.clips, SEED, device)
    command = f"python -m benchmarks.demo_ltx {shlex.join(words)}"
    result = measuring.environment(command, device) | {"clips": given.clips, "steps": given.steps}
    begin = time.perf_counter()
    scores, videos = measure(pipe, held_out, given.steps)
    measuring.say(f"measured clips after {time.perf_counter() - begin:.0f} s")
    measuring.write_json(given.out / "demo_conditions.json", result | scores)
    titles = dict.fromkeys(videos, held_out.captions)
    scores["long"], videos["long"], titles["long"] = measure_long(pipe, given.long, given.steps)
    measuring.say(f"measured long videos after {time.perf_counter() - begin:.0f} s")
    measuring.write_json(given.out / "demo_conditions.json", result | scores)
    if given.sheets is not None:
        save_sheets(videos, titles, given.sheets)


if __name__ == "__main__":
    main()
