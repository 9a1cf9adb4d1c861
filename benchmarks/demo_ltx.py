"""What the embedded LTX model makes of pictures, keyframes, clips, larger sizes and long videos.

    python -m benchmarks.demo_ltx --out benchmarks/results --sheets docs/images

Results go to `demo_conditions.json`. Clips are held out: training never saw their pairs of attributes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from filmstrip.ltx.conditions import HeldPixels
from filmstrip.ltx.inputs import Clip
from filmstrip.ltx.passes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.picture import prepare_picture
from filmstrip.ltx.recipe import LTXRecipePipeline
from tools.demo_clips import (
    JUDGED,
    draw_clips,
    evaluation_prompts,
    judge_clips,
    measure_clips,
    to_indices,
)
from tools.demo_clips.measure import CHUNK, area_and_centre, separate

FRAMES, SIDE, RATE = 25, 128, 25
BATCH = 32  # videos made at once
GUIDANCE = 4.0
PERTURBED = {"stg_scale": 1.0, "rescale": 0.7}  # in the middle block
SECOND_PASS = (0.6, 0.45, 0.3, 0.18, 0.09, 0.04)  # timesteps
EXTENDED = 9  # frames that are given of a clip that is extended
SEED = 7

Videos = torch.Tensor  # (N, 3, T, H, W) in [0, 1]


class HeldOut:
    """Scenes that training never saw, with their captions and clips that show them."""

    def __init__(self, count: int, seed: int, device: torch.device) -> None:
        scenes, captions = zip(*evaluation_prompts(count, seed), strict=True)
        self.captions: list[str] = list(captions)
        self.indices = to_indices(list(scenes)).to(device)
        self.clips, self.large = (
            draw_clips(self.indices, torch.Generator(device).manual_seed(seed), side=side) for side in (SIDE, 2 * SIDE)
        )


def load(folder: Path, device: torch.device) -> LTXRecipePipeline:
    """The model of a folder in float32, silent."""
    pipe = LTXRecipePipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    pipe.clip = Clip(SIDE, SIDE, FRAMES, RATE)
    return pipe


def recipe(steps: int, **guidance: Any) -> Recipe:
    """One pass."""
    return Recipe(Pass(GuidanceSchedule(scale=GUIDANCE, **guidance), steps))


def two_passes(steps: int) -> Recipe:
    """A pass at half the size, and a short one after the upsampler."""
    first = recipe(steps)
    return replace(first, second=replace(first.first, timesteps=SECOND_PASS), downscale=0.5)


def prepared_pictures(frames: torch.Tensor) -> torch.Tensor:
    """Frames (N, 3, T, H, W) in [0, 1] as the recipe gives them to the model, softened and compressed, in [-1, 1]."""
    array = (frames * 255).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
    size = array.shape[2:4]
    clips = [torch.cat([prepare_picture(PIL.Image.fromarray(one), *size) for one in clip], dim=2) for clip in array]
    return torch.cat(clips).to(frames.device)


def make(
    pipe: LTXRecipePipeline,
    way: Recipe,
    captions: Sequence[str],
    held: Sequence[HeldPixels] = (),
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

    An edge of width w rises by 1 / w a pixel. So this is the sum of squared slopes over the sum of their cubes, in
    which faint noise has no weight, where each pixel is first placed between 0, the background's colour, and 1, the
    object's.
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
    prepare: Callable[[torch.Tensor], torch.Tensor] = prepared_pictures if prepared else lambda frames: frames * 2 - 1
    clips, large, captions, wanted = held_out.clips, held_out.large, held_out.captions, held_out.indices
    first = HeldPixels(prepare(clips[:, :, :1]), 0, 1.0)
    last = HeldPixels(prepare(clips[:, :, -1:]), FRAMES - 1, 1.0)
    given = HeldPixels(prepare(clips[:, :, :EXTENDED]), 0, 1.0)
    way, perturbed = recipe(steps), recipe(steps, **PERTURBED, blocks=(pipe.transformer.config.num_layers // 2,))
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
    scores["text"]["edge_width"] = edge_width(videos["text"])
    scores["drawn"] = {"edge_width": edge_width(large), "edge_width_128": edge_width(clips)}
    return scores, videos
