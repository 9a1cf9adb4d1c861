"""SVD's autoencoder in tiles, in channels-last memory and compiled, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import nn

from filmstrip import AutoencoderKLTemporalDecoder
from filmstrip.errors import InputError
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.tiled_norms import WholeFrameMoments
from tests.parity.common import randomise

FOUR: dict[str, Any] = {
    "block_out_channels": (32, 32, 64, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
}
PIXEL = 2 / 255  # one of 255 steps, in [-1, 1]


def build(**options: Any) -> AutoencoderKLTemporalDecoder:
    vae = AutoencoderKLTemporalDecoder(**FOUR | options).eval()
    randomise(vae)
    return vae


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLTemporalDecoder:
    return build()


def uneven(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Noise that is faint on the left and strong and offset on the right, so that tiles differ in
    their statistics.
    """
    noise = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))
    slope = torch.linspace(0, 1, width)
    return noise * (0.1 + slope) + 2 * slope


def seam_mask(shape: torch.Size, starts: tuple[list[int], list[int]], size: int) -> torch.Tensor:
    """Which pixels `(H, W)` are within 2 of the edge of a tile."""
    mask = torch.zeros(shape[-2:], dtype=torch.bool)
    tops, lefts = starts
    for top in tops:
        for edge in (top, top + size):
            mask[max(edge - 2, 0) : edge + 2] = True
    for left in lefts:
        for edge in (left, left + size):
            mask[:, max(edge - 2, 0) : edge + 2] = True
    return mask


def relative_error(whole: torch.Tensor, tiled: torch.Tensor) -> torch.Tensor:
    """The mean error at each pixel, `(H, W)`, relative to the standard deviation."""
    return ((tiled - whole) / whole.std()).abs().mean(dim=(0, 1))


@torch.no_grad()
def test_decoding_in_tiles_gives_the_frames_of_decoding_at_once(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    latents = uneven(2, 4, 20, 25)
    whole = vae.decode(latents, 2).sample
    vae.enable_tiling(64, 64, 48, 48)
    error = relative_error(whole, vae.decode(latents, 2).sample)
    vae.disable_tiling()
    seams = seam_mask(whole.shape, ([0, 48, 96], [0, 48, 88, 136]), 64)
    assert error.mean() < 0.02 * PIXEL
    assert error[seams].mean() < 0.02 * PIXEL
    assert error.max() < 0.5 * PIXEL
    assert torch.equal(vae.decode(latents, 2).sample, whole)


@torch.no_grad()
def test_encoding_in_tiles_gives_the_latents_of_encoding_at_once(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    frames = uneven(1, 3, 166, 195)  # neither a multiple of 8
    whole = vae.encode(frames).latent_dist.parameters
    vae.enable_tiling(64, 64, 48, 48)
    tiled = vae.encode(frames).latent_dist.parameters
    vae.disable_tiling()
    assert tiled.shape == whole.shape == (1, 8, 20, 24)
    assert relative_error(whole, tiled).max() < 0.05 * PIXEL


@torch.no_grad()
def test_layers_at_high_resolution_run_on_tiles(vae: AutoencoderKLTemporalDecoder) -> None:
    largest = {}

    def measure(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            height, width = args[0].shape[-2:]
            largest[name] = max(largest.get(name, (0, 0)), (height, width))

        return hook

    modules = {
        "encoder": vae.encoder.conv_in,
        "encoder, after halving": vae.encoder.down_blocks[1].resnets[0].conv1,
        "decoder": vae.decoder.up_blocks[3].resnets[0].spatial_res_block.conv2,
    }
    hooks = [module.register_forward_pre_hook(measure(name)) for name, module in modules.items()]
    vae.enable_tiling(64, 64, 48, 48)
    vae.encode(torch.randn(1, 3, 160, 192))
    vae.decode(torch.randn(1, 4, 20, 24), 1)
    vae.disable_tiling()
    for hook in hooks:
        hook.remove()
    tile = (64, 64)
    assert largest == {"encoder": tile, "encoder, after halving": (32, 32), "decoder": tile}


@torch.no_grad()
@pytest.mark.parametrize("widths", [(32,), (32, 32), (32, 32, 32), (32,) * 5])
def test_any_number_of_blocks_can_be_tiled(widths: tuple[int, ...]) -> None:
    vae = build(block_out_channels=widths, down_block_types=("DownEncoderBlock2D",) * len(widths))
    ratio = 2 ** (len(widths) - 1)
    latents = uneven(1, 4, 96 // ratio, 144 // ratio)
    whole = vae.decode(latents, 1).sample
    moments = vae.encode(whole).latent_dist.parameters
    vae.enable_tiling(64, 64, 48, 48)
    assert relative_error(whole, vae.decode(latents, 1).sample).mean() < 0.1 * PIXEL
    assert relative_error(moments, vae.encode(whole).latent_dist.parameters).mean() < 0.1 * PIXEL


@torch.no_grad()
def test_without_the_moments_of_whole_frames_tiles_differ(
    vae: AutoencoderKLTemporalDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the tests above are needed: norms of tiles without the moments of whole frames."""
    latents = uneven(1, 4, 20, 25)
    whole = vae.decode(latents, 1).sample
    for method in ("__enter__", "__exit__", "measure"):
        monkeypatch.setattr(WholeFrameMoments, method, lambda self, *args: self)
    vae.enable_tiling(64, 64, 48, 48)
    assert relative_error(whole, vae.decode(latents, 1).sample).mean() > 5 * PIXEL
    vae.disable_tiling()


@torch.no_grad()
def test_only_frames_larger_than_a_tile_are_tiled(vae: AutoencoderKLTemporalDecoder) -> None:
    latents = uneven(1, 4, 8, 8)
    whole = vae.decode(latents, 1).sample
    vae.enable_tiling(64, 64, 48, 48)
    assert torch.equal(vae.decode(latents, 1).sample, whole)
    assert vae.decode(uneven(1, 4, 8, 9), 1).sample.shape == (1, 3, 64, 72)
    vae.disable_tiling()


@torch.no_grad()
def test_norms_are_restored_if_a_tile_fails(vae: AutoencoderKLTemporalDecoder) -> None:
    vae.enable_tiling(64, 64, 48, 48)
    latents = uneven(1, 4, 12, 8)
    hook = vae.decoder.conv_out.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vae.decode(latents, 1)
    hook.remove()
    vae.disable_tiling()
    assert all("forward" not in vars(module) for module in vae.modules())


@torch.no_grad()
def test_memory_is_channels_last_from_the_first_layer_to_the_last(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    not_channels_last: list[str] = []

    def check(module: nn.Module, args: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        for tensor in (args[0], result):
            if not tensor.movedim(1, -1).is_contiguous():
                not_channels_last.append(type(module).__name__)

    layer_types = (nn.Conv2d, nn.Conv3d, GroupNorm)
    hooks = [
        m.register_forward_hook(check)
        for n, m in vae.named_modules()
        if isinstance(m, layer_types) and "time_conv_out" not in n
    ]
    vae(torch.randn(4, 3, 24, 32), num_frames=2)
    for hook in hooks:
        hook.remove()
    assert not not_channels_last


@torch.no_grad()
def test_encoder_and_decoder_compile_in_one_graph_each_and_once(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    graphs: list[int] = []

    def counting(graph: Any, example: Any) -> Any:
        graphs.append(1)
        return graph.forward

    frames = torch.randn(2, 3, 16, 24)
    latents = torch.randn(2, 4, 2, 3)
    encode = torch.compile(vae.encoder, backend=counting, fullgraph=True)
    decode = torch.compile(vae.decoder, backend=counting, fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(encode(frames), vae.encoder(frames))
        torch.testing.assert_close(decode(latents, 2), vae.decoder(latents, 2))
    assert len(graphs) == 2


@torch.no_grad()
def test_videos_of_a_batch_do_not_depend_on_each_other(vae: AutoencoderKLTemporalDecoder) -> None:
    latents = torch.randn(6, 4, 3, 3)
    batch = vae.decode(latents, 3).sample
    torch.testing.assert_close(batch[3:], vae.decode(latents[3:], 3).sample)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda vae: build(down_block_types=("AttnDownEncoderBlock2D",) * 4),
            "'AttnDownEncoderBlock2D'",
        ),
        (lambda vae: build(block_out_channels=(32, 64)), "4 down_block_types for 2"),
        (lambda vae: build(block_out_channels=(32, 32, 64, 40)), "holds 40"),
        (
            lambda vae: vae.decode(torch.zeros(5, 4, 2, 2), 2),
            "5 latents are no whole number of videos of 2",
        ),
        (lambda vae: vae.decode(torch.zeros(5, 4, 2, 2), 0), "videos of 0 frames"),
        (lambda vae: vae.enable_tiling(64, 64, 96, 48), "height is 64 and their stride 96"),
        (
            lambda vae: vae.enable_tiling(512, 512, 448, tile_sample_stride_width=4),
            "width is 512 and their stride 4",
        ),
    ],
)
def test_errors_name_the_value(vae: AutoencoderKLTemporalDecoder, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(vae)
    assert not vae.use_tiling
