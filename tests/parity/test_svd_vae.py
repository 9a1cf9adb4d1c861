"""SVD's autoencoder gives diffusers' numbers for every constructor option and every way of calling
it.
"""

from typing import Any

import diffusers
import pytest
import torch

from filmstrip import AutoencoderKLTemporalDecoder
from tests.parity.common import assert_same, pair

BASE: dict[str, Any] = {"block_out_channels": (32, 64), "layers_per_block": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "base": {},
    "defaults": {"block_out_channels": (64,), "layers_per_block": 1},
    "published, with smaller widths": {"block_out_channels": (32, 64, 96, 96)},
    "one layer, without attention in the decoder": {"layers_per_block": 1},
    "three layers, of which the decoder's middle block runs two": {"layers_per_block": 3},
    "channels": {"in_channels": 2, "out_channels": 5, "latent_channels": 7},
    "entries that the network does not use": {
        "sample_size": 768,
        "scaling_factor": 0.5,
        "force_upcast": False,
    },
}


def vaes(**options: Any) -> tuple[Any, Any]:
    config = BASE | options
    config["down_block_types"] = ("DownEncoderBlock2D",) * len(config["block_out_channels"])
    return pair(AutoencoderKLTemporalDecoder, diffusers.AutoencoderKLTemporalDecoder, config)


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_encodes_and_decodes_the_same(options: dict[str, Any]) -> None:
    ours, theirs = vaes(**options)
    frames = torch.randn(6, ours.config.in_channels, 41, 27)
    posteriors = [vae.encode(frames).latent_dist for vae in (ours, theirs)]
    for name in ("parameters", "mean", "std", "logvar"):
        assert_same(getattr(posteriors[0], name), getattr(posteriors[1], name))
    latents = torch.randn(6, ours.config.latent_channels, 5, 3)
    for num_frames in (1, 3, 6):
        assert_same(
            ours.decode(latents, num_frames).sample,
            theirs.decode(latents, num_frames=num_frames).sample,
        )
    assert_same(
        ours.decode(latents[:5], num_frames=5).sample,
        theirs.decode(latents[:5], num_frames=5).sample,
    )


@torch.no_grad()
@pytest.mark.parametrize("mix", [-4.0, 0.0, 3.0])
def test_the_blend_of_space_and_time_is_the_same(mix: float) -> None:
    ours, theirs = vaes()
    weights = {
        name: mix + value if "mix_factor" in name else value
        for name, value in ours.state_dict().items()
    }
    ours.load_state_dict(weights)
    theirs.load_state_dict(weights)
    latents = torch.randn(4, 4, 3, 5)
    assert_same(ours.decode(latents, 4).sample, theirs.decode(latents, 4).sample)


@torch.no_grad()
@pytest.mark.parametrize("sample_posterior", [False, True])
def test_forward_gives_the_same_frames_with_the_same_generators(sample_posterior: bool) -> None:
    ours, theirs = vaes()
    frames = torch.randn(4, 3, 12, 18)
    for seeds in (None, [3], [1, 2, 3, 4]):
        results = []
        for vae in (ours, theirs):
            torch.manual_seed(5)
            generator = (
                None if seeds is None else [torch.Generator().manual_seed(seed) for seed in seeds]
            )
            options = {"generator": generator[0] if seeds == [3] else generator, "num_frames": 2}
            results.append(vae(frames, sample_posterior, **options).sample)
            assert torch.equal(
                vae(frames, False, False, num_frames=2)[0], vae(frames, num_frames=2)[0]
            )
        assert_same(*results)


def test_gradients_are_the_same() -> None:
    ours, theirs = vaes()
    latents = torch.randn(2, 4, 3, 4)
    gradients = []
    for vae in (ours, theirs):
        inputs = latents.clone().requires_grad_()
        vae.decode(inputs, 2).sample.square().mean().backward()
        gradients.append(inputs.grad)
    assert_same(*gradients)


@torch.no_grad()
def test_each_library_loads_the_folder_that_the_other_saved(tmp_path: Any) -> None:
    ours, theirs = vaes()
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = AutoencoderKLTemporalDecoder.from_pretrained(tmp_path / "theirs")
    in_diffusers = diffusers.AutoencoderKLTemporalDecoder.from_pretrained(tmp_path / "ours")
    frames = torch.randn(2, 3, 8, 10)
    output = loaded(frames, num_frames=2).sample
    assert_same(output, in_diffusers(frames, num_frames=2).sample, bound=1e-5)
    assert {k: v for k, v in loaded.config.items() if k[0] != "_"} == {
        k: v if not isinstance(v, tuple) else list(v)
        for k, v in in_diffusers.config.items()
        if k[0] != "_"
    }
