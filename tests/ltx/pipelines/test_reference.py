"""Reference videos: their tokens go beside the video's, as Lightricks/LTX-Video-Trainer has them,
and do not walk.
"""

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.pipelines.encode import encode_pixels
from filmstrip.ltx.pipelines.preprocess import cover
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from filmstrip.ltx.video_shape import VideoShape
from tests.ltx.pipelines.test_recipe import make, pipe, shown, texts

__all__ = ["pipe"]
TIMES = (1.0, 0.8, 0.5, 0.2)


def poses(frames=9, height=32, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def _recipe(pipe):
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), timesteps=TIMES), image_noise=0.0)
    pipe.latent_upsampler = None


@pytest.fixture
def seen(pipe):
    """What the transformer is given at each step: tokens, timesteps, and what was prepared."""
    steps = []

    def look(module, args, kwargs):
        steps.append((args[0].clone(), kwargs["timestep"].clone(), kwargs["prepared"]))

    handle = pipe.transformer.register_forward_pre_hook(look, with_kwargs=True)
    yield steps
    handle.remove()


def as_the_trainer(pipe, video, image_noise, generator):
    """The walk of `ltxv_pipeline.py` for 9 frames of 32x64 pixels: two times 2 tokens, and as many
    of the reference.
    """
    noise = torch.randn(1, 4, 16, generator=generator)
    pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None] / 127.5 - 1
    start = torch.cat(
        [encode_pixels(pipe.vae, pixels, None, pipe.device).flatten(2).transpose(1, 2), noise],
        dim=1,
    )
    held = torch.tensor([[1.0] * 4 + [0.0] * 4])
    frame, column = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    place = torch.stack([(frame * 8 + 1 - 8).clamp(min=0) / 30, frame * 0.0, column * 32])
    coords = torch.cat([place, place], dim=1)[None].repeat(2, 1, 1)
    given = texts()
    embeds = torch.cat([given["negative_prompt_embeds"], given["prompt_embeds"]])
    mask = torch.cat([given["negative_prompt_attention_mask"], given["prompt_attention_mask"]])
    tokens = start
    for time, after in zip(TIMES, [*TIMES[1:], 0.0], strict=True):
        if image_noise:
            drawn = torch.randn(tokens.shape, generator=generator)
            tokens = torch.where(
                held[..., None] == 1, start + image_noise * drawn * time**2, tokens
            )
        timestep = torch.minimum(torch.tensor(time * 1000), (1 - held) * 1000)
        negative, positive = pipe.transformer(
            torch.cat([tokens] * 2),
            embeds,
            torch.cat([timestep] * 2),
            mask,
            video_coords=coords,
            return_dict=False,
        )[0].chunk(2)
        velocity = negative + 3 * (positive - negative)
        tokens = torch.where(held[..., None] == 1, tokens, tokens - (time - after) * velocity)
    return tokens[:, 4:].transpose(1, 2).unflatten(2, (2, 1, 2))


@pytest.mark.parametrize("image_noise", [0.0, 0.15])
def test_a_reference_guides_as_in_the_trainer(pipe, image_noise):
    pipe.recipe = Recipe(pipe.recipe.first, image_noise=image_noise)
    torch.manual_seed(1)
    made = make(
        pipe, generator=torch.Generator().manual_seed(2), reference_video=poses(), frame_rate=30
    )
    torch.manual_seed(1)
    with torch.no_grad():
        wanted = as_the_trainer(pipe, poses(), image_noise, torch.Generator().manual_seed(2))
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4)
    assert (
        make(pipe, generator=torch.Generator().manual_seed(2), frame_rate=30) - made
    ).abs().max() > 1e-2


def test_its_tokens_never_change_and_have_the_places_of_the_videos(pipe, seen):
    latents = make(pipe, reference_video=poses(), conditions=[shown(8)])
    assert latents.shape == (1, 16, 2, 1, 2)
    for tokens, timestep, prepared in seen:
        assert tokens.shape == (
            2,
            4 + 2 + 4,
            16,
        )  # reference, keyframe, video; negative and positive row
        assert torch.equal(tokens[:, :4], seen[0][0][:, :4])
        assert torch.equal(tokens[0], tokens[1])
        assert timestep[:, :6].eq(0).all()
        for angles in prepared.rotation:
            assert torch.equal(angles[:, :4], angles[:, 6:])


def test_it_is_cut_to_the_video_and_may_be_shorter(pipe, seen, caplog):
    make(pipe, reference_video=poses(20))
    make(pipe, reference_video=list(map(PIL.Image.fromarray, poses(1))))
    assert [tokens.shape[1] for tokens, _, _ in seen] == [8] * 4 + [6] * 4
    assert (
        "The reference video has 20 frames; the first 9 are used (8 k + 1), the others cut"
        in caplog.text
    )


def test_it_is_scaled_to_cover_the_video_and_cropped_to_its_middle(pipe, caplog):
    video = np.zeros((1, 64, 256, 3), np.uint8)
    video[:, :, 64:192] = 255
    held = pipe.preprocess_reference(video, VideoShape(32, 64, 9, 25), VideoShape(32, 64, 9, 25))
    assert held.pixels.shape == (1, 3, 1, 32, 64)
    assert held.pixels[..., 1:-1].min() == 1  # the black sides are gone
    assert "The reference video is 256x64 pixels; its middle, 128x64, is used" in caplog.text
    odd = pipe.preprocess_reference(video, VideoShape(31, 62, 9, 25), VideoShape(32, 64, 9, 25))
    assert odd.pixels.shape == (1, 3, 1, 32, 64)
    assert odd.pixels[..., 0].abs().max() == 0  # the margin, which is cropped from what is made


@pytest.mark.parametrize("size", [(32, 64), (50, 38), (704, 1216), (31, 33)])
@pytest.mark.parametrize("given", [(48, 64), (64, 48), (720, 1280), (11, 1000)])
def test_any_size_covers_any_other(given, size):
    assert cover(torch.zeros(1, 3, *given), *size).shape == (1, 3, *size)


def test_both_passes_are_given_it_in_their_size(pipe, seen):
    pipe.latent_upsampler = LTXLatentUpsamplerModel(
        in_channels=16, mid_channels=32, num_blocks_per_stage=1
    ).eval()
    pipe.recipe = Recipe(Pass(steps=1), Pass(timesteps=(0.5,)))
    make(pipe, height=64, width=64, reference_video=poses(9, 64, 64))
    assert [tokens.shape[1] for tokens, _, _ in seen] == [2 * 2, 2 * 8]


def test_what_is_no_video_is_refused(pipe):
    with pytest.raises(InputError, match="A video is a list"):
        make(pipe, reference_video="poses.mp4")
