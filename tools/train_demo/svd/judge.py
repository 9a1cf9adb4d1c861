"""Save the embedded SVD model as a folder and measure the clips that it generates."""

from __future__ import annotations

import tarfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import CLIPImageProcessor

from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler
from filmstrip.svd.pipelines.image_to_video import StableVideoDiffusionPipeline
from tools.demo_clips import (
    POINTER_ATTRIBUTES,
    draw_pointers,
    measure_travel,
    sample_pointers,
    velocity,
)
from tools.demo_clips.pointers import HIGHEST_BUCKET
from tools.train_demo.common.sheet import save_sheet
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.svd.settings import SCHEDULER, USUAL_FPS, Settings
from tools.train_demo.svd.unet import build_unet
from tools.train_demo.svd.vae import load_vae, reconstruction_quality
from tools.train_demo.svd.vision import load_image_encoder

CHUNK = 100
REPORT_SEED, CHOICE_SEED = 0, 1
USUAL_BUCKET, SHEET_BUCKET = 127, 191
SHEET_ROWS, SHEET_FRAMES = 12, (0, 3, 6, 9, 13)
DEFAULT_GUIDANCE = (1.0, 3.0)  # of the pipeline
SPEED_ERROR = (0.2, 0.15)  # a speed is right within this share of it and so many pixels a frame

Guidance = tuple[float, float]  # of the first and the last frame


def save_folder(settings: Settings, store: Store, unet_weights: Tensors) -> Path:
    """Write the model as bfloat16 in diffusers' layout to `svd` in the work folder."""
    cpu = torch.device("cpu")
    unet = build_unet(settings)
    unet.load_state_dict(
        unet.state_dict() | {name: tensor.to(cpu) for name, tensor in unet_weights.items()}
    )
    folder = store.work / "svd"
    StableVideoDiffusionPipeline(
        vae=load_vae(settings, store, cpu).bfloat16(),
        image_encoder=load_image_encoder(settings, store, cpu).bfloat16(),
        unet=unet.bfloat16(),
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=CLIPImageProcessor(),
    ).save_pretrained(folder)
    return folder


def load_pipeline(folder: Path, device: torch.device) -> StableVideoDiffusionPipeline:
    """The saved folder in float32 on a device."""
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def title(row: list[int]) -> str:
    """A picture in words."""
    colour, shape, background, direction, _ = (
        names[i] for names, i in zip(POINTER_ATTRIBUTES.values(), row, strict=True)
    )
    return f"{colour} {shape} on {background}, pointing {direction}"


class HeldOut:
    """Held-out pictures, the same for all speeds: each leaves room for the fastest at the usual
    rate.
    """

    def __init__(self, count: int, seed: int, side: int, device: torch.device) -> None:
        self.indices = sample_pointers(
            count, torch.Generator().manual_seed(seed), held_out=True
        ).to(device)
        fastest = (
            torch.full((count,), value, device=device) for value in (HIGHEST_BUCKET, USUAL_FPS)
        )
        generator = torch.Generator(device).manual_seed(seed)
        drawn = draw_pointers(
            self.indices, *fastest, generator, shown=1, side=side, dtype=torch.uint8
        )[:, :, 0]
        self.pixels = drawn.float() / 255
        self.titles = [title(row) for row in self.indices.tolist()]
        self.images = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in drawn.cpu()]


def animate(
    pipeline: StableVideoDiffusionPipeline,
    images: list[Image.Image],
    bucket: int,
    fps: int,
    guidance: Guidance,
    steps: int,
    seed: int = 0,
) -> torch.Tensor:
    """Clips (B, 3, T, H, W) in [0, 1]."""
    generator = torch.Generator(pipeline.device).manual_seed(seed)
    parts = []
    for start in range(0, len(images), CHUNK):
        frames = pipeline(
            images[start : start + CHUNK],
            height=images[0].height,
            width=images[0].width,
            num_inference_steps=steps,
            min_guidance_scale=guidance[0],
            max_guidance_scale=guidance[1],
            fps=fps,
            motion_bucket_id=bucket,
            generator=generator,
            output_type="pt",
        ).frames
        parts.append(frames.transpose(1, 2))
    return torch.cat(parts).clamp(0, 1)


def score(
    videos: torch.Tensor, pictures: HeldOut, bucket: int, fps: int
) -> tuple[dict[str, Any], torch.Tensor]:
    """The means of the measurements, and the speeds (B,) in pixels a frame."""
    measured = measure_travel(videos, pictures.pixels)
    ones = torch.ones(len(videos), device=videos.device)
    expected = velocity(pictures.indices, bucket * ones, fps * ones) * videos.shape[-1]
    right_speed = expected.norm(dim=1)[0].item()
    allowed = SPEED_ERROR[0] * right_speed + SPEED_ERROR[1]
    flags = {
        "direction_right": measured.direction == pictures.indices[:, 3],
        "speed_right": (measured.speed - right_speed).abs() < allowed,
        "shape_kept": measured.shape_kept,
        "colour_kept": measured.colour_kept,
    }
    everything = torch.stack(list(flags.values()))
    shares = {name: flag.float().mean().item() for name, flag in flags.items()}
    result = {"bucket": bucket, "fps": fps, "clips": len(videos)} | shares
    result |= {
        "all_right": everything.all(0).float().mean().item(),
        "score": everything.float().mean().item(),
        "speed": measured.speed.mean().item(),
        "speed_wanted": right_speed,
        "velocity_off": (measured.velocity - expected).norm(dim=1).mean().item(),
        "first_frame_psnr": measured.psnr.mean().item(),
        "least_first_frame_psnr": measured.psnr.min().item(),
    }
    return result, measured.speed


def probe(
    settings: Settings, store: Store, unet_weights: Tensors, device: torch.device, step: int
) -> None:
    """Judge the model while it trains, with few steps."""
    begin = time.monotonic()
    pipeline = load_pipeline(save_folder(settings, store, unet_weights), device)
    pictures = HeldOut(settings.probe_pictures, CHOICE_SEED, settings.side, device)
    steps = min(12, settings.sampling_steps)
    videos = animate(pipeline, pictures.images, SHEET_BUCKET, USUAL_FPS, (1.0, 1.0), steps)
    scores, _ = score(videos, pictures, SHEET_BUCKET, USUAL_FPS)
    store.log("probe", step=step, seconds=time.monotonic() - begin, **scores)
    contact_sheet(videos, pictures, store.out / "sheet.png")


def judge(settings: Settings, store: Store, unet_weights: Tensors, device: torch.device) -> None:
    """Choose the guidance on one list of held-out pictures, report on another, and save folder and
    results.
    """
    folder = save_folder(settings, store, unet_weights)
    with tarfile.open(store.out / "svd.tar", "w") as archive:
        archive.add(folder, arcname="svd")
    pipeline = load_pipeline(folder, device)

    def run(
        pictures: HeldOut, guidance: Guidance, bucket: int, fps: int = USUAL_FPS
    ) -> tuple[Any, ...]:
        begin = time.monotonic()
        videos = animate(pipeline, pictures.images, bucket, fps, guidance, settings.sampling_steps)
        scores, speeds = score(videos, pictures, bucket, fps)
        scores = {"guidance": guidance} | scores
        store.log("judge", seconds=time.monotonic() - begin, **scores)
        return scores, speeds, videos

    choice = HeldOut(settings.choice_pictures, CHOICE_SEED, settings.side, device)
    tried = [run(choice, guidance, USUAL_BUCKET)[0] for guidance in settings.guidances]
    best: Guidance = max(tried, key=lambda scores: scores["score"])["guidance"]

    report = HeldOut(settings.judge_pictures, REPORT_SEED, settings.side, device)
    by_bucket = [run(report, best, bucket) for bucket in settings.buckets]
    contact_sheet(by_bucket[-1][2], report, store.out / "sheet.png")
    results: dict[str, Any] = {
        "goal": "direction right on 95% of held-out pictures, speed monotone in the motion bucket",
        "guidance": best,
        "steps": settings.sampling_steps,
        "speed": monotone(torch.stack([speeds for _, speeds, _ in by_bucket])),
        "by_bucket": [scores for scores, _, _ in by_bucket],
        "choice": tried,
        "parameters": {
            name: sum(p.numel() for p in getattr(pipeline, name).parameters())
            for name in ("unet", "vae", "image_encoder")
        },
        "folder_bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    }
    store.write_json("results.json", results)
    results["by_rate"] = [run(choice, best, HIGHEST_BUCKET, fps)[0] for fps in settings.rates]
    results["default_guidance"] = run(choice, DEFAULT_GUIDANCE, USUAL_BUCKET)[0]
    results["measure_itself"] = reconstruction_quality(
        load_vae(settings, store, device), min(128, settings.judge_pictures), device
    )
    store.write_json("results.json", results)
    store.log("judge", done=True, guidance=best, **results["speed"], bytes=results["folder_bytes"])


def monotone(speeds: torch.Tensor) -> dict[str, Any]:
    """Whether speeds (buckets, B) rise from bucket to bucket: in the mean, and the fraction of
    pictures where they do.
    """
    means = speeds.mean(1)
    return {
        "means": means.tolist(),
        "means_rise": bool((means.diff() > 0).all()),
        "pictures_rise": (speeds.diff(dim=0) > 0).all(0).float().mean().item(),
    }


def contact_sheet(videos: torch.Tensor, pictures: HeldOut, path: Path) -> None:
    """The first pictures, one a row, and beside each some frames of its clip."""
    shown = torch.cat([pictures.pixels[:, :, None], videos[:, :, list(SHEET_FRAMES)]], dim=2)
    save_sheet(shown[:SHEET_ROWS], pictures.titles[:SHEET_ROWS], path)
