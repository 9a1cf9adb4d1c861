"""SVD's presets have the settings of the model cards of stabilityai."""

import pytest

from filmstrip.presets.svd import CALL_DEFAULTS, PRESETS

PUBLISHED = {preset.name: preset for preset in PRESETS if preset.repo is not None}


def test_every_published_checkpoint_has_a_row():
    assert {name: (preset.repo, preset.frames) for name, preset in PUBLISHED.items()} == {
        "svd": ("stabilityai/stable-video-diffusion-img2vid", 14),
        "svd-xt": ("stabilityai/stable-video-diffusion-img2vid-xt", 25),
        "svd-xt-1.1": ("stabilityai/stable-video-diffusion-img2vid-xt-1-1", 25),
    }


@pytest.mark.parametrize("preset", PUBLISHED.values(), ids=PUBLISHED)
def test_a_row_has_the_call_defaults_of_diffusers_and_the_licence_of_its_repository(preset):
    assert (preset.width, preset.height) == (1024, 576)
    for name in ("fps", "steps", "motion", "noise_aug", "guidance_min", "guidance_max"):
        assert getattr(preset, name) == getattr(CALL_DEFAULTS, name)
    assert preset.licence_url == f"https://huggingface.co/{preset.repo}/blob/main/LICENSE.md"
    assert preset.licence_url in preset.credit
