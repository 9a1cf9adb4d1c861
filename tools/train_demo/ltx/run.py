"""The sequence of the stages."""

from __future__ import annotations

import time

import torch

from tools.train_demo.common.command import Command, wait
from tools.train_demo.common.store import Store
from tools.train_demo.ltx.denoiser import split_weights, transformer_trainer
from tools.train_demo.ltx.judge import judge, probe
from tools.train_demo.ltx.settings import CAPTION_TOKENS, LATENT_SIZE, PRESETS, Settings
from tools.train_demo.ltx.text import AttributeReader, build_text_encoder, build_tokenizer, load_text, train_text
from tools.train_demo.ltx.vae import encode_clips, train_vae

__all__ = ["PRESETS", "STAGES", "run", "warm_up"]

STAGES = ("text", "vae", "latents", "transformer", "judge")
PUBLISHED = ("vae", "transformer", "transformer_ema", "transformer_optimizer")


def run(settings: Settings, command: Command) -> bool:
    """Run all stages up to the last that is asked for; False if the deadline came first.

    Raises:
        SystemExit: the text is not bound to the picture: colours are swapped as often as not.
    """
    store = Store(command.work, command.out, PUBLISHED)
    device, deadline = command.device, command.deadline
    store.log("start", device=command.device_name, torch=torch.__version__)
    train_text(settings, store, device, deadline)
    if command.last == "text":
        return True
    if not train_vae(settings, store, device, deadline):
        return False
    if command.last == "vae":
        return True
    tokenizer, encoder, reader = load_text(settings, store, device)
    data = encode_clips(settings, store, tokenizer, device)
    if command.last == "latents":
        return True
    trainer, models = transformer_trainer(settings, encoder, reader, data, device)
    counts = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    store.log("transformer", parameters=counts)

    def judge_now(step: int) -> None:
        swapped = probe(settings, store, split_weights(trainer.averaged()), device, step)
        if step == settings.swap_step and swapped > settings.swap_limit:
            raise SystemExit(
                f"Stopped at step {step}: colours of object and background are swapped in {swapped:.0%} of the "
                "clips, so the text encoder does not bind them. Train the text stage longer and start again."
            )

    def kind(step: int) -> str:
        return "image" if step % settings.image_every == settings.image_every - 1 else "text"

    if command.helper is not None and trainer.spent(store) < settings.budget_transformer:
        store.log("transformer", waited_for_compiler=wait(command.helper), compiler_exit=command.helper.returncode)
    budget = command.left(trainer.spent(store), settings.judge_seconds)
    if not trainer.train(store, deadline, kind, budget, settings.probe_steps, judge_now):
        return False
    if command.last == "transformer" or time.monotonic() > deadline - settings.judge_seconds + 10:
        return command.last == "transformer"
    judge(settings, store, split_weights(trainer.averaged()), device)
    return True


def warm_up(settings: Settings, command: Command) -> None:
    """Compile the transformer's steps on made-up data, so that the cache on disk holds them."""
    begin, device = time.monotonic(), command.device
    tokens = LATENT_SIZE[0] * LATENT_SIZE[1] * LATENT_SIZE[2]
    clips = settings.batch
    data = {
        "latents": torch.randn(clips, tokens, settings.latent_channels, device=device).bfloat16(),
        "captions": torch.ones(clips, settings.captions_per_clip, CAPTION_TOKENS, dtype=torch.int16, device=device),
        "scenes": torch.zeros(clips, 6, dtype=torch.long, device=device),
    }
    vocabulary = build_tokenizer().get_vocab_size()
    encoder = build_text_encoder(settings, vocabulary).to(device)
    reader = AttributeReader(settings.text_width).to(device)
    trainer, _ = transformer_trainer(settings, encoder, reader, data, device)
    for kind in trainer.losses:
        trainer.step(kind)
        print(f"compiled {kind} steps after {time.monotonic() - begin:.0f} s", flush=True)
