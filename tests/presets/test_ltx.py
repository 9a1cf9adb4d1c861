"""LTX's presets have the settings of the authors' configs (Lightricks/LTX-Video, `configs/`)."""

import pytest

from filmstrip.ltx.recipes import Recipe
from filmstrip.ltx.schedules import RectifiedFlowSchedule
from filmstrip.pipeline.guiders import SpatioTemporalGuidance
from filmstrip.presets.ltx import EXTRA_FILES, PRESETS

ROWS = {row.name: row for row in PRESETS}
PUBLISHED = [row for row in PRESETS if row.name != "demo"]
ONE_PASS = ("ltx-2b-0.9.0", "ltx-2b-0.9.1", "ltx-2b-0.9.5", "ltx-2b-0.9.6-dev")
DEV = tuple(f"ltx-13b-{version}-dev{fp8}" for version in ("0.9.7", "0.9.8") for fp8 in ("", "-fp8"))
DISTILLED = tuple(
    f"ltx-{model}-distilled{fp8}"
    for model in ("2b-0.9.8", "13b-0.9.7", "13b-0.9.8")
    for fp8 in ("", "-fp8")
)
FILES = {
    "ltx-2b-0.9.0": ("ltx-video-2b-v0.9.safetensors",),
    "ltx-2b-0.9.1": ("ltx-video-2b-v0.9.1.safetensors",),
    "ltx-2b-0.9.5": ("ltx-video-2b-v0.9.5.safetensors",),
    "ltx-2b-0.9.6-dev": ("ltxv-2b-0.9.6-dev-04-25.safetensors",),
    "ltx-2b-0.9.6-distilled": ("ltxv-2b-0.9.6-distilled-04-25.safetensors",),
    "ltx-2b-0.9.8-distilled": (
        "ltxv-2b-0.9.8-distilled.safetensors",
        "ltxv-spatial-upscaler-0.9.8.safetensors",
    ),
    "ltx-13b-0.9.7-dev-fp8": (
        "ltxv-13b-0.9.7-dev-fp8.safetensors",
        "ltxv-spatial-upscaler-0.9.7.safetensors",
    ),
    "ltx-13b-0.9.8-dev": (
        "ltxv-13b-0.9.8-dev.safetensors",
        "ltxv-spatial-upscaler-0.9.8.safetensors",
    ),
}


def steps(pass_):
    """The timestep and the guidance of each step of a pass."""
    timesteps = pass_.schedule(RectifiedFlowSchedule("LinearQuadratic"), 1000)
    return [
        (timestep, SpatioTemporalGuidance(**pass_.guidance.at(timestep))) for timestep in timesteps
    ]


def test_there_is_a_row_for_every_published_checkpoint():
    assert [row.name for row in PUBLISHED] == [
        *ONE_PASS,
        "ltx-2b-0.9.6-distilled",
        *("ltx-2b-0.9.8-distilled", "ltx-2b-0.9.8-distilled-fp8"),
        *(
            "ltx-13b-0.9.7-dev",
            "ltx-13b-0.9.7-dev-fp8",
            "ltx-13b-0.9.7-distilled",
            "ltx-13b-0.9.7-distilled-fp8",
        ),
        *(
            "ltx-13b-0.9.8-dev",
            "ltx-13b-0.9.8-dev-fp8",
            "ltx-13b-0.9.8-distilled",
            "ltx-13b-0.9.8-distilled-fp8",
        ),
    ]
    assert {row.name: row.files for row in PUBLISHED if row.name in FILES} == FILES
    assert {row.repo for row in PUBLISHED} == {"Lightricks/LTX-Video"}
    assert {file.file for file in EXTRA_FILES} == {
        "ltxv-spatial-upscaler-0.9.7.safetensors",
        "ltxv-spatial-upscaler-0.9.8.safetensors",
        "ltxv-temporal-upscaler-0.9.7.safetensors",
        "ltxv-13b-0.9.7-distilled-lora128.safetensors",
    }
    assert {row.vae for row in PUBLISHED[:2]} == {"0.9.0", "0.9.1"}
    assert {row.vae for row in PUBLISHED[2:]} == {"0.9.5"}


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.name)
def test_every_row_has_the_settings_of_the_authors_script(row):
    assert (row.height, row.width, row.frames, row.fps, row.seed) == (704, 1216, 121, 30, 171198)
    assert row.negative == "worst quality, inconsistent motion, blurry, jittery, distorted"
    assert row.text_encoder == "PixArt-alpha/PixArt-XL-2-1024-MS"
    recipe = row.recipe
    assert (recipe.image_noise, recipe.decode_timestep, recipe.decode_noise) == (0.15, 0.05, 0.025)
    assert recipe.stochastic == (row.name == "ltx-2b-0.9.6-distilled")
    assert {pass_.guidance.mode for pass_ in recipe.passes} == {"attention_values"}
    assert row.licence_url.startswith("https://huggingface.co/Lightricks/LTX-Video/blob/main/")
    assert row.download_gb > 20


@pytest.mark.parametrize("name", ONE_PASS)
def test_models_of_one_pass_take_forty_steps_with_cfg_and_stg(name):
    (pass_,) = ROWS[name].recipe.passes
    assert {guidance for _, guidance in steps(pass_)} == {
        SpatioTemporalGuidance(3.0, 1.0, 0.7, False, (19,))
    }
    assert (pass_.count, pass_.tone_map) == (40, 0.0)


def test_the_first_distilled_model_takes_eight_stochastic_steps_without_guidance():
    (pass_,) = ROWS["ltx-2b-0.9.6-distilled"].recipe.passes
    assert [guidance.branches for _, guidance in steps(pass_)] == [("positive",)] * 8


@pytest.mark.parametrize("name", DEV)
def test_dev_models_change_their_guidance_in_the_first_pass(name):
    """Of 30 steps, the first 15 fall by 1/600 each; the last 3 are left out."""
    recipe = ROWS[name].recipe
    first, second = recipe.passes
    assert recipe.downscale == 0.6666666
    first_pass_steps = steps(first)
    assert len(first_pass_steps) == first.count == 27
    assert [round(time, 5) for time, _ in first_pass_steps[:10]] == [
        *(1.0, 0.99833, 0.99667, 0.995, 0.99333, 0.99167, 0.99, 0.98833, 0.98667, 0.985)
    ]
    expected = [
        SpatioTemporalGuidance(1, 0, 1, True, ()),  # at 1
        *[SpatioTemporalGuidance(1, 0, 1, True, (11, 25, 35, 39))] * 2,  # at 0.996 and above
        *[SpatioTemporalGuidance(6, 4, 0.5, True, (22, 35, 39))] * 2,  # at 0.9933 and above
        *[SpatioTemporalGuidance(8, 4, 0.5, True, (28,))]
        * 5,  # at 0.985 and above, which a step hits
        *[SpatioTemporalGuidance(6, 4, 1, True, (28,))] * 4,  # at 0.9767 and above: 0.97667 is not
    ]
    assert [guidance for _, guidance in first_pass_steps[: len(expected)]] == expected
    late = dict(first_pass_steps[len(expected) :])
    middle = SpatioTemporalGuidance(1, 2, 1, True, (28,))
    last = SpatioTemporalGuidance(1, 1, 1, True, (28,))
    assert all(guidance == (middle if time >= 0.9008 else last) for time, guidance in late.items())
    assert set(late.values()) == {middle, last}

    second_pass_steps = steps(second)
    assert len(second_pass_steps) == 13
    assert {guidance for _, guidance in second_pass_steps} == {
        SpatioTemporalGuidance(1, 1, 1, True, (27,))
    }
    assert (
        second_pass_steps[-1][0] == RectifiedFlowSchedule("LinearQuadratic").timesteps(30, 1000)[-1]
    )
    assert second.tone_map == 0


@pytest.mark.parametrize("name", DISTILLED)
def test_distilled_models_list_the_timesteps_of_both_passes(name):
    recipe = ROWS[name].recipe
    first, second = recipe.passes
    assert first.timesteps == (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725)
    assert second.timesteps == (0.9094, 0.725, 0.4219)
    assert {guidance.branches for pass_ in (first, second) for _, guidance in steps(pass_)} == {
        ("positive",)
    }
    assert recipe.downscale == 0.6666666
    assert (first.tone_map, second.tone_map) == (0.0, 0.6 if "13b-0.9.8" in name else 0.0)


def test_the_demo_has_a_recipe_of_one_pass():
    assert ROWS["demo"].recipe.passes == (Recipe().adjusted(25, 4.0).first,)
