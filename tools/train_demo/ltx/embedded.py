"""Continue training from the embedded model."""

from __future__ import annotations

import shutil

from transformers import T5EncoderModel

from filmstrip import demo
from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from tools.train_demo.common.store import Store


def take_embedded(store: Store) -> None:
    """Write the embedded model's weights as the results of the stages that trained it."""
    folder = demo.path("ltx")
    if store.load("base") is not None:
        return
    shutil.copy(folder / "tokenizer" / "tokenizer.json", store.work / "tokenizer.json")
    store.save("vae", AutoencoderKLLTXVideo.from_pretrained(folder / "vae").state_dict())
    transformer = LTXVideoTransformer3DModel.from_pretrained(folder / "transformer")
    encoder = T5EncoderModel.from_pretrained(folder / "text_encoder").float()
    models = {"transformer": transformer, "encoder": encoder}
    store.save(
        "base",
        {f"{name}.{k}": p for name, model in models.items() for k, p in model.named_parameters()},
    )
