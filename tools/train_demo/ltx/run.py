"""The sequence of the stages."""

from __future__ import annotations

import time

import torch
from tokenizers import Tokenizer
from transformers import T5EncoderModel

from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from tools.train_demo.common.command import Command, wait
from tools.train_demo.common.store import Store, Tensors
from tools.train_demo.ltx.conditioned_clips import encode_conditioned_clips, random_data
from tools.train_demo.ltx.conditions import conditions_trainer, step_type_of
from tools.train_demo.ltx.denoiser import split_weights, transformer_trainer
from tools.train_demo.ltx.embedded import take_embedded
from tools.train_demo.ltx.judge import judge, probe, swaps
from tools.train_demo.ltx.settings import CAPTION_TOKENS, LATENT_SIZE, PRESETS, Settings
from tools.train_demo.ltx.text import (
    AttributeReader,
    build_text_encoder,
    build_tokenizer,
    load_text,
    train_text,
)
from tools.train_demo.ltx.upsampler import raise_latents, train_upsampler
from tools.train_demo.ltx.vae import encode_clips, load_vae, train_vae

__all__ = ["PRESETS", "STAGES", "run", "warm_up"]

BASE_STAGES = (
    "text",
    "vae",
    "latents",
    "transformer",
)  # a model that makes videos from texts and first frames
STAGES = (*BASE_STAGES, "upsampler", "conditions", "judge")
PUBLISHED = ("vae", "base", "upsampler", "upsampler_ema", "conditions", "conditions_ema")


def run(settings: Settings, command: Command) -> bool:
    """Run all stages up to `last`; False if the deadline came first.

    Raises:
        SystemExit: the text is not bound to the picture: colours are swapped as not.
    """
    published = [
        name for name in PUBLISHED if not command.from_embedded or name not in ("vae", "base")
    ]
    store = Store(command.work, command.out, published)
    device, deadline = command.device, command.deadline
    store.log("start", device=command.device_name, torch=torch.__version__)
    if command.from_embedded:
        take_embedded(store)
    saved = store.load("base")
    if saved is None:
        if not train_base(settings, store, command):
            return False
        saved = store.load("base")
    if command.last in BASE_STAGES or saved is None:
        return True

    weights = split_weights(saved[0])
    transformer, encoder, tokenizer = load_base(settings, store, weights, device)
    vae = load_vae(settings, store, device)
    data = encode_conditioned_clips(settings, store, vae, tokenizer, device)
    upsampler = train_upsampler(settings, store, vae, data["large"], device, deadline)
    if upsampler is None or command.last == "upsampler":
        return upsampler is not None
    weights["upsampler"] = upsampler.state_dict()
    data["large"]["raised"] = raise_latents(vae, upsampler, data["large"]["small"])
    trainer = conditions_trainer(settings, transformer, encoder, data, device)

    def weights_now() -> dict[str, Tensors]:
        return weights | {"transformer": trainer.averaged()}

    def judge_now(step: int) -> None:
        try:
            probe(settings, store, weights_now(), device, step)
        except Exception as error:  # a look at the model must not end its training
            store.log("probe", failed=repr(error)[:500])

    await_compiler(store, command, trainer.spent(store) < settings.budget_conditions)
    budget = command.left(trainer.spent(store), settings.judge_seconds)
    if not trainer.train(store, deadline, step_type_of, budget, settings.tuned_probes, judge_now):
        return False
    if command.last == "conditions" or time.monotonic() > deadline - settings.judge_seconds + 10:
        return command.last == "conditions"
    judge(settings, store, weights_now(), device)
    return True


def train_base(settings: Settings, store: Store, command: Command) -> bool:
    """Run the base's stages, up to `command.last`; False if the deadline came first."""
    device, deadline = command.device, command.deadline
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
        swapped = swaps(settings, store, split_weights(trainer.averaged()), device, step)
        if step == settings.swap_step and swapped > settings.swap_limit:
            raise SystemExit(
                f"Stopped at step {step}: colours of object and background are swapped in "
                f"{swapped:.0%} of the "
                "clips, so the text encoder does not bind them. Train the text stage longer and "
                "start again."
            )

    def step_type_of_base(step: int) -> str:
        return "image" if step % settings.image_every == settings.image_every - 1 else "text"

    await_compiler(store, command, trainer.spent(store) < settings.budget_transformer)
    if not trainer.train(
        store, deadline, step_type_of_base, probes=settings.probe_steps, probe=judge_now
    ):
        return False
    store.save("base", {k: v for k, v in trainer.averaged().items() if not k.startswith("reader.")})
    return True


def load_base(
    settings: Settings, store: Store, weights: dict[str, Tensors], device: torch.device
) -> tuple[LTXVideoTransformer3DModel, T5EncoderModel, Tokenizer]:
    """Load transformer, text encoder and tokenizer from the results of the base's stages."""
    tokenizer = Tokenizer.from_file(str(store.work / "tokenizer.json"))
    transformer = LTXVideoTransformer3DModel(**settings.transformer_config())
    transformer.load_state_dict(weights["transformer"])
    encoder = build_text_encoder(settings, tokenizer.get_vocab_size())
    encoder.load_state_dict(weights["encoder"], strict=False)
    return transformer.to(device), encoder.to(device).eval(), tokenizer


def await_compiler(store: Store, command: Command, needed: bool) -> None:
    """Wait for the process that compiles meanwhile, if its work is needed."""
    if command.helper is not None and needed:
        store.log("compiler", waited=wait(command.helper), exit=command.helper.returncode)


def warm_up(settings: Settings, command: Command) -> None:
    """Compile the steps of the first transformer to train on random data, so that the cache on
    disk holds them.
    """
    begin, device = time.monotonic(), command.device
    vocabulary = build_tokenizer().get_vocab_size()
    encoder = build_text_encoder(settings, vocabulary).to(device)
    if command.from_embedded:
        transformer = LTXVideoTransformer3DModel(**settings.transformer_config()).to(device)
        trainer = conditions_trainer(
            settings, transformer, encoder, random_data(settings, device), device
        )
    else:
        tokens = LATENT_SIZE[0] * LATENT_SIZE[1] * LATENT_SIZE[2]
        clips, wordings = settings.batch, settings.captions_per_clip
        data = {
            "latents": torch.randn(
                clips, tokens, settings.latent_channels, device=device
            ).bfloat16(),
            "captions": torch.ones(
                clips, wordings, CAPTION_TOKENS, dtype=torch.int16, device=device
            ),
            "scenes": torch.zeros(clips, 6, dtype=torch.long, device=device),
        }
        reader = AttributeReader(settings.text_width).to(device)
        trainer, _ = transformer_trainer(settings, encoder, reader, data, device)
    for step_type in trainer.losses:
        trainer.step(step_type)
        print(f"compiled {step_type} steps after {time.monotonic() - begin:.0f} s", flush=True)
