"""Time a step of the LTX-2B transformer, and the VAE's encoder and decoder, in both libraries.

    python -m benchmarks.ltx --out benchmarks/results

filmstrip and diffusers run on one device, with published sizes and the same random weights in
bfloat16, eager and compiled (`torch.compile` in its default mode: block by block for the
transformer, encoder or decoder as a whole for the VAE).

Results go to `ltx.json`: medians of calls that take turns; the floor, which is the number of
operations over the rate of a large matrix product in the same run, and the fraction of each median
that it is; peak memory with weights; and the relative error against the same weights in float32.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import product
from math import prod
from typing import Any

import diffusers
import torch
from torch import nn

from benchmarks.compare import CHANNELS_LAST, Call, Case, Config, Size, Workload, run
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel

DTYPE = torch.bfloat16
TRANSFORMERS = {
    "diffusers": diffusers.LTXVideoTransformer3DModel,
    "filmstrip": LTXVideoTransformer3DModel,
}
AUTOENCODERS = {"diffusers": diffusers.AutoencoderKLLTXVideo, "filmstrip": AutoencoderKLLTXVideo}

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


class Step(Workload):
    """A transformer step, called as the library's pipeline calls it."""

    classes = TRANSFORMERS
    config = TRANSFORMER
    toy_config = TOY_TRANSFORMER

    def __init__(self, config: Config, size: Size, batch_size: int, device: torch.device) -> None:
        self.latents = torch.randn(
            batch_size, prod(size), config["in_channels"], device=device, dtype=DTYPE
        )
        self.timestep = torch.full((batch_size,), 500.0, device=device)
        self.text = torch.randn(
            batch_size, 128, config["caption_channels"], device=device, dtype=DTYPE
        )
        self.mask = torch.zeros(batch_size, 128, dtype=torch.bool, device=device)
        self.mask[:, :12] = True  # a short negative prompt
        self.mask[-1, :80] = True  # a prompt of some sentences
        self.positions: dict[str, Any] = dict(
            zip(("num_frames", "height", "width"), size, strict=True)
        )
        # Seconds and pixels per latent.
        self.positions["rope_interpolation_scale"] = (8 / 25, 32, 32)

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""
        return model.transformer_blocks

    def prepare(self, model: Any) -> Any:
        """Compute what does not depend on the timestep."""
        return model.prepare(self.text, self.mask, **self.positions)

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that runs one step."""
        dtype = model.dtype
        latents = self.latents.to(dtype)
        text = self.text.to(dtype)
        if library == "filmstrip":
            prepared = self.prepare(model)
            return lambda: model(
                latents, timestep=self.timestep, prepared=prepared, return_dict=False
            )[0]
        return lambda: model(
            latents, text, self.timestep, self.mask, return_dict=False, **self.positions
        )[0]


class Decode(Workload):
    """Decoding of latents to pixels."""

    classes = AUTOENCODERS
    config = VAE
    toy_config = TOY_VAE

    def __init__(self, config: Config, size: Size, batch_size: int, device: torch.device) -> None:
        self.latents = torch.randn(batch_size, 128, *size, device=device, dtype=DTYPE)
        self.timestep = torch.full((batch_size,), 0.05, device=device, dtype=DTYPE)

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""
        return (model.decoder,)

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that decodes the latents."""
        latents = self.latents.to(model.dtype)
        timestep = self.timestep.to(model.dtype)
        return lambda: model.decode(latents, timestep, return_dict=False)[0]


class Encode(Workload):
    """Encoding of pixels to the means of their latents."""

    classes = AUTOENCODERS
    config = VAE
    toy_config = TOY_VAE

    def __init__(self, config: Config, size: Size, batch_size: int, device: torch.device) -> None:
        frames, height, width = size
        pixels = (8 * (frames - 1) + 1, 32 * height, 32 * width)
        self.pixels = torch.rand(batch_size, 3, *pixels, device=device, dtype=DTYPE) * 2 - 1

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""
        return (model.encoder,)

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that encodes the pixels."""
        pixels = self.pixels.to(model.dtype)
        return lambda: model.encode(pixels, return_dict=False)[0].mode()


CASES = (
    Case(
        "step_704x512x161_cfg",
        "LTX-2B step, 704×512×161, guidance",
        Step,
        (21, 16, 22),
        batch_size=2,
    ),
    Case("step_768x512x121", "LTX-2B step, 768×512×121, no guidance", Step, (16, 16, 24)),
    Case("decode_768x512x121", "LTX VAE 0.9.5, decode 768×512×121", Decode, (16, 16, 24)),
    Case("encode_768x512x121", "LTX VAE 0.9.5, encode 768×512×121", Encode, (16, 16, 24)),
)

VARIANTS = [*product(("diffusers", "filmstrip"), ("eager", "compiled"))]
PLAN = [
    (case, [*VARIANTS, ("diffusers", CHANNELS_LAST)] if case.workload is Decode else VARIANTS)
    for case in CASES
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and write `ltx.json` after each; 1 if a row has failed."""
    return run("ltx", __doc__, DTYPE, PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
