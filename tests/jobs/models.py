"""A small LTX model of random weights, with all that jobs may need."""

import json
from pathlib import Path

from filmstrip import LTXLatentUpsamplerModel, LTXPipeline
from tests.weights.samples import components


def save_checkpoint(folder: Path) -> Path:
    """A folder in diffusers' layout with a latent upsampler, as the demo has one."""
    LTXPipeline(**components()).save_pretrained(folder)
    upsampler = LTXLatentUpsamplerModel(
        in_channels=8, mid_channels=32, num_blocks_per_stage=1, dims=2
    )
    upsampler.save_pretrained(folder / "latent_upsampler")
    index = json.loads((folder / "model_index.json").read_text())
    index["latent_upsampler"] = ["ltx", "LTXLatentUpsamplerModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
