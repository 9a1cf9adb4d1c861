"""Blocks of SVD's autoencoder, each called alone, do what they do inside of it."""

import torch

from filmstrip import AutoencoderKLTemporalDecoder


@torch.no_grad()
def test_blocks_can_be_called_alone() -> None:
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        layers_per_block=2,
    ).eval()
    frames = torch.randn(4, 3, 8, 12)
    encoder, decoder = vae.encoder, vae.decoder

    hidden = encoder.conv_in(frames)
    for block in encoder.down_blocks:
        expected = hidden
        for layer in [*block.resnets, *block.downsamplers]:
            expected = layer(expected)
        hidden = block(hidden)
        torch.testing.assert_close(hidden, expected)
    assert hidden.shape == (4, 64, 4, 6)
    moments = encoder.conv_out(encoder.conv_norm_out(encoder.mid_block(hidden)))
    torch.testing.assert_close(moments, encoder(frames))

    hidden = decoder.mid_block(decoder.conv_in(torch.randn(4, 4, 4, 6)), 2)
    for block in decoder.up_blocks:
        expected = hidden
        for resnet in block.resnets:
            expected = resnet(expected, 2)
        for upsampler in block.upsamplers:
            expected = upsampler(expected)
        hidden = block(hidden, 2)
        torch.testing.assert_close(hidden, expected)
    assert hidden.shape == (4, 32, 8, 12)
