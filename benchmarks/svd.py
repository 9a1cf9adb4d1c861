"""Time a step of the SVD-XT UNet, and the decoding of its 25 frames, in both libraries.

    python -m benchmarks.svd --out benchmarks/results

filmstrip and diffusers run on one device, with published sizes and the same random weights in
float16: first eager, then compiled (`torch.compile` in its default mode: the UNet or the decoder as
a whole), as far as `--minutes` allows. Frames are decoded by each pipeline's method, all at once,
which is diffusers' default, and a few at a time, which takes less memory.

Results go to `svd.json`, with the fields of `benchmarks.ltx`. The error against float32 is computed
at the full size for the UNet. For the decoder it is computed with fewer frames or fewer pixels,
since diffusers needs too much memory for it in float32.
"""

import sys
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from torch import nn

from benchmarks.compare import COMPILED, EAGER, Call, Case, Config, Size, Workload, run
from filmstrip.svd.models.autoencoder import AutoencoderKLTemporalDecoder
from filmstrip.svd.models.unet import UNetSpatioTemporalConditionModel
from filmstrip.svd.pipelines.decode import decode_latents

DTYPE = torch.float16
UNETS = {
    "diffusers": diffusers.UNetSpatioTemporalConditionModel,
    "filmstrip": UNetSpatioTemporalConditionModel,
}
AUTOENCODERS = {
    "diffusers": diffusers.AutoencoderKLTemporalDecoder,
    "filmstrip": AutoencoderKLTemporalDecoder,
}
# Frames that are decoded at a time: five chunks of one shape, so that one compilation suffices.
CHUNK = 5

UNET = {  # SVD-XT
    "sample_size": 96,
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 768,
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "transformer_layers_per_block": 1,
    "num_attention_heads": (5, 10, 20, 20),
    "num_frames": 25,
}
TOY_UNET = UNET | {
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "block_out_channels": (32, 64),
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "num_attention_heads": (2, 4),
}
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
    "scaling_factor": 0.18215,
    "force_upcast": True,
}
TOY_VAE = VAE | {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
}


class Step(Workload):
    """A step of the UNet, called as the library's pipeline calls it."""

    classes = UNETS
    config = UNET
    toy_config = TOY_UNET

    def __init__(self, config: Config, size: Size, batch_size: int, device: torch.device) -> None:
        frames, height, width = size
        self.latents = torch.randn(
            batch_size, frames, config["in_channels"], height, width, device=device, dtype=DTYPE
        )
        self.timestep = torch.tensor(0.25, device=device)  # continuous: log(sigma) / 4
        self.picture = torch.randn(
            batch_size, 1, config["cross_attention_dim"], device=device, dtype=DTYPE
        )
        # fps - 1, motion bucket, noise augmentation.
        self.time_ids = torch.tensor([[6, 127, 0.02]] * batch_size, device=device, dtype=DTYPE)

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""
        return (model,)

    def prepare(self, model: Any) -> Any:
        """Compute what does not depend on the timestep."""
        picture = self.picture.to(model.dtype)
        time_ids = self.time_ids.to(model.dtype)
        return model.prepare(picture, time_ids, self.latents.shape[1])

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that runs one step."""
        latents, picture, time_ids = (
            x.to(model.dtype) for x in (self.latents, self.picture, self.time_ids)
        )
        if library == "filmstrip":
            prepared = self.prepare(model)
            return lambda: model(latents, self.timestep, return_dict=False, prepared=prepared)[0]
        return lambda: model(latents, self.timestep, picture, time_ids, return_dict=False)[0]


class Decode(Workload):
    """Decoding of latents to float32 frames, all at once, by each pipeline's method."""

    classes = AUTOENCODERS
    config = VAE
    toy_config = TOY_VAE
    chunk: int | None = None  # frames at a time

    def __init__(self, config: Config, size: Size, batch_size: int, device: torch.device) -> None:
        frames, height, width = size
        self.latents = torch.randn(
            batch_size, frames, config["latent_channels"], height, width, device=device, dtype=DTYPE
        )

    def modules_to_compile(self, model: Any) -> Iterable[nn.Module]:
        """The modules that are compiled, each by itself."""
        return (model.decoder,)

    def make_call(self, library: str, model: Any) -> Call:
        """Make a function that decodes the latents."""
        latents = self.latents.to(model.dtype)
        frames = self.latents.shape[1]
        chunk = self.chunk or frames
        if library == "filmstrip":
            return lambda: decode_latents(model, latents, chunk)
        pipeline: Any = SimpleNamespace(vae=model)
        return lambda: diffusers.StableVideoDiffusionPipeline.decode_latents(
            pipeline, latents, frames, chunk
        )


class DecodeInChunks(Decode):
    """Decoding of a few frames at a time."""

    chunk = CHUNK


SIZE = (25, 72, 128)
STEP = Case("step_1024x576x25_cfg", "SVD-XT step, 1024×576×25, guidance", Step, SIZE, batch_size=2)
DECODE_AT_ONCE = Case(
    "decode_1024x576x25",
    "SVD VAE, decode 1024×576×25, all at once",
    Decode,
    SIZE,
    check=(25, 36, 64),
)
# The check has the size of a chunk, so that a compiled decoder is not compiled again.
DECODE_IN_CHUNKS = Case(
    f"decode_1024x576x25_by_{CHUNK}",
    f"SVD VAE, decode 1024×576×25, {CHUNK} at a time",
    DecodeInChunks,
    SIZE,
    check=(CHUNK, *SIZE[1:]),
)
PLAN = [(case, EAGER) for case in (STEP, DECODE_AT_ONCE, DECODE_IN_CHUNKS)] + [
    (case, COMPILED) for case in (STEP, DECODE_IN_CHUNKS, DECODE_AT_ONCE)
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plan and write `svd.json` after each case; 1 if a row has failed."""
    return run("svd", __doc__, DTYPE, PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
