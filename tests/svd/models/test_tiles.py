"""With tiling on, the layers of SVD's autoencoder next to the pixels run on single tiles."""

from typing import Any

import pytest
import torch

from filmstrip import AutoencoderKLTemporalDecoder

CONFIG: dict[str, Any] = {
    "block_out_channels": (32, 32, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
}


@pytest.fixture
def vae() -> AutoencoderKLTemporalDecoder:
    return AutoencoderKLTemporalDecoder(**CONFIG).eval()


def input_sizes(module: Any) -> set[tuple[int, ...]]:
    """A set to which the height and width of each input of the module are added."""
    sizes: set[tuple[int, ...]] = set()
    module.register_forward_pre_hook(lambda _, args: sizes.add(tuple(args[0].shape[-2:])))
    return sizes


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width"), [(104, 152), (104, 40), (40, 152)], ids=["both", "rows", "columns"]
)
def test_frames_are_encoded_and_decoded_in_tiles(
    vae: AutoencoderKLTemporalDecoder, height: int, width: int
) -> None:
    vae.enable_tiling(64, 80, 48, 56)
    encoded = input_sizes(vae.encoder.conv_in)
    decoded = input_sizes(vae.decoder.conv_out)
    latents = vae.encode(torch.randn(1, 3, height, width)).latent_dist.mode()
    assert latents.shape == (1, 4, height // 8, width // 8)
    frames = vae.decode(latents, 1).sample
    assert frames.shape == (1, 3, height, width)
    for sizes in (encoded, decoded):
        assert (min(height, 64), min(width, 80)) in sizes
        assert all(rows <= 64 and columns <= 80 for rows, columns in sizes), sizes


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width", "is_tiled"),
    [(64, 80, False), (72, 80, True), (64, 88, True)],
    ids=["size of a tile", "higher", "wider"],
)
def test_only_frames_larger_than_a_tile_are_tiled(
    vae: AutoencoderKLTemporalDecoder, height: int, width: int, is_tiled: bool
) -> None:
    vae.enable_tiling(64, 80, 48, 56)
    encoded = input_sizes(vae.encoder.conv_in)
    decoded = input_sizes(vae.decoder.conv_out)
    vae.encode(torch.randn(1, 3, height, width))
    vae.decode(torch.randn(1, 4, height // 8, width // 8), 1)
    for sizes in (encoded, decoded):
        assert (sizes == {(height, width)}) is not is_tiled


@torch.no_grad()
def test_tiling_is_off_by_default_and_tiles_have_256_pixels(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    frames = torch.randn(1, 3, 8, 264)
    sizes = input_sizes(vae.encoder.conv_in)
    vae.encode(frames)
    assert sizes == {(8, 264)}
    sizes.clear()
    vae.enable_tiling()
    vae.encode(frames)
    assert sizes == {(8, 256)}
    sizes.clear()
    vae.disable_tiling()
    vae.encode(frames)
    assert sizes == {(8, 264)}
    tile_sizes = ("tile_sample_min_height", "tile_sample_min_width")
    strides = ("tile_sample_stride_height", "tile_sample_stride_width")
    assert [getattr(vae, name) for name in tile_sizes + strides] == [256, 256, 224, 224]
