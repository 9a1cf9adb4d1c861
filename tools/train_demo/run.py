"""The sequence of the stages."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import torch

from tools.train_demo.denoiser import Training, train_transformer
from tools.train_demo.judge import judge, probe
from tools.train_demo.settings import CAPTION_TOKENS, LATENT_SIZE, Settings
from tools.train_demo.store import Store
from tools.train_demo.text import AttributeReader, build_text_encoder, build_tokenizer, load_text, train_text
from tools.train_demo.vae import encode_clips, train_vae

JUDGE_SECONDS = 45.0  # kept free before the deadline when the transformer is done


def run(
    settings: Settings,
    work: Path,
    out: Path,
    device: torch.device,
    deadline: float,
    last: str,
    helper: subprocess.Popen[bytes] | None,
) -> bool:
    """Run all stages up to `last`; False if the deadline came first.

    Args:
        helper: a process that warms the compiler's cache; waited for before the transformer compiles.
    """
    store = Store(work, out)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    store.log("start", device=name, torch=torch.__version__)
    train_text(settings, store, device, deadline)
    if last == "text":
        return True
    if not train_vae(settings, store, device, deadline):
        return False
    if last == "vae":
        return True
    tokenizer, encoder, reader = load_text(settings, store, device)
    data = encode_clips(settings, store, tokenizer, device)
    if last == "latents":
        return True
    if helper is not None:
        store.log("transformer", waited_for_compiler=_wait(helper), compiler_exit=helper.returncode)
    training = Training(settings, encoder, reader, data, device)
    counts = {name: sum(p.numel() for p in model.parameters()) for name, model in training.models.items()}
    store.log("transformer", parameters=counts)

    def judge_now(step: int) -> float:
        return probe(settings, store, training.averaged(), device, step)

    if not train_transformer(settings, store, training, judge_now, deadline):
        return False
    if last == "transformer" or time.monotonic() > deadline - JUDGE_SECONDS:
        return last == "transformer"
    judge(settings, store, training.averaged(), device)
    return True


def warm_up(settings: Settings, work: Path, device: torch.device) -> None:
    """Compile the transformer's steps on made-up data, so that the cache on disk holds them."""
    begin = time.monotonic()
    tokens = LATENT_SIZE[0] * LATENT_SIZE[1] * LATENT_SIZE[2]
    clips = settings.batch
    data = {
        "latents": torch.randn(clips, tokens, settings.latent_channels, device=device).bfloat16(),
        "captions": torch.ones(clips, settings.captions_per_clip, CAPTION_TOKENS, dtype=torch.int16, device=device),
        "scenes": torch.zeros(clips, 6, dtype=torch.long, device=device),
    }
    vocabulary = build_tokenizer().get_vocab_size()
    encoder = build_text_encoder(settings, vocabulary).to(device)
    training = Training(settings, encoder, AttributeReader(settings.text_width).to(device), data, device)
    for image in (False, True):
        training.step(image)
        print(f"compiled {'image' if image else 'text'} steps after {time.monotonic() - begin:.0f} s", flush=True)


def _wait(helper: subprocess.Popen[bytes]) -> float:
    begin = time.monotonic()
    helper.wait()
    return time.monotonic() - begin
