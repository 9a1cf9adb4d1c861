"""Components of SVD whose configs do not match are refused, whichever value is larger."""

from typing import Any

import pytest
import torch

from filmstrip import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from filmstrip.errors import InputError
from tests.parity.svd_pipelines import UNET, VAE, pipelines, run

CHANNELS = "the first must be twice the second"
TIME_IDS = "so the first must be three times the second"
WIDTH = "The image encoder gives 16 numbers and the unet takes"


def unet(**changes: Any) -> UNetSpatioTemporalConditionModel:
    return UNetSpatioTemporalConditionModel(**UNET | changes)


def vae(latent_channels: int) -> AutoencoderKLTemporalDecoder:
    return AutoencoderKLTemporalDecoder(**VAE | {"latent_channels": latent_channels})


def refusal_before_any_computation(monkeypatch: pytest.MonkeyPatch, **components: Any) -> str:
    """The message with which a call refuses these components."""
    pipe = StableVideoDiffusionPipeline(**pipelines()[0].components | components)
    for name in ("vae", "unet", "image_encoder"):
        for module in getattr(pipe, name).modules():
            module.register_forward_pre_hook(lambda *_: pytest.fail("it was called"))
    with pytest.raises(InputError) as refusal:
        run(pipe)
    return str(refusal.value)


@pytest.mark.parametrize("channels", [2, 3, 5, 8])
def test_a_vae_with_another_number_of_channels_is_refused(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    message = refusal_before_any_computation(monkeypatch, vae=vae(channels))
    assert CHANNELS in message
    assert f"The unet takes 8 channels and the vae makes {channels}" in message


@pytest.mark.parametrize("channels", [4, 7, 9, 12])
def test_a_unet_with_another_number_of_channels_is_refused(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    message = refusal_before_any_computation(monkeypatch, unet=unet(in_channels=channels))
    assert CHANNELS in message


@pytest.mark.parametrize("width", [8, 32])
def test_a_unet_with_another_number_of_time_ids_is_refused(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    message = refusal_before_any_computation(monkeypatch, unet=unet(addition_time_embed_dim=width))
    assert TIME_IDS in message


@pytest.mark.parametrize("width", [8, 24, (16, 24), (24, 16)])
def test_a_unet_for_embeddings_of_another_width_is_refused(
    monkeypatch: pytest.MonkeyPatch, width: Any
) -> None:
    message = refusal_before_any_computation(monkeypatch, unet=unet(cross_attention_dim=width))
    assert WIDTH in message


def test_one_width_for_each_block_is_accepted() -> None:
    torch.manual_seed(0)
    components = pipelines()[0].components | {"unet": unet(cross_attention_dim=(16, 16)).eval()}
    pipe = StableVideoDiffusionPipeline(**components)
    pipe.set_progress_bar_config(disable=True)
    assert run(pipe, num_inference_steps=1).shape == (1, 3, 3, 32, 48)


def test_each_unsuitable_scheduler_is_warned_of_once(warnings: list[str]) -> None:
    components = pipelines()[0].components
    config = components["scheduler"].config
    unsuitable = [
        EulerDiscreteScheduler.from_config(config, **changes)
        for changes in ({"prediction_type": "epsilon"}, {"timestep_type": "discrete"})
    ]
    warnings.clear()
    pipe = StableVideoDiffusionPipeline(**components | {"scheduler": unsuitable[0]})
    pipe.set_progress_bar_config(disable=True)
    count = 1
    for scheduler in (unsuitable[0], unsuitable[1], unsuitable[1]):
        count += scheduler is not pipe.scheduler
        pipe.scheduler = scheduler
        run(pipe, num_inference_steps=1, output_type="latent")
        assert sum("scheduler does not suit" in warning for warning in warnings) == count
    assert count == 2
