"""Training the demo's transformer together with its text encoder, by flow matching.

One whole step, from the draw of the data to the moving average, is captured in a CUDA graph: a model this small
would otherwise wait for Python. There are two kinds of step. In a text step all tokens are equally noisy. In an
image step the first latent frame is clean and at timestep 0, and only the others are predicted, so that the model
can later be given a picture to start from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import T5EncoderModel

from filmstrip.ltx.rope import BASE_SIZE, Rotation
from filmstrip.ltx.transformer import LTXPrepared, LTXVideoTransformer3DModel
from tools.train_demo.optim import Average, Muon, adam_state, load_adam
from tools.train_demo.settings import CAPTION_TOKENS, FRAME_RATE, LATENT_SIZE, TEXT_TOKENS, Settings
from tools.train_demo.store import Clock, Store, Tensors
from tools.train_demo.text import MASKED, AttributeReader, encode_captions

EMPTY_SHARE = 0.1  # of captions
MASKED_SHARE = 0.5  # of captions that T5 sees with a mask
TIME_MEAN, TIME_DEVIATION, UNIFORM_SHARE = 0.6, 1.2, 0.15  # noise levels: sigmoid of a normal, or uniform
READER_WEIGHT = 0.1  # of naming the attributes, which keeps T5's colours bound
LOG_EVERY = 250
Step = Callable[[], object]


def position_table(transformer: LTXVideoTransformer3DModel, settings: Settings, device: torch.device) -> Rotation:
    """Cosines and sines (P, N, C / 2) of the positions that training meets, the usual ones most often.

    Most are those of the text pipeline at 25 frames a second; some are of other rates, and some have the first frame
    alone in time, as the conditioned pipelines place it.
    """
    temporal, spatial = (
        settings.vae_config()["temporal_compression_ratio"],
        settings.vae_config()["spatial_compression_ratio"],
    )
    pixels = transformer.rope.grid(*LATENT_SIZE, (temporal, spatial, spatial), device)  # in units of the base size
    causal = pixels.clone()
    causal[..., 0] = (causal[..., 0] * BASE_SIZE[0] + 1 - temporal).clamp(min=0) / BASE_SIZE[0]
    chosen = [(pixels, FRAME_RATE)] * 12 + [(causal, FRAME_RATE)] * 3 + [(pixels, rate) for rate in (8, 12, 16, 24, 30)]
    scales = [(grid, torch.tensor([1 / rate, 1, 1], device=device)) for grid, rate in chosen]
    return transformer.rope(torch.cat([grid * scale for grid, scale in scales]))


def predict(
    transformer: LTXVideoTransformer3DModel,
    noisy: torch.Tensor,
    timestep: torch.Tensor,
    text: torch.Tensor,
    bias: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
) -> torch.Tensor:
    """The transformer's prediction (B, N, C) with given rotations of the positions."""
    prepared = transformer.prepare(text, bias, *LATENT_SIZE)
    prepared = LTXPrepared((cos, sin), prepared.keys_values, prepared.bias)
    return transformer(noisy, timestep=timestep, prepared=prepared, return_dict=False)[0]


class Training:
    """The models, their optimisers and averages, and one step of each kind.

    Args:
        data: `latents`, `captions` and `scenes` of the clips, on the device.
    """

    def __init__(
        self, settings: Settings, encoder: T5EncoderModel, reader: AttributeReader, data: Tensors, device: torch.device
    ) -> None:
        self.settings, self.data, self.device = settings, data, device
        self.transformer = LTXVideoTransformer3DModel(**settings.transformer_config()).to(device)
        nn.init.zeros_(self.transformer.proj_out.weight)
        nn.init.zeros_(self.transformer.proj_out.bias)
        self.encoder, self.reader = encoder, reader
        self.models = nn.ModuleDict({"transformer": self.transformer, "encoder": encoder, "reader": reader})
        self.positions = position_table(self.transformer, settings, device)
        self.predict = torch.compile(predict, dynamic=False) if device.type == "cuda" else predict

        matrices = [p for p in self.transformer.transformer_blocks.parameters() if p.ndim == 2 and min(p.shape) > 8]
        of_muon = {id(p) for p in matrices}
        rest = [p for p in self.transformer.parameters() if id(p) not in of_muon]
        words = [*encoder.parameters(), *reader.parameters()]
        self.muon = Muon(matrices)
        self.rate = torch.tensor(0.0, device=device)
        on_gpu = device.type == "cuda"
        self.adam = torch.optim.AdamW(
            [
                {"params": rest, "lr": torch.tensor(0.0, device=device)},
                {"params": words, "lr": torch.tensor(0.0, device=device)},
            ],
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=True,
            capturable=on_gpu,
        )
        self.parameters = dict(self.models.named_parameters())
        self.average = Average(list(self.parameters.values()))
        self.average_weight = torch.tensor(0.0, device=device)
        self.sums = torch.zeros(4, device=device)  # text steps: loss, count; image steps: loss, count
        self.reader_sum = torch.zeros((), device=device)

    def step(self, image: bool) -> None:
        """One optimiser step on a fresh batch. Everything that it needs lies on the device."""
        for parameter in self.parameters.values():
            parameter.grad = None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False):
            loss, reading = self._losses(image)
        (loss + READER_WEIGHT * reading).backward()
        nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0, foreach=True)
        self.muon.step(self.rate)
        self.adam.step()
        self.average.update(self.average_weight)
        column = 2 if image else 0
        self.sums[column] += loss.detach()
        self.sums[column + 1] += 1
        self.reader_sum += reading.detach()

    def _losses(self, image: bool) -> tuple[torch.Tensor, torch.Tensor]:
        settings, device, data = self.settings, self.device, self.data
        batch = settings.batch
        row = torch.randint(len(data["latents"]), (batch,), device=device)
        wording = torch.randint(data["captions"].shape[1], (batch,), device=device)
        clean = data["latents"][row].float()
        empty = torch.rand(batch, device=device) < EMPTY_SHARE
        ids = nn.functional.pad(data["captions"][row, wording].long(), (0, TEXT_TOKENS - CAPTION_TOKENS))
        nothing = torch.zeros(TEXT_TOKENS, dtype=torch.long, device=device)
        nothing[0].fill_(1)  # "</s>"
        ids = torch.where(empty[:, None], nothing, ids)

        text = encode_captions(self.encoder, ids, torch.rand(batch, device=device) < MASKED_SHARE)
        reading = self.reader.loss(text, ids != 0, data["scenes"][row], (~empty).float())
        text = text[:, :CAPTION_TOKENS]
        bias = ((ids[:, :CAPTION_TOKENS] == 0) * MASKED)[:, None]

        level = torch.sigmoid(TIME_MEAN + TIME_DEVIATION * torch.randn(batch, device=device))
        level = torch.where(torch.rand(batch, device=device) < UNIFORM_SHARE, torch.rand(batch, device=device), level)[
            :, None
        ]
        given = LATENT_SIZE[1] * LATENT_SIZE[2] if image else 0
        if image:
            later = torch.arange(clean.shape[1], device=device) >= given
            level = level * later
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, level[..., None])
        place = torch.randint(len(self.positions[0]), (1,), device=device)
        cos, sin = (table[place] for table in self.positions)
        prediction = self.predict(self.transformer, noisy, level * 1000, text, bias.to(text.dtype), cos, sin)
        error = prediction.float() - (noise - clean)
        return error[:, given:].square().mean(), reading

    def set_rate(self, rate: float, step: int) -> None:
        """Fill in what changes from step to step."""
        self.rate.fill_(rate)
        for group, share in zip(self.adam.param_groups, (1.0, self.settings.text_rate_joint), strict=True):
            group["lr"].fill_(rate * share)
        self.average_weight.fill_(1 - min(self.settings.ema, (1 + step) / (10 + step)))

    def averaged(self) -> dict[str, Tensors]:
        """State dicts of the averaged transformer and encoder."""
        result: dict[str, Tensors] = {"transformer": {}, "encoder": {}, "reader": {}}
        for name, value in zip(self.parameters, self.average.values, strict=True):
            model, key = name.split(".", 1)
            result[model][key] = value
        return result

    def save(self, store: Store, step: int, spent: float) -> None:
        facts = {"step": step, "spent": spent}
        store.save("transformer", dict(self.parameters), **facts)
        store.save("ema", dict(zip(self.parameters, self.average.values, strict=True)), **facts)
        store.save("optimizer", self.muon.state() | adam_state(self.adam), **facts)

    def load(self, store: Store) -> tuple[int, float]:
        """Go on from the last save, if there is one: (step, seconds spent). Optimisers may start anew."""
        if (saved := store.load("transformer")) is None:
            return 0, 0.0
        tensors, facts = saved
        averages, _ = store.load("ema") or saved
        with torch.no_grad():
            for (name, parameter), mean in zip(self.parameters.items(), self.average.values, strict=True):
                parameter.copy_(tensors[name])
                mean.copy_(averages[name])
        if (optimizers := store.load("optimizer")) is not None and optimizers[1]["step"] == facts["step"]:
            self.muon.load(optimizers[0])
            load_adam(self.adam, optimizers[0])
        return facts["step"], facts["spent"]


def capture(step: Step, device: torch.device, store: Store) -> Step:
    """The step as one replay of a CUDA graph; the step itself on a CPU, or where it cannot be captured."""
    if device.type != "cuda":
        return step
    begin = time.monotonic()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    compiled = time.monotonic() - begin
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except RuntimeError as error:
        store.log("transformer", capture_failed=str(error)[:500], compiled=compiled)
        torch.cuda.synchronize()
        return step
    store.log("transformer", captured=time.monotonic() - begin, compiled=compiled)
    return graph.replay


def train_transformer(
    settings: Settings,
    store: Store,
    training: Training,
    probe: Callable[[int], float],
    deadline: float,
) -> bool:
    """Train, or go on; True when the budget is spent.

    Args:
        probe: judges the averaged model at a step and returns the rate of swapped colours.

    Raises:
        SystemExit: the text is not bound to the picture: colours are swapped as often as not.
    """
    step, spent = training.load(store)
    if spent >= settings.budget_transformer:
        return True
    torch.manual_seed(1000 + step)
    training.set_rate(0.0, step)
    steps = {
        image: capture(lambda image=image: training.step(image), training.device, store) for image in (False, True)
    }
    clock = Clock(settings.budget_transformer, spent, deadline)
    saved_at = logged_at = time.monotonic()
    training.sums.zero_(), training.reader_sum.zero_()
    while not clock.done and not clock.out_of_time:
        cosine = 0.5 * (1 + math.cos(math.pi * clock.progress))
        training.set_rate(settings.rate * min((step + 1) / settings.warm_up, 1.0) * max(cosine, 0.005), step)
        steps[step % settings.image_every == settings.image_every - 1]()
        step += 1
        if step % LOG_EVERY == 0:
            sums = training.sums.tolist()
            now = time.monotonic()
            store.log(
                "transformer",
                step=step,
                spent=clock.spent,
                text_loss=sums[0] / max(sums[1], 1),
                image_loss=sums[2] / max(sums[3], 1),
                reader_loss=training.reader_sum.item() / LOG_EVERY,
                steps_per_second=LOG_EVERY / (now - logged_at),
            )
            logged_at = now
            training.sums.zero_(), training.reader_sum.zero_()
        if step in settings.probe_steps:
            swapped = probe(step)
            logged_at = time.monotonic()
            if step == settings.swap_step and swapped > settings.swap_limit:
                training.save(store, step, clock.spent)
                raise SystemExit(
                    f"Stopped at step {step}: colours of object and background are swapped in {swapped:.0%} of the "
                    "clips, so the text encoder does not bind them. Train the text stage longer and start again."
                )
        if time.monotonic() - saved_at > settings.save_every:
            training.save(store, step, clock.spent)
            saved_at = time.monotonic()
    training.save(store, step, clock.spent)
    store.log("transformer", step=step, spent=clock.spent, done=clock.done)
    return clock.done
