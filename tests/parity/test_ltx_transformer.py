"""The LTX transformer gives diffusers' numbers for every constructor option and every way of
calling it.
"""

from typing import Any

import diffusers
import pytest
import torch

from filmstrip.ltx.models.transformer import LTXVideoTransformer3DModel
from tests.parity.common import assert_same, pair

BASE = {
    "in_channels": 6,
    "out_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 10,
    "cross_attention_dim": 20,
    "num_layers": 2,
    "caption_channels": 14,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "base": {},
    "in and out differ": {"in_channels": 5, "out_channels": 7},
    "out as in": {"out_channels": None},
    "patch sizes": {"patch_size": 2, "patch_size_t": 3},
    "heads": {"num_attention_heads": 4, "attention_head_dim": 6, "cross_attention_dim": 24},
    "layers": {"num_layers": 3},
    **{
        f"activation {name}": {"activation_fn": name}
        for name in ("gelu", "geglu", "geglu-approximate", "swiglu", "linear-silu")
    },
    "affine norms": {"norm_elementwise_affine": True},
    "norm epsilon": {"norm_eps": 0.1},
    "no attention bias": {"attention_bias": False},
    "no output bias": {"attention_out_bias": False},
}
SCALE = (8 / 25, 32, 32)


def call(
    batch: int = 2, size: tuple[int, int, int] = (3, 2, 5), text: int = 7, **changes: Any
) -> dict[str, Any]:
    """Arguments of a forward call with random inputs."""
    frames, height, width = size
    mask = torch.ones(batch, text)
    mask[0, 4:] = 0
    values = {
        "hidden_states": torch.randn(batch, frames * height * width, 6),
        "encoder_hidden_states": torch.randn(batch, text, 14),
        "timestep": torch.rand(batch) * 1000,
        "encoder_attention_mask": mask,
        "num_frames": frames,
        "height": height,
        "width": width,
        "rope_interpolation_scale": SCALE,
        "return_dict": False,
    }
    return values | changes


def compare(config: dict[str, Any], arguments: dict[str, Any]) -> torch.Tensor:
    ours, theirs = pair(LTXVideoTransformer3DModel, diffusers.LTXVideoTransformer3DModel, config)
    with torch.no_grad():
        output = ours(**arguments)[0]
        assert_same(output, theirs(**arguments)[0], bound=1e-5)
    return output


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_option_gives_the_same_output(options: dict[str, Any]) -> None:
    config = BASE | options
    arguments = call(hidden_states=torch.randn(2, 30, config["in_channels"]))
    output = compare(config, arguments)
    if options and "in_channels" not in options and "out_channels" not in options:
        base, _ = pair(LTXVideoTransformer3DModel, diffusers.LTXVideoTransformer3DModel, BASE)
        with torch.no_grad():
            unchanged = base(**arguments)[0]
        assert (unchanged - output).abs().max() > 1e-4, (
            "the option changes nothing, so the comparison shows nothing"
        )


MASKS = {
    "none": None,
    "all ones": torch.ones(2, 7),
    "boolean": torch.tensor([[True] * 3 + [False] * 4, [True] * 6 + [False]]),
    "left padded": torch.tensor([[0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]]),
    "holes": torch.tensor([[1, 0, 1, 0, 1, 0, 0], [0, 1, 0, 1, 0, 1, 0]]),
    "one token": torch.tensor([[1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]]),
    "a row of zeros": torch.tensor([[0] * 7, [1] * 5 + [0] * 2]),
    "all zeros": torch.zeros(2, 7),
    "fractions": torch.tensor([[1, 1, 0.9998, 0.9999, 0, 0, 0], [1, 0.9997, 1, 1, 1, 1, 0]]),
    "bias for each row": torch.linspace(-2, 1, 14).view(2, 1, 7),
    "bias for each token": torch.linspace(-2, 1, 2 * 30 * 7).view(2, 30, 7),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_mask_gives_the_same_output(mask: torch.Tensor | None) -> None:
    compare(BASE, call(encoder_attention_mask=mask))


def test_dropping_padding_changes_no_number() -> None:
    ours, _ = pair(LTXVideoTransformer3DModel, diffusers.LTXVideoTransformer3DModel, BASE)
    arguments = call(batch=1)
    arguments["encoder_attention_mask"] = torch.tensor([[1, 1, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        prepared = ours.prepare(
            arguments["encoder_hidden_states"], arguments["encoder_attention_mask"], 3, 2, 5, SCALE
        )
        assert prepared.keys_values[0][0].shape == (1, 2, 20)
        assert prepared.bias is None
        output = ours(
            arguments["hidden_states"], timestep=arguments["timestep"], prepared=prepared
        ).sample
        arguments["encoder_hidden_states"][:, 2:] = 1e3
        assert torch.equal(output, ours(**arguments)[0])


CALLS: dict[str, dict[str, Any]] = {
    "odd size": {"size": (5, 3, 7), "batch": 3},
    "one token": {"size": (1, 1, 1), "batch": 1},
    "one word": {"text": 1, "encoder_attention_mask": torch.ones(2, 1)},
    "timestep for each token": {"timestep": torch.linspace(0, 1000, 60).view(2, 30)},
    "integer timestep": {"timestep": torch.tensor([999, 3])},
    "no scale": {"rope_interpolation_scale": None},
    "scale as a tensor": {"rope_interpolation_scale": torch.tensor([0.4, 16.0, 8.0])},
    "coordinates": {
        "video_coords": torch.rand(2, 3, 30) * torch.tensor([3.0, 500.0, 700.0])[:, None]
    },
}


@pytest.mark.parametrize("changes", CALLS.values(), ids=CALLS)
def test_call_gives_the_same_output(changes: dict[str, Any]) -> None:
    compare(BASE, call(**changes))


def test_bfloat16_is_as_close_to_float32_as_diffusers() -> None:
    ours, theirs = pair(LTXVideoTransformer3DModel, diffusers.LTXVideoTransformer3DModel, BASE)
    arguments = call()
    with torch.no_grad():
        exact = ours(**arguments)[0]
        half = {
            k: v.bfloat16() if k in ("hidden_states", "encoder_hidden_states") else v
            for k, v in arguments.items()
        }
        ours_error = (ours.bfloat16()(**half)[0].float() - exact).norm()
        theirs_error = (theirs.bfloat16()(**half)[0].float() - exact).norm()
    assert ours_error <= 1.2 * theirs_error
