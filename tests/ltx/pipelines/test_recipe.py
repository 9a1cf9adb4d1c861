"""The authors' recipe: golden numbers from their seeds, what is asked of the model, sizes,
conditions.
"""

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
    made = LTXRecipePipeline.from_single_file(
        DATA / "ckpt_v095.safetensors", text_encoder=None, tokenizer=None
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(autouse=True)
def _reset(pipe):
    pipe.recipe, pipe.latent_upsampler = Recipe(Pass(STG, steps=3)), None


@pytest.fixture
def asked(pipe):
    """The number of rows that the transformer is asked about at each step."""
    rows = []
    handle = pipe.transformer.register_forward_hook(
        lambda module, args, output: rows.append(len(args[0]))
    )
    yield rows
    handle.remove()


def texts(videos=1, seed=0):
    """Embeddings of as many prompts; the first ones are the same whatever their number."""
    generator = torch.Generator().manual_seed(seed)
    embeds, negatives = (torch.randn(3, 5, 32, generator=generator)[:videos] for _ in range(2))
    masks = torch.ones(videos, 5)
    return {
        "prompt_embeds": embeds,
        "prompt_attention_mask": masks,
        "negative_prompt_embeds": negatives,
        "negative_prompt_attention_mask": masks,
    }


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


def make(pipe, videos=1, generator=None, **options):
    size = {"height": 32, "width": 64, "num_frames": 9, "output_type": "latent"}
    return pipe(
        **texts(videos), generator=generator or seeds(*range(videos)), **(size | options)
    ).frames


def test_a_seed_gives_what_it_gave_the_authors(pipe):
    golden = load_file(DATA / "decode_tone_map.safetensors")
    guidance = GuidanceSchedule(scale=3.0, stg_scale=0.0, rescale=1.0)
    pipe.recipe = Recipe(
        Pass(guidance, steps=3, tone_map=0.6), decode_timestep=0.05, decode_noise=0.025
    )
    given = {
        key.removeprefix("in."): tensor for key, tensor in golden.items() if key.startswith("in.")
    }
    torch.manual_seed(416)
    size = {"height": 32, "width": 64, "num_frames": 9, "frame_rate": 25}
    video = pipe(**given, **size, generator=seeds(416), output_type="pt").frames
    torch.testing.assert_close(video.transpose(1, 2), golden["out.pixels"], rtol=0, atol=1e-4)


def test_conditions_and_their_seed_give_what_they_gave_the_authors(pipe):
    golden = load_file(DATA / "keyframes_two.safetensors")
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=8), image_noise=0.15)
    names = (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    )
    held = [(0, 1.0), (16, 0.8)]
    conditions = [
        ConditioningPixels(golden[f"in.cond.{i}.pixels"].float(), *item)
        for i, item in enumerate(held)
    ]
    torch.manual_seed(412)
    latents = pipe(
        **{name: golden[f"in.{name}"] for name in names},
        height=64,
        width=64,
        num_frames=25,
        frame_rate=30,
        conditions=conditions,
        generator=seeds(412),
        output_type="latent",
    ).frames
    torch.testing.assert_close(latents, golden["out.latents"], rtol=0, atol=1e-4)


def test_each_video_of_a_batch_is_guided_as_if_it_were_alone(pipe):
    """Unlike in the authors' code, which perturbs other rows."""
    together = make(pipe, 3)
    alone = pipe(
        **{name: rows[2:] for name, rows in texts(3).items()},
        generator=seeds(2),
        height=32,
        width=64,
        num_frames=9,
        output_type="latent",
    ).frames
    torch.testing.assert_close(together[2:], alone, rtol=0, atol=1e-5)


def test_what_guidance_does_not_need_at_a_step_is_not_computed(pipe, asked):
    schedule = GuidanceSchedule(
        scale=(1, 3, 3, 1),
        stg_scale=(0, 0, 1, 1),
        rescale=1.0,
        blocks=((), (), (0, 2), (1,)),
        timesteps=(1, 0.9, 0.6, 0),
    )
    pipe.recipe = Recipe(Pass(schedule, timesteps=(1.0, 0.95, 0.7, 0.3)))
    make(pipe, 2)
    assert asked == [2, 4, 6, 4]


def test_steps_are_left_out_at_both_ends(pipe, asked):
    pipe.recipe = Recipe(Pass(steps=10, skip_initial=4, skip_final=3))
    make(pipe, latents=torch.zeros(1, 16, 2, 1, 2))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("height", "width", "frames"), [(32, 64, 9), (50, 38, 12), (31, 33, 1), (33, 65, 2)]
)
def test_any_size_is_made_and_cropped(pipe, height, width, frames):
    pipe.recipe = Recipe(Pass(steps=1))
    video = make(pipe, height=height, width=width, num_frames=frames, output_type="pt")
    assert video.shape == (1, frames, 3, height, width)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 60), st.sampled_from([1, 4, 8]))
def test_a_clip_is_made_no_larger_than_needed_and_what_is_padded_is_cropped_again(
    height, width, frames, ratio
):
    wanted = VideoShape(height, width, frames, 25)
    made = round_up_shape(wanted, ratio)
    assert round_up_shape(made, ratio) == made
    for side in ("height", "width"):
        assert getattr(made, side) % 32 == 0
        assert 0 <= getattr(made, side) - getattr(wanted, side) < 32
    assert (made.num_frames - 1) % ratio == 0
    assert 0 <= made.num_frames - frames < ratio
    video = torch.rand(1, 1, 1, height, width)
    padded = pad_video(video, wanted, made)
    assert padded.shape[3:] == (made.height, made.width)
    assert torch.equal(crop_video(padded, wanted), video)


def test_bfloat16_is_near_float32(pipe):
    torch.manual_seed(1)
    exact = make(pipe, conditions=[shown(8)])
    rounded = LTXRecipePipeline(
        **{name: copy.deepcopy(part) for name, part in pipe.components.items()}
    )
    rounded.info, rounded.recipe = pipe.info, pipe.recipe
    rounded.set_progress_bar_config(disable=True)
    torch.manual_seed(1)
    near = make(rounded.to(torch.bfloat16), conditions=[shown(8)])
    assert near.dtype == torch.float32
    assert 0 < (near - exact).norm() / exact.norm() < 0.05
    assert make(rounded, output_type="np").shape == (1, 9, 32, 64, 3)


def test_the_crop_is_the_middle_of_what_is_made(pipe, monkeypatch):
    pipe.recipe = Recipe(Pass(steps=1))
    whole = torch.rand(1, 3, 17, 64, 64) * 2 - 1
    monkeypatch.setattr(pipe, "decode_video", lambda latents, shape, recipe: whole)
    video = make(pipe, height=50, width=39, num_frames=12, output_type="pt")
    torch.testing.assert_close(video.transpose(1, 2), whole[:, :, :12, 7:57, 12:51] / 2 + 0.5)


def test_two_passes_are_a_small_walk_an_upsampling_and_a_walk_at_twice_its_size(pipe):
    torch.manual_seed(0)
    pipe.latent_upsampler = LTXLatentUpsamplerModel(
        in_channels=16, mid_channels=32, num_blocks_per_stage=1
    ).eval()
    first, second = Pass(STG, steps=3), Pass(timesteps=(0.9, 0.5), tone_map=0.6)
    pipe.recipe = Recipe(first, second)
    size = {
        "height": 96,
        "width": 128,
        "num_frames": 9,
    }  # 2/3 of it are 64 and 85, which is 64 in steps of 32
    generator = torch.Generator().manual_seed(0)
    whole = make(pipe, generator=generator, **size)
    assert whole.shape == (1, 16, 2, 4, 4)

    generator = torch.Generator().manual_seed(0)
    pipe.recipe = Recipe(first)
    small = make(pipe, generator=generator, height=64, width=64)
    pipe.recipe = Recipe(second)
    large = make(pipe, generator=generator, height=128, width=128, latents=pipe._upsample(small))
    torch.testing.assert_close(whole, large)

    pipe.recipe = Recipe(first, second)
    assert make(pipe, output_type="pt", **size).shape == (1, 9, 3, 96, 128)


def test_what_is_wholly_held_stays_but_for_the_last_noise(pipe):
    picture = PIL.Image.fromarray(
        (np.random.default_rng(0).random((32, 64, 3)) * 255).astype("uint8")
    )
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=4), image_noise=0.0)
    torch.manual_seed(0)
    held = make(pipe, conditions=[LTXVideoCondition(image=picture)])
    free = make(pipe)
    torch.manual_seed(0)
    kept = pipe.preprocess_condition(
        LTXVideoCondition(image=picture), *[VideoShape(32, 64, 9, 25)] * 2
    )
    with torch.no_grad():
        encoded = encode_pixels(pipe.vae, kept.pixels, None, pipe.device)
    torch.testing.assert_close(held[:, :, :1], encoded)
    assert (free[:, :, :1] - encoded).abs().max() > 0.1
    assert (free[:, :, 1:] - held[:, :, 1:]).abs().max() > 1e-3


def shown(frame_index=0, strength=1.0, frames=1, **changes):
    """A condition that shows grey frames of the video's size."""
    pictures = [PIL.Image.new("RGB", (64, 32), (128, 128, 128))] * frames
    return LTXVideoCondition(
        **{"video": pictures, "frame_index": frame_index, "strength": strength} | changes
    )


WRONG = {
    "late": (
        [shown(17)],
        "condition at frame 17 is outside the video, which has the frames 0 to 16",
    ),
    "early": ([shown(-1)], "condition at frame -1 is outside the video"),
    "strength": ([shown(8, 1.1)], "condition at frame 8 has the strength 1.1, outside 0 to 1"),
    "no number": ([shown(strength="strong")], "strength is 'strong'; give a number"),
    "nothing": ([shown(video=None)], "condition at frame 0 has neither image nor video"),
    "both": (
        [shown(image=PIL.Image.new("RGB", (64, 32)))],
        "has both image and video, of which only the image",
    ),
    "a file": (
        [shown(video=None, image="cat.png")],
        "Frame 0 is a str: frames of a list are PIL images",
    ),
    "the same place": ([shown(8), shown(0), shown(8, 0.5)], "Two conditions hold frame 8"),
    "in a clip": ([shown(9), shown(0, frames=17)], "Two conditions hold frame 9"),
    "off the grid": (
        [shown(3, frames=9)],
        "clip, which can begin at multiples of 8; the nearest are 0 and 8",
    ),
}


@pytest.mark.parametrize(("conditions", "message"), WRONG.values(), ids=WRONG)
def test_a_condition_that_cannot_be_is_refused_before_any_work(
    pipe, monkeypatch, conditions, message
):
    monkeypatch.setattr(pipe, "_encode_prompts", lambda *_: pytest.fail("work had begun"))
    with pytest.raises(InputError, match=message):
        make(pipe, num_frames=17, conditions=conditions)


def test_conditions_that_meet_at_no_frame_are_taken(pipe):
    pipe.recipe = Recipe(Pass(steps=1))
    make(
        pipe,
        num_frames=25,
        conditions=[shown(8, frames=9), shown(0, frames=1), shown(17), shown(24, 0.5)],
    )


SPATIAL = {"in_channels": 16, "mid_channels": 32, "num_blocks_per_stage": 1}
STARTED = {"recipe": Recipe(Pass(timesteps=(0.9, 0.5))), "latents": torch.zeros(1, 16, 2, 1, 2)}
CANNOT = {
    "blocks": (
        {"recipe": Recipe(Pass(replace(STG, blocks=(1, 3))))},
        r"the blocks \[3\]; the model has 0 to 2",
    ),
    "steps": ({"recipe": Recipe(Pass(steps=4, skip_final=4))}, "leaves out all of its 4 steps"),
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
        "leaves out the 3 noisiest steps, which needs",
    ),
    "latents": (
        {"latents": torch.zeros(1, 16, 2, 2, 2)},
        r"shape \(1, 16, 2, 2, 2\); \(1, 16, 2, 1, 2\) is wanted",
    ),
    "noise": ({"recipe": Recipe()}, "Nothing is left of the latents at timestep 1"),
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


@pytest.mark.parametrize(("changes", "message"), CANNOT.values(), ids=CANNOT)
def test_what_the_models_cannot_walk_is_refused_before_any_work(
    pipe, monkeypatch, changes, message
):
    monkeypatch.setattr(pipe, "_encode_prompts", lambda *_: pytest.fail("work had begun"))
    call = STARTED | changes
    pipe.recipe = call.pop("recipe")
    pipe.latent_upsampler = LTXLatentUpsamplerModel(**SPATIAL | call.pop("upsampler", {}))
    monkeypatch.setattr(pipe, "info", replace(pipe.info, allowed_timesteps=call.pop("info", None)))
    with pytest.raises(InputError, match=message):
        make(pipe, **call)


def test_blocks_of_a_guidance_that_is_off_do_not_matter(pipe):
    pipe.recipe = Recipe(Pass(replace(STG, stg_scale=0.0, blocks=(42,)), steps=1))
    make(pipe)


def test_a_picture_of_another_shape_is_cropped_with_a_warning(pipe, caplog):
    pipe.recipe = Recipe(Pass(steps=1))
    make(pipe, conditions=[shown(), shown(8, video=None, image=np.zeros((50, 80, 3), np.uint8))])
    assert (
        "frame 8 is 80x50 pixels; its middle, 80x40, is used, in the shape of the video's 64x32"
        in caplog.text
    )
    assert "condition at frame 0" not in caplog.text


def test_a_clip_that_is_too_long_is_cut_with_a_warning(pipe, caplog):
    clip = [PIL.Image.new("RGB", (64, 32), (i, 0, 0)) for i in range(15)]
    pipe.recipe = Recipe(Pass(steps=1))
    make(pipe, num_frames=17, conditions=[LTXVideoCondition(video=clip)])
    assert "The condition at frame 0 has 15 frames; the first 9 are used" in caplog.text


def test_two_passes_need_an_upsampler(pipe, asked):
    pipe.recipe = replace(pipe.recipe, second=Pass())
    with pytest.raises(InputError, match="latent_upsampler"):
        make(pipe)
    assert asked == []
