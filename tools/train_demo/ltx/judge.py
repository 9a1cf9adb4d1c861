"""Save the embedded LTX model as a folder and judge the clips that it generates."""

from __future__ import annotations

import json
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import T5TokenizerFast

from benchmarks import demo_ltx
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from filmstrip.ltx.pipelines.drop_in import LTXPipeline
from filmstrip.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from tools.demo_clips import (
    ATTRIBUTES,
    JUDGED,
    Scene,
    evaluation_prompts,
    judge_clips,
    measure_clips,
    swapped_colours,
    to_indices,
)
from tools.train_demo.common.sheet import save_sheet
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.ltx.settings import FRAME_RATE, FRAMES, SIDE, Settings
from tools.train_demo.ltx.text import build_text_encoder, fold_case, save_tokenizer
from tools.train_demo.ltx.vae import load_vae, reconstruction_quality

CHUNK = 128
REPORT_SEED, CHOICE_SEED = 0, 1
SHEET_ROWS, SHEET_FRAMES = 12, (0, 6, 12, 18, 24)


def save_folder(
    settings: Settings, store: Store, weights: dict[str, Tensors], shift: float
) -> Path:
    """Write the model as bfloat16 in diffusers' layout to `ltx` in the work folder.

    Args:
        weights: state dicts of "transformer" and "encoder", and of "upsampler" if there is one.
        shift: of the scheduler.
    """
    folder = store.work / "ltx"
    cpu = torch.device("cpu")
    tokenizer = Tokenizer.from_file(str(store.work / "tokenizer.json"))
    save_tokenizer(tokenizer, folder / "tokenizer")
    transformer = LTXVideoTransformer3DModel(**settings.transformer_config())
    transformer.load_state_dict({k: v.to(cpu) for k, v in weights["transformer"].items()})
    encoder = build_text_encoder(settings, tokenizer.get_vocab_size())
    encoder.load_state_dict({k: v.to(cpu) for k, v in weights["encoder"].items()}, strict=False)
    with torch.no_grad():
        encoder.shared.weight.copy_(fold_case(tokenizer, encoder.shared.weight))
    LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=load_vae(settings, store, cpu).to(memory_format=torch.contiguous_format).bfloat16(),
        text_encoder=encoder.bfloat16(),
        tokenizer=T5TokenizerFast.from_pretrained(folder / "tokenizer"),
        transformer=transformer.bfloat16(),
    ).save_pretrained(folder)
    save_tokenizer(
        tokenizer, folder / "tokenizer"
    )  # plainer than what transformers writes, and read by all its versions
    if "upsampler" in weights:
        upsampler = LTXLatentUpsamplerModel(**settings.upsampler_config())
        upsampler.load_state_dict({k: v.to(cpu) for k, v in weights["upsampler"].items()})
        upsampler.bfloat16().save_pretrained(folder / "latent_upsampler")
        index = json.loads((folder / "model_index.json").read_text())
        index["latent_upsampler"] = ["ltx", "LTXLatentUpsamplerModel"]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    return folder


def load_pipeline(folder: Path, device: torch.device) -> LTXPipeline:
    """The saved folder in float32 on a device."""
    pipeline = LTXPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(
    pipeline: LTXPipeline, prompts: list[str], guidance: float, steps: int, seed: int = 0
) -> torch.Tensor:
    """Clips (B, 3, T, H, W) in [0, 1]."""
    generator = torch.Generator(pipeline.device).manual_seed(seed)
    parts = []
    for start in range(0, len(prompts), CHUNK):
        frames = pipeline(
            prompt=prompts[start : start + CHUNK],
            height=SIDE,
            width=SIDE,
            num_frames=FRAMES,
            frame_rate=FRAME_RATE,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generator,
            output_type="pt",
        ).frames
        parts.append(frames.transpose(1, 2))
    return torch.cat(parts)


def score(videos: torch.Tensor, scenes: list[Scene]) -> dict[str, Any]:
    """Accuracy of each attribute and of all, the rate of swapped colours, and the confusions."""
    expected = to_indices(scenes)
    measured = measure_clips(videos.float())
    right = judge_clips(measured, expected).float().cpu()
    result: dict[str, Any] = {name: right[:, i].mean().item() for i, name in enumerate(JUDGED)}
    result |= {
        "attributes": right.mean().item(),
        "whole_clips": right.all(1).float().mean().item(),
        "swapped": swapped_colours(measured, expected).float().mean().item(),
    }
    found = measured.indices().cpu()
    for column, (name, names) in enumerate(ATTRIBUTES.items()):
        wrong = Counter(
            f"{names[w]} -> {names[f] if f >= 0 else 'unclear'}"
            for w, f in zip(expected[:, column].tolist(), found[:, column].tolist(), strict=True)
            if w != f
        )
        result[f"{name}_errors"] = dict(wrong.most_common(12))
    return result


def swaps(
    settings: Settings, store: Store, weights: dict[str, Tensors], device: torch.device, step: int
) -> float:
    """Judge the model while it learns texts, with few steps; returns the rate of swapped
    colours.
    """
    begin = time.monotonic()
    pipeline = load_pipeline(save_folder(settings, store, weights, shift=1.0), device)
    pairs = evaluation_prompts(settings.probe_prompts, CHOICE_SEED)
    videos = generate(
        pipeline, [text for _, text in pairs], guidance=3.0, steps=min(16, settings.sampling_steps)
    )
    scores = score(videos, [scene for scene, _ in pairs])
    store.log("probe", step=step, seconds=time.monotonic() - begin, **scores)
    contact_sheet(videos, [text for _, text in pairs], store.out / "sheet.png")
    return float(scores["swapped"])


def probe(
    settings: Settings, store: Store, weights: dict[str, Tensors], device: torch.device, step: int
) -> None:
    """Measure the model while it learns conditions, with few steps."""
    begin = time.monotonic()
    pipe = demo_ltx.load(save_folder(settings, store, weights, shift=1.0), device)
    clips = demo_ltx.HeldOut(settings.tuned_probe_clips, CHOICE_SEED, device)
    scores, videos = demo_ltx.measure(pipe, clips, min(16, settings.sampling_steps), prepared=False)
    store.log("probe", step=step, seconds=time.monotonic() - begin, **scores)
    shown = {name: made[:2] for name, made in videos.items() if made.shape[-1] == SIDE}
    titles = [f"{name}: {text}" for name in shown for text in clips.captions[:2]]
    save_sheet(
        torch.cat(list(shown.values()))[:, :, list(SHEET_FRAMES)], titles, store.out / "sheet.png"
    )


def judge(
    settings: Settings, store: Store, weights: dict[str, Tensors], device: torch.device
) -> None:
    """Choose guidance and shift on one list of held-out prompts, report on another, and save folder
    and results.
    """
    steps = settings.sampling_steps

    def run(shift: float, guidance: float, seed: int) -> tuple[dict[str, Any], torch.Tensor]:
        begin = time.monotonic()
        pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        pairs = evaluation_prompts(settings.judge_prompts, seed)
        videos = generate(pipeline, [text for _, text in pairs], guidance, steps, seed)
        scores = {"guidance": guidance, "shift": shift, "steps": steps} | score(
            videos, [scene for scene, _ in pairs]
        )
        store.log("judge", prompts_seed=seed, seconds=time.monotonic() - begin, **scores)
        return scores, videos

    folder = save_folder(settings, store, weights, shift=1.0)
    pipeline = load_pipeline(folder, device)
    tried = [run(settings.shifts[0], guidance, CHOICE_SEED)[0] for guidance in settings.guidances]
    best = max(tried, key=lambda scores: scores["attributes"])
    tried += [run(shift, best["guidance"], CHOICE_SEED)[0] for shift in settings.shifts[1:]]
    best = max(tried, key=lambda scores: scores["attributes"])

    guided, videos = run(best["shift"], best["guidance"], REPORT_SEED)
    unguided, _ = run(best["shift"], 1.0, REPORT_SEED)
    pairs = evaluation_prompts(settings.judge_prompts, REPORT_SEED)
    contact_sheet(videos, [text for _, text in pairs], store.out / "sheet.png")
    folder = save_folder(settings, store, weights, shift=best["shift"])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    results = {
        "prompts": settings.judge_prompts,
        "goal": "at least 0.95 of attributes with guidance, fewer without",
        "guided": guided,
        "unguided": unguided,
        "judge_itself": reconstruction_quality(
            load_vae(settings, store, device), settings.judge_prompts, device
        ),
        "choice": [
            {k: v for k, v in scores.items() if not k.endswith("_errors")} for scores in tried
        ],
        "folder_bytes": size,
        "parameters": {
            name: sum(p.numel() for p in getattr(pipeline, name).parameters())
            for name in ("transformer", "vae", "text_encoder")
        },
        "sheet": [text for _, text in pairs[:SHEET_ROWS]],
    }
    store.write_json("results.json", results)
    with tarfile.open(store.out / "ltx.tar", "w") as archive:
        archive.add(folder, arcname="ltx")
    store.log(
        "judge",
        done=True,
        attributes=guided["attributes"],
        unguided=unguided["attributes"],
        bytes=size,
    )


def contact_sheet(videos: torch.Tensor, texts: list[str], path: Path) -> None:
    """A picture of the first clips, each a row of some of its frames below its prompt."""
    save_sheet(videos[:SHEET_ROWS, :, list(SHEET_FRAMES)], texts[:SHEET_ROWS], path)
