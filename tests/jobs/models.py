"""A small LTX model with random weights and every component that a job can use."""

import json
from pathlib import Path

from filmstrip import LTXLatentUpsamplerModel, LTXPipeline
from tests.weights.samples import components


def save_checkpoint(folder: Path) -> Path:
    """Save the model in diffusers' layout, with a latent upsampler as in the demo model."""
    LTXPipeline(**components()).save_pretrained(folder)
    upsampler = LTXLatentUpsamplerModel(
        in_channels=8, mid_channels=32, num_blocks_per_stage=1, dims=2
    )
    upsampler.save_pretrained(folder / "latent_upsampler")
    index = json.loads((folder / "model_index.json").read_text())
    index["latent_upsampler"] = ["ltx", "LTXLatentUpsamplerModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
