"""Reference videos: their tokens are extra tokens that are not denoised.

Lightricks/LTX-Video-Trainer.
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
from tests.ltx.pipelines.test_recipe import embeddings, generate, grey_condition, pipe

__all__ = ["pipe"]
TIMESTEPS = (1.0, 0.8, 0.5, 0.2)


def poses(frames=9, height=32, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def _recipe(pipe):
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), timesteps=TIMESTEPS), image_noise=0.0)
    pipe.latent_upsampler = None


@pytest.fixture
def transformer_inputs(pipe):
    """The transformer's inputs at each step: tokens, timesteps, and prepared inputs."""
    steps = []

    def record(module, args, kwargs):
        steps.append((args[0].clone(), kwargs["timestep"].clone(), kwargs["prepared"]))

    handle = pipe.transformer.register_forward_pre_hook(record, with_kwargs=True)
    yield steps
    handle.remove()


def sample_as_the_trainer(pipe, video, image_noise, generator):
    """Sampling of `ltxv_pipeline.py` for 9 frames of 32x64 pixels.

    The video has 2 latent frames of 2 tokens, and the reference as many.
    """
    noise = torch.randn(1, 4, 16, generator=generator)
    pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None] / 127.5 - 1
    reference = encode_pixels(pipe.vae, pixels, None, pipe.device).flatten(2).transpose(1, 2)
    initial = torch.cat([reference, noise], dim=1)
    strength = torch.tensor([[1.0] * 4 + [0.0] * 4])
    is_conditioned = strength[..., None] == 1
    frame = torch.tensor([0, 0, 1, 1])
    column = torch.tensor([0, 1, 0, 1])
    positions = torch.stack([(frame * 8 + 1 - 8).clamp(min=0) / 30, frame * 0.0, column * 32])
    coords = torch.cat([positions, positions], dim=1)[None].repeat(2, 1, 1)
    prompts = embeddings()
    embeds = torch.cat([prompts["negative_prompt_embeds"], prompts["prompt_embeds"]])
    mask = torch.cat([prompts["negative_prompt_attention_mask"], prompts["prompt_attention_mask"]])
    tokens = initial
    for sigma, next_sigma in zip(TIMESTEPS, [*TIMESTEPS[1:], 0.0], strict=True):
        if image_noise:
            new_noise = torch.randn(tokens.shape, generator=generator)
            noised = initial + image_noise * new_noise * sigma**2
            tokens = torch.where(is_conditioned, noised, tokens)
        timestep = torch.minimum(torch.tensor(sigma * 1000), (1 - strength) * 1000)
        negative, positive = pipe.transformer(
            torch.cat([tokens] * 2),
            embeds,
            torch.cat([timestep] * 2),
            mask,
            video_coords=coords,
            return_dict=False,
        )[0].chunk(2)
        velocity = negative + 3 * (positive - negative)
        stepped = tokens - (sigma - next_sigma) * velocity
        tokens = torch.where(is_conditioned, tokens, stepped)
    return tokens[:, 4:].transpose(1, 2).unflatten(2, (2, 1, 2))


@pytest.mark.parametrize("image_noise", [0.0, 0.15])
def test_a_reference_gives_the_latents_of_the_trainer(pipe, image_noise):
    pipe.recipe = Recipe(pipe.recipe.first, image_noise=image_noise)
    torch.manual_seed(1)
    latents = generate(
        pipe, generator=torch.Generator().manual_seed(2), reference_video=poses(), frame_rate=30
    )
    torch.manual_seed(1)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        expected = sample_as_the_trainer(pipe, poses(), image_noise, generator)
    torch.testing.assert_close(latents, expected, rtol=0, atol=1e-4)
    without = generate(pipe, generator=torch.Generator().manual_seed(2), frame_rate=30)
    assert (without - latents).abs().max() > 1e-2


def test_reference_tokens_never_change_and_have_the_positions_of_the_video(
    pipe, transformer_inputs
):
    latents = generate(pipe, reference_video=poses(), conditions=[grey_condition(8)])
    assert latents.shape == (1, 16, 2, 1, 2)
    first_tokens, _, _ = transformer_inputs[0]
    for tokens, timestep, prepared in transformer_inputs:
        # Rows are negative and positive; tokens are of reference, keyframe and video.
        assert tokens.shape == (2, 4 + 2 + 4, 16)
        assert torch.equal(tokens[:, :4], first_tokens[:, :4])
        assert torch.equal(tokens[0], tokens[1])
        assert timestep[:, :6].eq(0).all()
        for angles in prepared.rotation:
            assert torch.equal(angles[:, :4], angles[:, 6:])


def test_a_reference_is_cut_to_the_video_and_may_be_shorter(pipe, transformer_inputs, caplog):
    generate(pipe, reference_video=poses(20))
    generate(pipe, reference_video=list(map(PIL.Image.fromarray, poses(1))))
    assert [tokens.shape[1] for tokens, _, _ in transformer_inputs] == [8] * 4 + [6] * 4
    assert (
        "The reference video has 20 frames; the first 9 are used (8 k + 1), the others cut"
        in caplog.text
    )


def test_a_reference_is_scaled_to_cover_the_video_and_cropped_to_its_centre(pipe, caplog):
    video = np.zeros((1, 64, 256, 3), np.uint8)
    video[:, :, 64:192] = 255
    shape = VideoShape(32, 64, 9, 25)
    reference = pipe.preprocess_reference(video, shape, shape)
    assert reference.pixels.shape == (1, 3, 1, 32, 64)
    assert reference.pixels[..., 1:-1].min() == 1  # the black parts are cropped
    assert "The reference video is 256x64 pixels; its centre, 128x64, is used" in caplog.text
    odd = pipe.preprocess_reference(video, VideoShape(31, 62, 9, 25), shape)
    assert odd.pixels.shape == (1, 3, 1, 32, 64)
    assert odd.pixels[..., 0].abs().max() == 0  # the margin, which is cropped from the video


@pytest.mark.parametrize("size", [(32, 64), (50, 38), (704, 1216), (31, 33)])
@pytest.mark.parametrize("frame_size", [(48, 64), (64, 48), (720, 1280), (11, 1000)])
def test_frames_of_any_size_cover_a_video_of_any_size(frame_size, size):
    assert cover(torch.zeros(1, 3, *frame_size), *size).shape == (1, 3, *size)


def test_each_pass_gets_the_reference_in_its_size(pipe, transformer_inputs):
    pipe.latent_upsampler = LTXLatentUpsamplerModel(
        in_channels=16, mid_channels=32, num_blocks_per_stage=1
    ).eval()
    pipe.recipe = Recipe(Pass(steps=1), Pass(timesteps=(0.5,)))
    generate(pipe, height=64, width=64, reference_video=poses(9, 64, 64))
    assert [tokens.shape[1] for tokens, _, _ in transformer_inputs] == [2 * 2, 2 * 8]


def test_a_path_as_reference_video_is_refused(pipe):
    with pytest.raises(InputError, match="A video is a list"):
        generate(pipe, reference_video="poses.mp4")
