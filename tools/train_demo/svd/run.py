"""The sequence of the stages."""

from __future__ import annotations

import time

import torch

from tools.train_demo.common.command import Command, wait
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.svd.judge import judge, probe
from tools.train_demo.svd.settings import FRAMES, PRESETS, Settings
from tools.train_demo.svd.unet import unet_trainer
from tools.train_demo.svd.vae import build_vae, encode_clips, fast_encoder, train_vae
from tools.train_demo.svd.vision import train_vision

__all__ = ["PRESETS", "STAGES", "run", "warm_up"]

STAGES = ("vision", "vae", "latents", "unet", "judge")

PUBLISHED = ("vision", "vae", "unet", "unet_ema")


def run(settings: Settings, command: Command) -> bool:
    """Run all stages up to `last`; False if the deadline came first."""
    store = Store(command.work, command.out, PUBLISHED)
    device, deadline = command.device, command.deadline
    store.log("start", device=command.device_name, torch=torch.__version__)
    if not train_vision(settings, store, device, deadline):
        return False
    if command.last == "vision":
        return True
    if not train_vae(settings, store, device, deadline):
        return False
    if command.last == "vae":
        return True
    data = encode_clips(settings, store, device)
    if command.last == "latents":
        return True
    trainer, unet = unet_trainer(settings, data, device)
    store.log("unet", parameters=unet.num_parameters())

    def judge_now(step: int) -> None:
        try:
            probe(settings, store, trainer.averaged(), device, step)
        except Exception as error:  # a look at the model must not end its training
            store.log("probe", failed=repr(error)[:500])

    if command.helper is not None and trainer.spent(store) < settings.budget_unet:
        store.log(
            "unet",
            waited_for_compiler=wait(command.helper),
            compiler_exit=command.helper.returncode,
        )
    budget = command.left(trainer.spent(store), settings.judge_seconds)
    if not trainer.train(store, deadline, lambda step: "", budget, settings.probes, judge_now):
        return False
    if command.last == "unet" or time.monotonic() > deadline - settings.judge_seconds + 10:
        return command.last == "unet"
    judge(settings, store, trainer.averaged(), device)
    return True


def warm_up(settings: Settings, command: Command) -> None:
    """Compile encoder and UNet on random data, to fill the cache on disk."""
    device, side = command.device, settings.latent_side
    begin = time.monotonic()
    batch, channels = settings.batch, settings.latent_channels
    data: Tensors = {
        "latents": torch.randn(batch, FRAMES, channels, side, side, device=device).bfloat16(),
        "pictures": torch.randn(
            batch, settings.noisings, channels, side, side, device=device
        ).bfloat16(),
        "tokens": torch.randn(batch, 1, settings.embedding, device=device),
        "strengths": torch.rand(batch, settings.noisings, device=device),
        "motions": torch.ones(batch, 2, device=device),
    }
    trainer, _ = unet_trainer(settings, data, device)
    trainer.step("")
    print(f"compiled the step of the UNet after {time.monotonic() - begin:.0f} s", flush=True)
    vae = build_vae(settings).to(device).requires_grad_(False)
    clips = torch.rand(
        settings.encode_batch,
        3,
        FRAMES + settings.noisings,
        settings.side,
        settings.side,
        device=device,
    )
    fast_encoder(vae, device)(clips)
    print(f"compiled the encoder after {time.monotonic() - begin:.0f} s", flush=True)
