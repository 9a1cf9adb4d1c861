"""`filmstrip models` on a cache in the Hub's layout."""

import json
from pathlib import Path

from filmstrip.cli.models import KNOWN

from .conftest import Run, store

INDEX = {
    "_class_name": "LTXPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "tokenizer": ["transformers", "T5Tokenizer"],
    "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
    "feature_extractor": [None, None],
}


WHOLE = {
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


def test_the_known_models_are_listed_without_any_cache(run: Run, cache: Path) -> None:
    result = run("models")
    assert result.code == 0
    for _, preset in KNOWN:
        assert preset.name in result.out
        assert preset.licence in result.out
    rows = run("models", "--json").json["known"]
    assert [(row["command"], row["name"], row["on_disk"]) for row in rows] == [
        (command, preset.name, preset.repo is None) for command, preset in KNOWN
    ]
    assert {command for command, _ in KNOWN} == {"generate", "animate"}


def test_whole_and_partial_downloads_and_other_repositories_are_told_apart(run: Run, cache: Path) -> None:
    store(cache, "Lightricks/LTX-Video", WHOLE)
    store(cache, "Lightricks/LTX-Video-0.9.5", {name: text for name, text in WHOLE.items() if "00002-of" not in name})
    store(cache, "someone/tuned-ltx", WHOLE)
    store(cache, "someone/chatbot", {"config.json": "{}", "model.safetensors": "x" * 7000})
    store(cache, "someone/broken", {"model_index.json": "["})

    result = run("models", "--json").json
    known = {row["name"]: row["on_disk"] for row in result["known"]}
    assert known["ltx-2b-0.9.0"] is True
    assert known["ltx-2b-0.9.5"] is False
    (other,) = result["also_cached"]
    assert (other["repo_id"], other["revision"], other["complete"]) == ("someone/tuned-ltx", "main", True)

    table = run("models").out
    assert "yes (5.4 kB)" in table
    assert "in part (2.4 kB)" in table
    assert "someone/tuned-ltx@main" in table
    assert "chatbot" not in table
    assert "Also in the cache: 2 models of other kinds (7.0 kB)." in table


def test_a_whole_revision_counts_more_than_a_newer_one_in_part(run: Run, cache: Path) -> None:
    store(cache, "Lightricks/LTX-Video", WHOLE, "1" * 40)
    store(cache, "Lightricks/LTX-Video", {"model_index.json": json.dumps(INDEX)}, "2" * 40)
    known = {row["name"]: row["on_disk"] for row in run("models", "--json").json["known"]}
    assert known["ltx-2b-0.9.0"] is True
