"""SVD's UNet gives diffusers' numbers for every constructor option and every way of calling it."""

from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.resnet import AlphaBlender

from filmstrip import UNetSpatioTemporalConditionModel
from tests.parity.common import assert_same, pair

DOWN = "DownBlockSpatioTemporal"
CROSS_DOWN = "CrossAttnDownBlockSpatioTemporal"
UP = "UpBlockSpatioTemporal"
CROSS_UP = "CrossAttnUpBlockSpatioTemporal"
BASE = {
    "in_channels": 5,
    "out_channels": 3,
    "down_block_types": (CROSS_DOWN, DOWN),
    "up_block_types": (UP, CROSS_UP),
    "block_out_channels": (32, 64),
    "addition_time_embed_dim": 6,
    "projection_class_embeddings_input_dim": 18,
    "layers_per_block": 1,
    "cross_attention_dim": 12,
    "num_attention_heads": (4, 8),
}
THREE = {
    "down_block_types": (CROSS_DOWN, CROSS_DOWN, DOWN),
    "up_block_types": (UP, CROSS_UP, CROSS_UP),
    "block_out_channels": (32, 64, 96),
    "num_attention_heads": (2, 4, 3),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "base": {},
    "in and out": {"in_channels": 8, "out_channels": 4},
    "three blocks": THREE,
    "one block": {
        "down_block_types": (CROSS_DOWN,),
        "up_block_types": (CROSS_UP,),
        "block_out_channels": (64,),
        "num_attention_heads": 4,
    },
    "other block types": {"down_block_types": (DOWN, CROSS_DOWN), "up_block_types": (CROSS_UP, UP)},
    "no transformers but in the middle": {
        "down_block_types": (DOWN, DOWN),
        "up_block_types": (UP, UP),
    },
    "narrowing": {"block_out_channels": (64, 32)},
    "odd time embedding": {
        "addition_time_embed_dim": 5,
        "projection_class_embeddings_input_dim": 15,
    },
    "layers": {"layers_per_block": 2},
    "layers of each block": {**THREE, "layers_per_block": (2, 1, 3)},
    "context width of each block": {"cross_attention_dim": (12, 12)},
    "transformer layers": {"transformer_layers_per_block": 2},
    "transformer layers of each block": {**THREE, "transformer_layers_per_block": (2, 1, 3)},
    "transformer layers of each transformer": {"transformer_layers_per_block": ((1, 2), (2, 1))},
    "one number of heads": {"num_attention_heads": 2},
    "from a json file": {
        "layers_per_block": [1, 2],
        "block_out_channels": [32, 64],
        "num_attention_heads": [4, 8],
    },
}


def call(
    config: dict[str, Any], batch: int = 2, tokens: int = 1, frames: int = 3, **changes: Any
) -> dict[str, Any]:
    """Arguments of a forward call with random inputs."""
    generator = torch.Generator().manual_seed(1)
    height, width = changes.pop("size", (8, 12))
    values = {
        "sample": torch.randn(
            batch, frames, config["in_channels"], height, width, generator=generator
        ),
        "timestep": torch.tensor(1.3),
        "encoder_hidden_states": torch.randn(batch, tokens, 12, generator=generator),
        "added_time_ids": torch.tensor([[6, 127, 0.02], [5, 40, 0.3], [24, 1, 0]])[:batch],
        "return_dict": False,
    }
    return values | changes


def models(config: dict[str, Any]) -> tuple[Any, Any]:
    return pair(
        UNetSpatioTemporalConditionModel, diffusers.UNetSpatioTemporalConditionModel, config
    )


@torch.no_grad()
def compare(config: dict[str, Any], arguments: dict[str, Any]) -> torch.Tensor:
    ours, theirs = models(config)
    output = ours(**arguments)[0]
    assert output.abs().max() > 0.1
    assert_same(output, theirs(**arguments)[0], bound=5e-5)
    return output


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_option_gives_the_same_output(options: dict[str, Any]) -> None:
    config = BASE | options
    output = compare(config, call(config))
    if options and output.shape == (2, 3, 3, 8, 12) and "cross_attention_dim" not in options:
        with torch.no_grad():
            unchanged = models(BASE)[0](**call(BASE))[0]
        assert (unchanged - output).abs().max() > 1e-3, (
            "the option changes nothing, so the comparison shows nothing"
        )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_option_gives_the_same_state_dict(options: dict[str, Any]) -> None:
    ours = UNetSpatioTemporalConditionModel(**BASE | options).state_dict()
    theirs = diffusers.UNetSpatioTemporalConditionModel(**BASE | options).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_default_config_is_that_of_the_published_model() -> None:
    with torch.device("meta"):
        ours, theirs = (
            UNetSpatioTemporalConditionModel(),
            diffusers.UNetSpatioTemporalConditionModel(),
        )
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    written = {k: v for k, v in theirs.config.items() if not k.startswith("_")}
    assert {k: v for k, v in ours.config.items() if not k.startswith("_")} == written


CALLS: dict[str, dict[str, Any]] = {
    "three tokens": {"tokens": 3},
    "one video": {"batch": 1},
    "three videos and three tokens": {"batch": 3, "tokens": 3},
    "one frame": {"frames": 1},
    "odd size": {"size": (9, 7)},
    "size that halves once": {"size": (10, 6)},
    "flat": {"size": (1, 23)},
    "a timestep for each video": {"timestep": torch.tensor([1.3, -0.7])},
    "one timestep in a tensor": {"timestep": torch.tensor([-1.2])},
    "whole number": {"timestep": 3},
    "fraction": {"timestep": 0.4},
    "integer tensor": {"timestep": torch.tensor(7)},
    "integer time ids": {"added_time_ids": torch.tensor([[6, 127, 1], [7, 30, 0]])},
}


@pytest.mark.parametrize("changes", CALLS.values(), ids=CALLS)
def test_call_gives_the_same_output(changes: dict[str, Any]) -> None:
    config = BASE | THREE
    compare(config, call(config, **changes))


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 3])
def test_each_video_of_a_batch_has_its_own_context(tokens: int) -> None:
    model, _ = models(BASE)
    arguments = call(BASE, tokens=tokens)
    batch = model(**arguments)[0]
    second = {k: v[1:] if torch.is_tensor(v) and v.ndim else v for k, v in arguments.items()}
    torch.testing.assert_close(model(**second)[0], batch[1:], atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("size", "dim"), [(None, 0), (3, 0), (2, 1), (5, 1)])
def test_forward_chunking_changes_no_number(size: int | None, dim: int) -> None:
    ours, theirs = models(BASE)
    arguments = call(BASE)
    expected = theirs(**arguments)[0]
    if size != 5:  # diffusers needs a divisor
        theirs.enable_forward_chunking(1, dim)
        assert_same(theirs(**arguments)[0], expected, bound=2e-5)
    shapes = []
    ours.down_blocks[0].attentions[0].transformer_blocks[0].ff.net[2].register_forward_hook(
        lambda module, inputs, output: shapes.append(output.shape)
    )
    ours.enable_forward_chunking(size, dim)
    assert_same(ours(**arguments)[0], expected, bound=2e-5)
    assert {shape[dim] for shape in shapes} == ({5, 96 % 5} if size == 5 else {size or 1})


@torch.no_grad()
def test_image_only_indicator_gives_the_same_output() -> None:
    ours, theirs = models(BASE)
    arguments = call(BASE)
    indicator = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    without_indicator = ours(**arguments)[0]
    for blender in (module for module in theirs.modules() if isinstance(module, AlphaBlender)):
        blender.register_forward_pre_hook(
            lambda module, args, kwargs: (args, kwargs | {"image_only_indicator": indicator}),
            with_kwargs=True,
        )
    prepared = ours.prepare(
        arguments["encoder_hidden_states"], arguments["added_time_ids"], 3, indicator
    )
    output = ours(arguments["sample"], arguments["timestep"], prepared=prepared).sample
    assert_same(output, theirs(**arguments)[0], bound=5e-5)
    assert (output - without_indicator).abs().max() > 1e-3


@torch.no_grad()
def test_bfloat16_is_as_close_to_float32_as_diffusers() -> None:
    ours, theirs = models(BASE)
    arguments = call(BASE)
    exact = ours(**arguments)[0]
    half = {
        k: v.bfloat16() if k in ("sample", "encoder_hidden_states") else v
        for k, v in arguments.items()
    }
    ours_error = (ours.bfloat16()(**half)[0].float() - exact).norm()
    theirs_error = (theirs.bfloat16()(**half)[0].float() - exact).norm()
    assert ours_error <= 1.2 * theirs_error
