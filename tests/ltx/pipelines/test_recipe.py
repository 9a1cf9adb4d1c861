"""`LTXRecipePipeline`: the authors' numbers from their seeds, model calls, sizes, conditions."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import load_file

from filmstrip import LTXVideoCondition
from filmstrip.errors import InputError
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.pipelines.conditions import ConditioningPixels
from filmstrip.ltx.pipelines.encode import encode_pixels
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.pipelines.resize import crop_video, pad_video
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.video_shape import VideoShape, round_up_shape

DATA = Path(__file__).parents[2] / "data" / "golden_ltx"
STG = GuidanceSchedule(scale=3.0, stg_scale=1.0, rescale=0.7, blocks=(1,))


@pytest.fixture(scope="module")
def pipe():
    pipe = LTXRecipePipeline.from_single_file(
        DATA / "ckpt_v095.safetensors", text_encoder=None, tokenizer=None
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(autouse=True)
def _reset(pipe):
    pipe.recipe = Recipe(Pass(STG, steps=3))
    pipe.latent_upsampler = None


@pytest.fixture
def batch_sizes(pipe):
    """The number of rows of each call of the transformer."""
    sizes = []
    handle = pipe.transformer.register_forward_hook(
        lambda module, args, output: sizes.append(len(args[0]))
    )
    yield sizes
    handle.remove()


def embeddings(num_prompts=1, seed=0):
    """Embeddings and masks of up to 3 prompts; those of a prompt do not depend on the number."""
    generator = torch.Generator().manual_seed(seed)
    positive = torch.randn(3, 5, 32, generator=generator)[:num_prompts]
    negative = torch.randn(3, 5, 32, generator=generator)[:num_prompts]
    mask = torch.ones(num_prompts, 5)
    return {
        "prompt_embeds": positive,
        "prompt_attention_mask": mask,
        "negative_prompt_embeds": negative,
        "negative_prompt_attention_mask": mask,
    }


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def generate(pipe, num_videos=1, generator=None, **options):
    """The latents of a small call, or its frames for another output type."""
    size = {"height": 32, "width": 64, "num_frames": 9, "output_type": "latent"}
    if generator is None:
        generator = generators(*range(num_videos))
    return pipe(**embeddings(num_videos), generator=generator, **(size | options)).frames


def test_a_seed_gives_the_frames_of_the_authors(pipe):
    golden = load_file(DATA / "decode_tone_map.safetensors")
    guidance = GuidanceSchedule(scale=3.0, stg_scale=0.0, rescale=1.0)
    pipe.recipe = Recipe(
        Pass(guidance, steps=3, tone_map=0.6), decode_timestep=0.05, decode_noise=0.025
    )
    inputs = {
        key.removeprefix("in."): tensor for key, tensor in golden.items() if key.startswith("in.")
    }
    torch.manual_seed(416)
    size = {"height": 32, "width": 64, "num_frames": 9, "frame_rate": 25}
    video = pipe(**inputs, **size, generator=generators(416), output_type="pt").frames
    torch.testing.assert_close(video.transpose(1, 2), golden["out.pixels"], rtol=0, atol=1e-4)


def test_conditions_and_a_seed_give_the_latents_of_the_authors(pipe):
    golden = load_file(DATA / "keyframes_two.safetensors")
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=8), image_noise=0.15)
    names = (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    )
    frames_and_strengths = [(0, 1.0), (16, 0.8)]
    conditions = [
        ConditioningPixels(golden[f"in.cond.{i}.pixels"].float(), frame_index, strength)
        for i, (frame_index, strength) in enumerate(frames_and_strengths)
    ]
    torch.manual_seed(412)
    latents = pipe(
        **{name: golden[f"in.{name}"] for name in names},
        height=64,
        width=64,
        num_frames=25,
        frame_rate=30,
        conditions=conditions,
        generator=generators(412),
        output_type="latent",
    ).frames
    torch.testing.assert_close(latents, golden["out.latents"], rtol=0, atol=1e-4)


def test_a_video_of_a_batch_equals_a_single_run(pipe):
    """Unlike in the authors' code, which perturbs other rows."""
    batch = generate(pipe, 3)
    single = pipe(
        **{name: rows[2:] for name, rows in embeddings(3).items()},
        generator=generators(2),
        height=32,
        width=64,
        num_frames=9,
        output_type="latent",
    ).frames
    torch.testing.assert_close(batch[2:], single, rtol=0, atol=1e-5)


def test_only_the_branches_that_a_step_needs_are_computed(pipe, batch_sizes):
    schedule = GuidanceSchedule(
        scale=(1, 3, 3, 1),
        stg_scale=(0, 0, 1, 1),
        rescale=1.0,
        blocks=((), (), (0, 2), (1,)),
        timesteps=(1, 0.9, 0.6, 0),
    )
    pipe.recipe = Recipe(Pass(schedule, timesteps=(1.0, 0.95, 0.7, 0.3)))
    generate(pipe, 2)
    assert batch_sizes == [2, 4, 6, 4]


def test_steps_are_skipped_at_both_ends(pipe, batch_sizes):
    pipe.recipe = Recipe(Pass(steps=10, skip_initial=4, skip_final=3))
    generate(pipe, latents=torch.zeros(1, 16, 2, 1, 2))
    assert len(batch_sizes) == 3


@pytest.mark.parametrize(
    ("height", "width", "frames"), [(32, 64, 9), (50, 38, 12), (31, 33, 1), (33, 65, 2)]
)
def test_a_video_of_any_size_is_cropped_to_it(pipe, height, width, frames):
    pipe.recipe = Recipe(Pass(steps=1))
    video = generate(pipe, height=height, width=width, num_frames=frames, output_type="pt")
    assert video.shape == (1, frames, 3, height, width)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 60), st.sampled_from([1, 4, 8]))
def test_a_shape_is_rounded_up_by_the_least_and_padding_is_cropped_again(
    height, width, frames, ratio
):
    shape = VideoShape(height, width, frames, 25)
    rounded = round_up_shape(shape, ratio)
    assert round_up_shape(rounded, ratio) == rounded
    assert rounded.height % 32 == rounded.width % 32 == 0
    assert 0 <= rounded.height - height < 32
    assert 0 <= rounded.width - width < 32
    assert (rounded.num_frames - 1) % ratio == 0
    assert 0 <= rounded.num_frames - frames < ratio
    video = torch.rand(1, 1, 1, height, width)
    padded = pad_video(video, shape, rounded)
    assert padded.shape[3:] == (rounded.height, rounded.width)
    assert torch.equal(crop_video(padded, shape), video)


def test_bfloat16_gives_latents_close_to_those_of_float32(pipe):
    torch.manual_seed(1)
    exact = generate(pipe, conditions=[grey_condition(8)])
    components = {name: copy.deepcopy(value) for name, value in pipe.components.items()}
    bfloat16_pipe = LTXRecipePipeline(**components).to(torch.bfloat16)
    bfloat16_pipe.info = pipe.info
    bfloat16_pipe.recipe = pipe.recipe
    bfloat16_pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(1)
    latents = generate(bfloat16_pipe, conditions=[grey_condition(8)])
    assert latents.dtype == torch.float32
    assert 0 < (latents - exact).norm() / exact.norm() < 0.05
    assert generate(bfloat16_pipe, output_type="np").shape == (1, 9, 32, 64, 3)


def test_the_decoded_video_is_cropped_to_its_centre_and_first_frames(pipe, monkeypatch):
    pipe.recipe = Recipe(Pass(steps=1))
    whole = torch.rand(1, 3, 17, 64, 64) * 2 - 1
    monkeypatch.setattr(pipe, "decode_video", lambda latents, shape, recipe: whole)
    video = generate(pipe, height=50, width=39, num_frames=12, output_type="pt")
    torch.testing.assert_close(video.transpose(1, 2), whole[:, :, :12, 7:57, 12:51] / 2 + 0.5)


def test_two_passes_are_a_small_pass_an_upsampling_and_a_pass_at_twice_the_size(pipe):
    torch.manual_seed(0)
    pipe.latent_upsampler = LTXLatentUpsamplerModel(
        in_channels=16, mid_channels=32, num_blocks_per_stage=1
    ).eval()
    first = Pass(STG, steps=3)
    second = Pass(timesteps=(0.9, 0.5), tone_map=0.6)
    pipe.recipe = Recipe(first, second)
    # 2/3 of it are 64 and 85, which is rounded down to 64.
    size = {"height": 96, "width": 128, "num_frames": 9}
    generator = torch.Generator().manual_seed(0)
    latents = generate(pipe, generator=generator, **size)
    assert latents.shape == (1, 16, 2, 4, 4)

    generator = torch.Generator().manual_seed(0)
    pipe.recipe = Recipe(first)
    small = generate(pipe, generator=generator, height=64, width=64)
    pipe.recipe = Recipe(second)
    upsampled = pipe._upsample(small)
    large = generate(pipe, generator=generator, height=128, width=128, latents=upsampled)
    torch.testing.assert_close(latents, large)

    pipe.recipe = Recipe(first, second)
    assert generate(pipe, output_type="pt", **size).shape == (1, 9, 3, 96, 128)


def test_fully_conditioned_latents_are_those_of_the_picture(pipe):
    picture = PIL.Image.fromarray(
        (np.random.default_rng(0).random((32, 64, 3)) * 255).astype("uint8")
    )
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=4), image_noise=0.0)
    torch.manual_seed(0)
    conditioned = generate(pipe, conditions=[LTXVideoCondition(image=picture)])
    without = generate(pipe)
    torch.manual_seed(0)
    shape = VideoShape(32, 64, 9, 25)
    condition = pipe.preprocess_condition(LTXVideoCondition(image=picture), shape, shape)
    with torch.no_grad():
        encoded = encode_pixels(pipe.vae, condition.pixels, None, pipe.device)
    torch.testing.assert_close(conditioned[:, :, :1], encoded)
    assert (without[:, :, :1] - encoded).abs().max() > 0.1
    assert (without[:, :, 1:] - conditioned[:, :, 1:]).abs().max() > 1e-3


def grey_condition(frame_index=0, strength=1.0, frames=1, **changes):
    """A condition of grey frames in the size of the video."""
    pictures = [PIL.Image.new("RGB", (64, 32), (128, 128, 128))] * frames
    return LTXVideoCondition(
        **{"video": pictures, "frame_index": frame_index, "strength": strength} | changes
    )


WRONG = {
    "late": (
        [grey_condition(17)],
        "condition at frame 17 is outside the video, which has the frames 0 to 16",
    ),
    "early": ([grey_condition(-1)], "condition at frame -1 is outside the video"),
    "strength": (
        [grey_condition(8, 1.1)],
        "condition at frame 8 has the strength 1.1, outside 0 to 1",
    ),
    "no number": ([grey_condition(strength="strong")], "strength is 'strong'; give a number"),
    "nothing": ([grey_condition(video=None)], "condition at frame 0 has neither image nor video"),
    "both": (
        [grey_condition(image=PIL.Image.new("RGB", (64, 32)))],
        "has both image and video, of which only the image",
    ),
    "a file": (
        [grey_condition(video=None, image="cat.png")],
        "Frame 0 is a str: frames of a list are PIL images",
    ),
    "the same frame": (
        [grey_condition(8), grey_condition(0), grey_condition(8, 0.5)],
        "Two conditions overlap at frame 8",
    ),
    "in a clip": (
        [grey_condition(9), grey_condition(0, frames=17)],
        "Two conditions overlap at frame 9",
    ),
    "off the grid": (
        [grey_condition(3, frames=9)],
        "clip, which can begin at multiples of 8; the nearest are 0 and 8",
    ),
}


@pytest.mark.parametrize(("conditions", "message"), WRONG.values(), ids=WRONG)
def test_a_condition_that_cannot_be_used_is_refused_before_encoding(
    pipe, monkeypatch, conditions, message
):
    monkeypatch.setattr(pipe, "_encode_prompts", lambda *_: pytest.fail("it was called"))
    with pytest.raises(InputError, match=message):
        generate(pipe, num_frames=17, conditions=conditions)


def test_conditions_that_do_not_overlap_are_accepted(pipe):
    pipe.recipe = Recipe(Pass(steps=1))
    generate(
        pipe,
        num_frames=25,
        conditions=[
            grey_condition(8, frames=9),
            grey_condition(0, frames=1),
            grey_condition(17),
            grey_condition(24, 0.5),
        ],
    )


SPATIAL = {"in_channels": 16, "mid_channels": 32, "num_blocks_per_stage": 1}
VALID = {"recipe": Recipe(Pass(timesteps=(0.9, 0.5))), "latents": torch.zeros(1, 16, 2, 1, 2)}
IMPOSSIBLE = {
    "blocks": (
        {"recipe": Recipe(Pass(replace(STG, blocks=(1, 3))))},
        r"the blocks \[3\]; the model has 0 to 2",
    ),
    "steps": ({"recipe": Recipe(Pass(steps=4, skip_final=4))}, "skips all of its 4 steps"),
    "timesteps": (
        {"info": (1.0, 0.5)},
        r"distilled to the timesteps \(1.0, 0.5\); the recipe asks for \[0.9\] as well",
    ),
    "percent": (
        {"recipe": Recipe(Pass(tone_map=60))},
        "tone mapping of a pass is 60; it must be from 0 to 1",
    ),
    "thousands": (
        {"recipe": Recipe(Pass(timesteps=(1000.0, 500.0)))},
        r"pass are \[1000.0, 500.0\]; they must",
    ),
    "rising": (
        {"recipe": Recipe(Pass(timesteps=(0.5, 0.9)))},
        r"pass are \[0.5, 0.9\]; they must fall",
    ),
    "mode": (
        {"recipe": Recipe(Pass(replace(STG, mode="all")))},
        "perturbation is 'all'; it is one of",
    ),
    "no latents": (
        {"recipe": Recipe(Pass(skip_initial=3)), "latents": None},
        "skips the 3 noisiest steps, which needs",
    ),
    "latents": (
        {"latents": torch.zeros(1, 16, 2, 2, 2)},
        r"shape \(1, 16, 2, 2, 2\); \(1, 16, 2, 1, 2\) is needed",
    ),
    "noise": (
        {"recipe": Recipe()},
        "begins at timestep 1, where noise replaces the latents",
    ),
    "small": (
        {"recipe": Recipe(Pass(), Pass()), "latents": None},
        "makes videos of at least 48x48 pixels",
    ),
    "temporal": (
        {
            "recipe": Recipe(Pass(), Pass()),
            "latents": None,
            "height": 64,
            "upsampler": {"temporal_upsample": True},
        },
        "The latent upsampler makes 2 x the frames, 2 x the rows and 2 x the columns; a recipe of "
        "two passes needs 1 x",
    ),
}


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_recipe_that_the_models_cannot_sample_is_refused_before_encoding(
    pipe, monkeypatch, changes, message
):
    monkeypatch.setattr(pipe, "_encode_prompts", lambda *_: pytest.fail("it was called"))
    call = VALID | changes
    pipe.recipe = call.pop("recipe")
    pipe.latent_upsampler = LTXLatentUpsamplerModel(**SPATIAL | call.pop("upsampler", {}))
    monkeypatch.setattr(pipe, "info", replace(pipe.info, allowed_timesteps=call.pop("info", None)))
    with pytest.raises(InputError, match=message):
        generate(pipe, **call)


def test_perturbed_blocks_are_not_checked_if_stg_is_off(pipe):
    pipe.recipe = Recipe(Pass(replace(STG, stg_scale=0.0, blocks=(42,)), steps=1))
    generate(pipe)


def test_a_picture_of_another_aspect_ratio_is_cropped_with_a_warning(pipe, caplog):
    pipe.recipe = Recipe(Pass(steps=1))
    generate(
        pipe,
        conditions=[
            grey_condition(),
            grey_condition(8, video=None, image=np.zeros((50, 80, 3), np.uint8)),
        ],
    )
    assert (
        "frame 8 is 80x50 pixels; its centre, 80x40, is used, in the aspect ratio of the video, "
        "64x32" in caplog.text
    )
    assert "condition at frame 0" not in caplog.text


def test_a_clip_that_is_too_long_is_cut_with_a_warning(pipe, caplog):
    clip = [PIL.Image.new("RGB", (64, 32), (i, 0, 0)) for i in range(15)]
    pipe.recipe = Recipe(Pass(steps=1))
    generate(pipe, num_frames=17, conditions=[LTXVideoCondition(video=clip)])
    assert "The condition at frame 0 has 15 frames; the first 9 are used" in caplog.text


def test_two_passes_need_an_upsampler(pipe, batch_sizes):
    pipe.recipe = replace(pipe.recipe, second=Pass())
    with pytest.raises(InputError, match="latent_upsampler"):
        generate(pipe)
    assert batch_sizes == []
