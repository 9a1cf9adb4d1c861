"""The latent upsampler and its pipeline: arguments that they refuse, and their results."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from filmstrip import LTXLatentUpsamplePipeline, LTXLatentUpsamplerModel
from filmstrip.errors import InputError
from filmstrip.ltx.latents import adain, tone_map
from tests.parity.pipelines import VAE_095
from tests.parity.test_ltx_condition import clip
from tests.parity.test_ltx_upsample import latents, pipes, run


@pytest.fixture(scope="module")
def pipe() -> LTXLatentUpsamplePipeline:
    return pipes()[0]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "Neither video nor latents was given"),
    "both": (
        {"video": clip(9), "latents": latents()},
        "Both video and latents were given; give one",
    ),
    "tokens": (
        {"latents": torch.zeros(1, 12, 6)},
        r"\(videos, 6, frames, height, width\) is needed",
    ),
    "size": ({"video": clip(9), "height": 70}, "divisible by 32"),
    "tone mapping": (
        {"latents": latents(), "tone_map_compression_ratio": 1.5},
        "ratio is 1.5; it must be from 0 to 1",
    ),
    "AdaIN": ({"latents": latents(), "adain_factor": None}, "adain_factor is None; give a number"),
    "output": ({"latents": latents(), "output_type": "gif"}, "output_type is 'gif'"),
    "generators": ({"latents": latents(), "seed": [1, 2]}, "2 generators were given for 1 videos"),
    "decode": (
        {"latents": latents(), "decode_timestep": [0.1, 0.2]},
        "decode_timestep has 2 values for 1 videos",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_refused_before_encoding(
    pipe: LTXLatentUpsamplePipeline,
    changes: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipe.vae, "encode", lambda *_, **__: pytest.fail("it was called"))
    monkeypatch.setattr(
        pipe.latent_upsampler, "forward", lambda *_, **__: pytest.fail("it was called")
    )
    with pytest.raises(InputError, match=sentence):
        run(pipe, **changes)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"dims": 1}, "dims is 1; a latent upsampler has convolutions of 2 or 3 dimensions"),
        ({"spatial_upsample": False}, "both off"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        LTXLatentUpsamplerModel(mid_channels=32, **config)


def test_cut_frames_are_warned_of(
    pipe: LTXLatentUpsamplePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(pipe, video=clip(12)).shape == (1, 9, 3, 128, 192)
    assert "The video has 12 frames; the first 9 are used (8 k + 1), the others cut" in caplog.text


def test_adain_gives_the_statistics_of_the_reference_and_tone_mapping_keeps_small_values() -> None:
    video = torch.randn(2, 3, 2, 4, 4)
    reference = 3 * torch.randn(2, 3, 1, 2, 2) + 1
    matched = adain(video, reference)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(matched, dim=(2, 3, 4)), statistic(reference, dim=(2, 3, 4))
        )
    assert torch.equal(adain(video, reference, 0.0), video)
    assert torch.equal(tone_map(video, 0.0), video)
    small, large = torch.tensor([0.01, 30.0])
    assert tone_map(small, 1.0) / small > 0.95 > 0.5 > tone_map(large, 1.0) / large


def test_latents_are_kept_if_decoding_fails(
    pipe: LTXLatentUpsamplePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(pipe, latents=latents(), output_type="latent")
    monkeypatch.setattr(pipe.vae, "decode", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(pipe, latents=latents())
    assert torch.equal(pipe.latents, expected)


def reference_output(
    model: LTXLatentUpsamplerModel, latents: torch.Tensor, spatial_factor: int
) -> torch.Tensor:
    """A temporal upsampler with 3D convolutions in PyTorch functions, layer by layer as in the
    authors' `latent_upsampler.py`.
    """
    weights = model.state_dict()

    def conv(name: str, hidden: torch.Tensor) -> torch.Tensor:
        return F.conv3d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def norm(name: str, hidden: torch.Tensor) -> torch.Tensor:
        return F.group_norm(hidden, 32, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def blocks(name: str, hidden: torch.Tensor) -> torch.Tensor:
        for index in range(2):
            block = f"{name}.{index}"
            inner = F.silu(norm(f"{block}.norm1", conv(f"{block}.conv1", hidden)))
            hidden = F.silu(norm(f"{block}.norm2", conv(f"{block}.conv2", inner)) + hidden)
        return hidden

    hidden = F.silu(norm("initial_norm", conv("initial_conv", latents)))
    hidden = blocks("res_blocks", hidden)
    # B, C, 2, s, s, t, h, w
    widened = conv("upsampler.0", hidden).unflatten(1, (-1, 2, spatial_factor, spatial_factor))
    hidden = widened.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return conv("final_conv", blocks("post_upsample_res_blocks", hidden[:, :, 1:]))


@pytest.mark.parametrize("spatial", [False, True])
def test_time_is_upsampled_as_the_authors_do(spatial: bool) -> None:
    pipe = pipes(spatial_upsample=spatial, temporal_upsample=True)[0]
    inputs = latents(2)
    with torch.no_grad():
        expected = reference_output(pipe.latent_upsampler, inputs, 2 if spatial else 1)
        torch.testing.assert_close(pipe.latent_upsampler(inputs), expected)


@pytest.mark.parametrize(("spatial", "size"), [(False, (64, 96)), (True, (128, 192))])
@pytest.mark.parametrize("frames", [1, 9, 25])
def test_a_temporal_upsampler_doubles_all_frames_but_the_first(
    spatial: bool, size: tuple[int, int], frames: int
) -> None:
    pipe = pipes(VAE_095, spatial_upsample=spatial, temporal_upsample=True)[0]
    assert run(pipe, video=clip(frames)).shape == (1, 2 * frames - 1, 3, *size)
