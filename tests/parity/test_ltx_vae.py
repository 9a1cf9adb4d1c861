"""The LTX autoencoder gives diffusers' numbers for every published variant, option and way of
tiling.
"""

from typing import Any

import diffusers
import pytest
import torch

from filmstrip.ltx.models.autoencoder import AutoencoderKLLTXVideo
from tests.parity.common import assert_same, pair

# The published variants with smaller widths: 0.9.0, 0.9.1 and 0.9.5 (also 0.9.7 and 0.9.8).
V090 = {
    "latent_channels": 6,
    "block_out_channels": (8, 12, 16, 16),
    "decoder_block_out_channels": (8, 12, 16, 16),
    "layers_per_block": (2, 1, 1, 1, 2),
    "decoder_layers_per_block": (2, 1, 1, 1, 2),
    "spatio_temporal_scaling": (True, True, True, False),
    "decoder_spatio_temporal_scaling": (True, True, True, False),
    "patch_size": 2,
}
V091 = V090 | {
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 2, 1),
    "decoder_spatio_temporal_scaling": (True, True, True),
    "decoder_inject_noise": (True, True, True, False),
    "upsample_residual": (True, True, True),
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}
V095 = V091 | {
    "block_out_channels": (8, 16, 32, 32, 32),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "layers_per_block": (1, 1, 1, 1, 1),
    "spatio_temporal_scaling": (True, True, True, True),
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "decoder_inject_noise": (False, False, False, False),
    "spatial_compression_ratio": 16,
    "temporal_compression_ratio": 8,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "0.9.0": V090,
    "0.9.1": V091,
    "0.9.5": V095,
    "widths that grow to the end": V095 | {"block_out_channels": (4, 8, 16, 32, 64)},
    "causal decoder": V095 | {"decoder_causal": True},
    "not causal encoder": V095 | {"encoder_causal": False},
    "0.9.0, both turned": V090 | {"encoder_causal": False, "decoder_causal": True},
    "convolutions in 0.9.5's blocks": V095
    | {
        "downsample_type": ("conv",) * 4,
        "block_out_channels": (8,) * 5,
        "spatial_compression_ratio": 32,
    },
    "blocks without scaling": V095
    | {
        "spatio_temporal_scaling": (True, False, True, True),
        "block_out_channels": (8, 16, 16, 32, 32),
    },
    "no residual": V091 | {"upsample_residual": (False, True, False)},
    "factor 1": V090
    | {
        "decoder_block_out_channels": (8, 16, 16, 16),
        "upsample_residual": (True,) * 4,
        "upsample_factor": (1, 2, 1, 1),
    },
    "noise where the width stays": V090
    | {"decoder_inject_noise": (False, False, True, True, True)},
    "noise in some": V091 | {"decoder_inject_noise": (False, True, False, True)},
    "pixel patch 1": V090 | {"patch_size": 1},
    "pixel patch 4": V090 | {"patch_size": 4},
    "norm epsilon": V090 | {"resnet_norm_eps": 0.5},
    "channels": V090 | {"in_channels": 2, "out_channels": 5},
    "computed ratios": V095
    | {"spatial_compression_ratio": None, "temporal_compression_ratio": None},
}


def vaes(config: dict[str, Any]) -> tuple[Any, Any]:
    return pair(AutoencoderKLLTXVideo, diffusers.AutoencoderKLLTXVideo, config)


def time(config: dict[str, Any], batch: int) -> torch.Tensor | None:
    return torch.linspace(0.02, 0.3, batch) if config.get("timestep_conditioning") else None


@torch.no_grad()
def compare_decode(
    ours: Any, theirs: Any, latents: torch.Tensor, temb: torch.Tensor | None
) -> torch.Tensor:
    """Decode with both from the same state of the global generator, which injected noise is drawn
    from.
    """
    torch.manual_seed(1)
    video = ours.decode(latents, temb).sample
    torch.manual_seed(1)
    assert_same(video, theirs.decode(latents, temb).sample)
    return video


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_decode(config: dict[str, Any]) -> None:
    ours, theirs = vaes(config)
    compare_decode(ours, theirs, torch.randn(2, 6, 3, 2, 3), time(config, 2))


@pytest.mark.parametrize("block", range(5))
def test_noise_is_injected_into_the_same_layers(block: int) -> None:
    """Also in blocks that change the width, in which the noise makes both libraries crash."""
    config = V090 | {"decoder_inject_noise": [i == block for i in range(5)]}
    ours = AutoencoderKLLTXVideo(**config).state_dict()
    theirs = diffusers.AutoencoderKLLTXVideo(**config).state_dict()
    assert any("per_channel_scale" in name for name in ours)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_encode(config: dict[str, Any]) -> None:
    ours, theirs = vaes(config)
    video = torch.rand(2, config.get("in_channels", 3), 17, 64, 32) * 2 - 1
    with torch.no_grad():
        a, b = ours.encode(video).latent_dist, theirs.encode(video).latent_dist
    assert_same(a.mean, b.mean)
    assert_same(a.logvar, b.logvar)
    assert_same(
        a.sample(torch.Generator().manual_seed(3)), b.sample(torch.Generator().manual_seed(3))
    )
    assert ours.spatial_compression_ratio == theirs.spatial_compression_ratio
    assert ours.temporal_compression_ratio == theirs.temporal_compression_ratio


@pytest.mark.parametrize("sample_posterior", [False, True])
def test_forward(sample_posterior: bool) -> None:
    ours, theirs = vaes(V095)
    video = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    outputs = []
    for vae in (ours, theirs):
        with torch.no_grad():
            outputs.append(
                vae(
                    video,
                    temb=torch.tensor([0.1]),
                    sample_posterior=sample_posterior,
                    generator=torch.manual_seed(5),
                ).sample
            )
    assert_same(*outputs)


TILINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "tiles of 64 by 48": {
        "tile_sample_min_height": 64,
        "tile_sample_min_width": 48,
        "tile_sample_stride_height": 48,
        "tile_sample_stride_width": 32,
    },
    "more overlap than half": {
        "tile_sample_min_height": 80,
        "tile_sample_min_width": 64,
        "tile_sample_stride_height": 32,
        "tile_sample_stride_width": 32,
    },
    "no overlap": {
        "tile_sample_min_height": 48,
        "tile_sample_min_width": 48,
        "tile_sample_stride_height": 48,
        "tile_sample_stride_width": 48,
    },
}


@pytest.mark.parametrize("framewise", [False, True], ids=["spatial", "framewise"])
@pytest.mark.parametrize("tiling", TILINGS.values(), ids=TILINGS)
def test_tiling(tiling: dict[str, Any], framewise: bool) -> None:
    ours, theirs = vaes(V095)
    latents = torch.randn(1, 6, 4, 6, 7)
    video = torch.rand(1, 3, 25, 96, 112) * 2 - 1
    temb = torch.tensor([0.1])
    with torch.no_grad():
        whole = ours.decode(latents, temb).sample
    for vae in (ours, theirs):
        vae.enable_tiling(**tiling)
        vae.use_framewise_decoding = framewise
    tiled = compare_decode(ours, theirs, latents, temb)
    if tiling or framewise:
        assert (tiled - whole).abs().max() > 1e-3, "nothing was tiled"
    with torch.no_grad():
        assert_same(ours.encode(video).latent_dist.mean, theirs.encode(video).latent_dist.mean)
    for vae in (ours, theirs):
        vae.disable_tiling()
    compare_decode(ours, theirs, latents, temb)


@pytest.mark.parametrize(("height", "width"), [(96, 48), (64, 96)], ids=["rows", "columns"])
def test_a_video_that_exceeds_a_tile_in_one_dimension_is_tiled(height: int, width: int) -> None:
    ours, theirs = vaes(V095)
    latents = torch.randn(1, 6, 2, height // 16, width // 16)
    video = torch.rand(1, 3, 9, height, width) * 2 - 1
    temb = torch.tensor([0.1])
    with torch.no_grad():
        whole = ours.decode(latents, temb).sample
        whole_latents = ours.encode(video).latent_dist.mean
    for vae in (ours, theirs):
        vae.enable_tiling(**TILINGS["tiles of 64 by 48"])
    assert (compare_decode(ours, theirs, latents, temb) - whole).abs().max() > 1e-3
    with torch.no_grad():
        tiled_latents = ours.encode(video).latent_dist.mean
        assert_same(tiled_latents, theirs.encode(video).latent_dist.mean)
    assert (tiled_latents - whole_latents).abs().max() > 1e-3


def test_slicing_decodes_each_video_with_its_own_timestep() -> None:
    ours, theirs = vaes(V095)
    latents = torch.randn(3, 6, 2, 2, 2)
    temb = torch.tensor([0.0, 0.1, 0.5])
    with torch.no_grad():
        whole = theirs.decode(latents, temb).sample
        ours.enable_slicing()
        assert_same(ours.decode(latents, temb).sample, whole)
        video = torch.rand(2, 3, 9, 32, 32)
        assert_same(ours.encode(video).latent_dist.mean, theirs.encode(video).latent_dist.mean)


def test_weights_and_inputs_of_convolutions_are_channels_last() -> None:
    vae, _ = vaes(V095)
    layouts = {}
    for name, module in vae.named_modules():
        if isinstance(module, torch.nn.Conv3d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last_3d), name
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: layouts.update(
                    {name: inputs[0].movedim(1, -1).is_contiguous()}
                )
            )
    with torch.no_grad():
        vae(torch.rand(2, 3, 17, 64, 64), temb=torch.tensor([0.1, 0.2]))
    assert layouts
    assert all(layouts.values()), layouts
