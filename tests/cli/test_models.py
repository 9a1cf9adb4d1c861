"""`filmstrip models` on a cache in the Hub's layout."""

import json
from pathlib import Path

from filmstrip.cli.models import KNOWN
from tests.weights.hub import store_repository

from .conftest import Run

INDEX = {
    "_class_name": "LTXPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "tokenizer": ["transformers", "T5Tokenizer"],
    "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
    "feature_extractor": [None, None],
}


COMPLETE_PIPELINE = {
    "model_index.json": json.dumps(INDEX),
    "scheduler/scheduler_config.json": "{}",
    "tokenizer/tokenizer_config.json": "{}",
    "transformer/config.json": "{}",
    "transformer/diffusion_pytorch_model.safetensors.index.json": json.dumps(
        {
            "weight_map": {
                "a": "diffusion_pytorch_model-00001-of-00002.safetensors",
                "b": "diffusion_pytorch_model-00002-of-00002.safetensors",
            }
        }
    ),
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors": "x" * 2000,
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors": "x" * 3000,
}


def test_presets_are_listed_without_a_cache(run: Run, cache: Path) -> None:
    result = run("models")
    assert result.code == 0
    for _, preset in KNOWN:
        assert preset.name in result.out
        assert preset.licence in result.out
    rows = run("models", "--json").json["known"]
    assert [(row["command"] or "", row["name"], row["on_disk"]) for row in rows] == [
        (command, preset.name, preset.repo is None) for command, preset in KNOWN
    ]
    assert {command for command, _ in KNOWN} == {"generate", "animate", ""}
    assert "no (48 GB)" in result.out


def test_complete_and_partial_downloads_and_other_repositories_are_distinguished(
    run: Run, cache: Path
) -> None:
    svd = "stabilityai/stable-video-diffusion-img2vid"
    store_repository(cache, svd, COMPLETE_PIPELINE)
    store_repository(
        cache,
        f"{svd}-xt",
        {name: text for name, text in COMPLETE_PIPELINE.items() if "00002-of" not in name},
    )
    store_repository(cache, "someone/tuned-ltx", COMPLETE_PIPELINE)
    store_repository(
        cache, "someone/chatbot", {"config.json": "{}", "model.safetensors": "x" * 7000}
    )
    store_repository(cache, "someone/broken", {"model_index.json": "["})

    result = run("models", "--json").json
    known = {row["name"]: row["on_disk"] for row in result["known"]}
    assert known["svd"] is True
    assert known["svd-xt"] is False
    (other,) = result["also_cached"]
    assert (other["repo_id"], other["revision"], other["complete"]) == (
        "someone/tuned-ltx",
        "main",
        True,
    )

    table = run("models").out
    assert "someone/tuned-ltx@main" in table
    assert "chatbot" not in table
    assert "Also in the cache: 2 models of other types (7.0 kB)." in table


def test_a_preset_is_on_disk_only_with_its_upscaler_and_its_text_encoder(
    run: Run, cache: Path
) -> None:
    names = ("ltx-2b-0.9.5", "ltx-13b-0.9.8-dev", "ltxv-spatial-upscaler-0.9.7")

    def on_disk() -> list[bool]:
        known = {row["name"]: row["on_disk"] for row in run("models", "--json").json["known"]}
        return [known[name] for name in names]

    files = (
        "ltx-video-2b-v0.9.5.safetensors",
        "ltxv-13b-0.9.8-dev.safetensors",
        "ltxv-spatial-upscaler-0.9.7.safetensors",
    )
    store_repository(cache, "Lightricks/LTX-Video", dict.fromkeys(files, "x"))
    assert on_disk() == [False, False, True]
    text_encoder = {
        "text_encoder/config.json": "{}",
        "text_encoder/model.safetensors": "x",
        "tokenizer/spiece.model": "x",
    }
    store_repository(cache, "PixArt-alpha/PixArt-XL-2-1024-MS", text_encoder)
    assert on_disk() == [True, False, True]
    store_repository(
        cache, "Lightricks/LTX-Video", {"ltxv-spatial-upscaler-0.9.8.safetensors": "x"}
    )
    assert on_disk() == [True, True, True]
