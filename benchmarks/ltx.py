"""One step of the LTX-2B transformer, and the VAE both ways: filmstrip against diffusers on one device.

    python -m benchmarks.ltx --out benchmarks/results

Published sizes, random weights, the same in both libraries; bfloat16. Each library runs as it is and compiled
(`torch.compile` in its default mode: block by block for the transformer, encoder or decoder as a whole for the VAE).
Results go to `ltx.json`: medians of calls that take turns; the floor, which is the operations of the call over the rate
of a large matrix product in the same run, and each row's share of it; peak memory with weights; and how far each
result is from that of the same weights in float32.
"""

import argparse
import copy
import gc
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import diffusers
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import measure
from filmstrip.ltx.transformer import LTXVideoTransformer3DModel
from filmstrip.ltx.vae import AutoencoderKLLTXVideo

Config: TypeAlias = dict[str, Any]
Size: TypeAlias = tuple[int, int, int]  # frames, rows and columns of the latent video
Call: TypeAlias = Callable[[], torch.Tensor]

DTYPE = torch.bfloat16
CHANNELS_LAST = "compiled, channels-last"
CLASSES: dict[tuple[str, str], Callable[..., Any]] = {
    ("diffusers", "transformer"): diffusers.LTXVideoTransformer3DModel,
    ("diffusers", "vae"): diffusers.AutoencoderKLLTXVideo,
    ("filmstrip", "transformer"): LTXVideoTransformer3DModel,
    ("filmstrip", "vae"): AutoencoderKLLTXVideo,
}

TRANSFORMER = {  # LTX-Video 2B: the defaults of both classes, written out
    "in_channels": 128,
    "num_attention_heads": 32,
    "attention_head_dim": 64,
    "cross_attention_dim": 2048,
    "num_layers": 28,
    "caption_channels": 4096,
}
TOY_TRANSFORMER = TRANSFORMER | {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 16,
    "num_layers": 2,
    "caption_channels": 32,
}
VAE = {  # LTX-Video 0.9.5 and later
    "block_out_channels": (128, 256, 512, 1024, 2048),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "decoder_block_out_channels": (256, 512, 1024),
    "layers_per_block": (4, 6, 6, 2, 2),
    "decoder_layers_per_block": (5, 5, 5, 5),
    "spatio_temporal_scaling": (True,) * 4,
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
TOY_VAE = VAE | {
    "block_out_channels": (8, 16, 16, 16, 32),
    "decoder_block_out_channels": (8, 16, 32),
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1,) * 4,
}


class Step:
    """A transformer step, called as each library's pipeline calls it."""

    name, config, toy_config = "transformer", TRANSFORMER, TOY_TRANSFORMER
    modes = ("eager", "compiled")

    def __init__(self, config: Config, size: Size, rows: int, device: torch.device) -> None:
        self.latents = torch.randn(rows, prod(size), config["in_channels"], device=device, dtype=DTYPE)
        self.timestep = torch.full((rows,), 500.0, device=device)
        self.text = torch.randn(rows, 128, config["caption_channels"], device=device, dtype=DTYPE)
        self.mask = torch.zeros(rows, 128, dtype=torch.bool, device=device)
        self.mask[:, :12] = True  # a short negative prompt
        self.mask[-1, :80] = True  # a prompt of some sentences
        self.positions: dict[str, Any] = dict(zip(("num_frames", "height", "width"), size, strict=True))
        self.positions["rope_interpolation_scale"] = (8 / 25, 32, 32)  # seconds and pixels per latent

    def parts(self, model: Any) -> Iterable[nn.Module]:
        """What is compiled."""
        return model.transformer_blocks

    def prepare(self, model: Any) -> Any:
        """What filmstrip does once before the steps."""
        return model.prepare(self.text, self.mask, **self.positions)

    def call(self, library: str, model: Any) -> Call:
        """A step, with everything that it is given at hand."""
        dtype = model.dtype
        latents, text = self.latents.to(dtype), self.text.to(dtype)
        if library == "filmstrip":
            prepared = self.prepare(model)
            return lambda: model(latents, timestep=self.timestep, prepared=prepared, return_dict=False)[0]
        return lambda: model(latents, text, self.timestep, self.mask, return_dict=False, **self.positions)[0]


class Decode:
    """Latents to pixels."""

    name, config, toy_config = "vae", VAE, TOY_VAE
    modes = ("eager", "compiled", CHANNELS_LAST)

    def __init__(self, config: Config, size: Size, rows: int, device: torch.device) -> None:
        self.latents = torch.randn(rows, 128, *size, device=device, dtype=DTYPE)
        self.timestep = torch.full((rows,), 0.05, device=device, dtype=DTYPE)

    def parts(self, model: Any) -> Iterable[nn.Module]:
        """What is compiled."""
        return (model.decoder,)

    def call(self, library: str, model: Any) -> Call:
        """The decoding of given latents."""
        latents, timestep = self.latents.to(model.dtype), self.timestep.to(model.dtype)
        return lambda: model.decode(latents, timestep, return_dict=False)[0]


class Encode:
    """Pixels to the means of their latents."""

    name, config, toy_config = "vae", VAE, TOY_VAE
    modes = ("eager", "compiled")

    def __init__(self, config: Config, size: Size, rows: int, device: torch.device) -> None:
        frames, height, width = size
        pixels = (8 * (frames - 1) + 1, 32 * height, 32 * width)
        self.pixels = torch.rand(rows, 3, *pixels, device=device, dtype=DTYPE) * 2 - 1

    def parts(self, model: Any) -> Iterable[nn.Module]:
        """What is compiled."""
        return (model.encoder,)

    def call(self, library: str, model: Any) -> Call:
        """The encoding of given pixels."""
        pixels = self.pixels.to(model.dtype)
        return lambda: model.encode(pixels, return_dict=False)[0].mode()


Subject: TypeAlias = Step | Decode | Encode


@dataclass(frozen=True)
class Case:
    """One thing to measure, at one size."""

    name: str
    title: str
    subject: type[Step] | type[Decode] | type[Encode]
    size: Size
    rows: int = 1  # of the batch: 2 with classifier-free guidance


CASES = (
    Case("step_704x512x161_cfg", "LTX-2B step, 704×512×161, guidance", Step, (21, 16, 22), rows=2),
    Case("step_768x512x121", "LTX-2B step, 768×512×121, no guidance", Step, (16, 16, 24)),
    Case("decode_768x512x121", "LTX VAE 0.9.5, decode 768×512×121", Decode, (16, 16, 24)),
    Case("encode_768x512x121", "LTX VAE 0.9.5, encode 768×512×121", Encode, (16, 16, 24)),
)


@dataclass(frozen=True)
class Setting:
    """How a run is made."""

    device: torch.device
    toy: bool = False
    repeats: int = 10
    deadline: float = float("inf")  # on `time.monotonic`: nothing is compiled after it


def run_case(case: Case, setting: Setting, matmul_tflops: float) -> dict[str, Any]:
    """Measure both libraries in all modes. A row that fails says why, and does not stop the others."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = case.subject.toy_config if setting.toy else case.subject.config
    size = (2, 2, 3) if setting.toy else case.size
    subject = case.subject(config, size, case.rows, setting.device)

    base = build("diffusers", case, config, setting.device)
    truth, tflop = in_float32(base, subject)
    floor = tflop / matmul_tflops
    rows: list[dict[str, Any]] = []
    calls: dict[str, Call] = {}
    for library, mode in [*product(("diffusers",), subject.modes), *product(("filmstrip",), subject.modes[:2])]:
        name = f"{library} {mode}"
        measure.say(f"  {name}")
        rows.append({"library": library, "mode": mode})
        if mode != "eager" and time.monotonic() > setting.deadline:
            rows[-1]["error"] = "left out: the time for this run was up"
            continue
        try:
            model = build(library, case, config, setting.device)
            model.load_state_dict(base.state_dict())
            in_mode(mode, model, subject, setting)
            calls[name], found = run_once(library, model, subject, truth, setting)
            rows[-1] |= found
        except Exception as error:
            rows[-1]["error"] = f"{type(error).__name__}: {error}"[:500]
    times = measure.in_turns(calls, setting.device, 2, setting.repeats)
    for row, taken in ((row, times.get(f"{row['library']} {row['mode']}")) for row in rows):
        if taken:
            row |= taken | {"share_of_floor": floor / taken["median_s"]}
    about = {"name": case.name, "title": case.title, "size": size, "batch": case.rows}
    return about | {"tflop": tflop, "floor_s": floor, "rows": rows}


def run_once(
    library: str, model: Any, subject: Subject, truth: torch.Tensor, setting: Setting
) -> tuple[Call, dict[str, Any]]:
    """The call to be timed, and what is measured of it by itself: first call, error, memory, preparation."""
    call = subject.call(library, model)
    found: dict[str, Any] = {"first_s": measure.wall_seconds(call, setting.device)}
    found["error_against_float32"] = measure.relative_error(call(), truth)
    found["peak_gib"] = measure.peak_gib(lambda: subject.call(library, model)(), setting.device, model)
    if library == "filmstrip" and isinstance(subject, Step):
        taken = measure.in_turns({"prepare": lambda: subject.prepare(model)}, setting.device, 2, setting.repeats)
        found["prepare_s"] = taken["prepare"]["median_s"]
    return call, found


def build(library: str, case: Case, config: Config, device: torch.device) -> Any:
    """A model with random weights, in the dtype of the benchmark."""
    with torch.device(device):
        return CLASSES[library, case.subject.name](**config).eval().to(DTYPE)


def in_mode(mode: str, model: Any, subject: Subject, setting: Setting) -> None:
    """Lay out and compile a model as the mode says. A toy run compiles for show."""
    if mode == CHANNELS_LAST:
        model.to(memory_format=torch.channels_last_3d)
    if mode != "eager":
        for part in subject.parts(model):
            part.compile(dynamic=False, backend="eager" if setting.toy else "inductor")


def in_float32(base: Any, subject: Subject) -> tuple[torch.Tensor, float]:
    """What the same weights give in float32, by diffusers, and the operations of that call in 10^12."""
    model = copy.deepcopy(base).float()
    call = subject.call("diffusers", model)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False), FlopCounterMode(display=False) as counter:
        truth = call()
    return truth, counter.get_total_flops() / measure.TERA


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and write `ltx.json` after each. Returns 1 if a row has failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ltx", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="run only this one")
    parser.add_argument("--repeats", type=int, default=10, help="calls of which the median is taken")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="compile nothing after so long")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--toy", action="store_true", help="tiny models, nothing compiled: tries the benchmark itself")
    given = parser.parse_args(arguments)
    setting = Setting(torch.device(given.device), given.toy, given.repeats, time.monotonic() + 60 * given.minutes)
    words = sys.argv[1:] if arguments is None else list(arguments)

    result: dict[str, Any] = measure.environment(f"python -m benchmarks.ltx {shlex.join(words)}", setting.device)
    result |= {"toy": given.toy, "repeats": given.repeats, "dtype": str(DTYPE).removeprefix("torch.")}
    result["ceilings"] = measure.ceilings(setting.device, DTYPE, given.toy)
    result["cases"] = []
    diffusers.utils.logging.set_verbosity_error()  # it warns of every cast
    with torch.inference_mode():
        for case in CASES:
            if given.case and case.name not in given.case:
                continue
            measure.say(case.title)
            result["cases"].append(run_case(case, setting, result["ceilings"]["matmul_tflops"]))
            measure.write_json(given.out / "ltx.json", result)
            gc.collect()
            if setting.device.type == "cuda":
                torch.cuda.empty_cache()
    failed = [row for case in result["cases"] for row in case["rows"] if "error" in row]
    for row in failed:
        measure.say(f"{row['library']} {row['mode']}: {row['error']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
