"""With tiling on, SVD's autoencoder handles no more pixels at a time than a tile has."""

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


def sizes_near_pixels(module: Any) -> set[tuple[int, ...]]:
    """A set that fills with the height and width of what the module is given."""
    seen: set[tuple[int, ...]] = set()
    module.register_forward_pre_hook(lambda _, args: seen.add(tuple(args[0].shape[-2:])))
    return seen


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width"), [(104, 152), (104, 40), (40, 152)], ids=["both", "rows", "columns"]
)
def test_frames_are_encoded_and_decoded_in_tiles(
    vae: AutoencoderKLTemporalDecoder, height: int, width: int
) -> None:
    vae.enable_tiling(64, 80, 48, 56)
    encoded = sizes_near_pixels(vae.encoder.conv_in)
    decoded = sizes_near_pixels(vae.decoder.conv_out)
    latents = vae.encode(torch.randn(1, 3, height, width)).latent_dist.mode()
    assert latents.shape == (1, 4, height // 8, width // 8)
    frames = vae.decode(latents, 1).sample
    assert frames.shape == (1, 3, height, width)
    for seen in (encoded, decoded):
        assert (min(height, 64), min(width, 80)) in seen
        assert all(rows <= 64 and columns <= 80 for rows, columns in seen), seen


@torch.no_grad()
@pytest.mark.parametrize(
    ("height", "width", "tiles"),
    [(64, 80, False), (72, 80, True), (64, 88, True)],
    ids=["a tile", "higher", "wider"],
)
def test_frames_of_a_tile_are_not_tiled(
    vae: AutoencoderKLTemporalDecoder, height: int, width: int, tiles: bool
) -> None:
    vae.enable_tiling(64, 80, 48, 56)
    encoded = sizes_near_pixels(vae.encoder.conv_in)
    decoded = sizes_near_pixels(vae.decoder.conv_out)
    vae.encode(torch.randn(1, 3, height, width))
    vae.decode(torch.randn(1, 4, height // 8, width // 8), 1)
    for seen in (encoded, decoded):
        assert (seen == {(height, width)}) is not tiles


@torch.no_grad()
def test_by_default_tiles_are_of_256_pixels_and_nothing_is_tiled(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    frames = torch.randn(1, 3, 8, 264)
    seen = sizes_near_pixels(vae.encoder.conv_in)
    vae.encode(frames)
    assert seen == {(8, 264)}
    seen.clear()
    vae.enable_tiling()
    vae.encode(frames)
    assert seen == {(8, 256)}
    seen.clear()
    vae.disable_tiling()
    vae.encode(frames)
    assert seen == {(8, 264)}
    sizes = ("tile_sample_min_height", "tile_sample_min_width")
    strides = ("tile_sample_stride_height", "tile_sample_stride_width")
    assert [getattr(vae, name) for name in sizes + strides] == [256, 256, 224, 224]
