"""Recipes of two passes: the latents between them, tone mapping and guidance."""

from pathlib import Path
from typing import Any

import pytest
import torch

from filmstrip.ltx.models.latent_upsampler import LTXLatentUpsamplerModel
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe

CHECKPOINT = Path(__file__).parents[2] / "data" / "golden_ltx" / "ckpt_v095.safetensors"


@pytest.fixture
def pipe() -> Any:
    torch.manual_seed(0)
    upsampler = LTXLatentUpsamplerModel(in_channels=16, mid_channels=32, num_blocks_per_stage=1)
    pipe = LTXRecipePipeline.from_single_file(
        CHECKPOINT, text_encoder=None, tokenizer=None, latent_upsampler=upsampler.eval()
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe: Any, recipe: Recipe, **options: Any) -> torch.Tensor:
    """Sample a video of 64x64 pixels in the first pass and 128x128 in the second."""
    generator = torch.Generator().manual_seed(1)
    pipe.recipe = recipe
    torch.manual_seed(2)
    frames: torch.Tensor = pipe(
        prompt_embeds=torch.randn(1, 5, 32, generator=generator),
        prompt_attention_mask=torch.ones(1, 5),
        negative_prompt_embeds=torch.randn(1, 5, 32, generator=generator),
        negative_prompt_attention_mask=torch.ones(1, 5),
        height=96,
        width=96,
        num_frames=9,
        generator=generator,
        **options,
    ).frames
    return frames


def statistics(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Deviation and mean of each channel of tokens `(B, N, C)`."""
    std, mean = torch.std_mean(tokens, dim=1)
    return std, mean


def test_the_second_pass_starts_from_latents_with_the_statistics_of_the_first(pipe: Any) -> None:
    """AdaIN with factor 1 between passes, as in the authors' `pipeline_ltx_video.py`."""
    inputs = []
    upsamplings = []
    pipe.transformer.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    pipe.latent_upsampler.register_forward_hook(
        lambda module, args, output: upsamplings.append((args[0], output))
    )
    timestep = 1e-4  # little noise, so that the transformer's input is the upsampled latents
    generate(pipe, Recipe(Pass(steps=2), Pass(timesteps=(timestep,))), output_type="latent")

    [(small, large)] = upsamplings
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (pipe.vae.latents_mean, pipe.vae.latents_std))
    first, upsampled = (((x - mean) / std).flatten(2).transpose(1, 2) for x in (small, large))
    second = inputs[-1]
    assert second.shape[1] == 4 * first.shape[1]
    for of_second, of_first in zip(statistics(second), statistics(first), strict=True):
        torch.testing.assert_close(of_second, of_first, rtol=0, atol=2e-3)
    # The upsampler changes them, and AdaIN changes nothing else.
    assert (statistics(upsampled)[0] - statistics(first)[0]).abs().max() > 0.1
    std, mean = statistics(upsampled)
    first_std, first_mean = statistics(first)
    expected = (upsampled - mean) / std * first_std + first_mean
    torch.testing.assert_close(second, expected, rtol=0, atol=2e-3)


def test_only_the_tone_mapping_of_the_last_pass_is_applied(pipe: Any) -> None:
    plain, first, second = (
        generate(
            pipe,
            Recipe(Pass(steps=1, tone_map=in_first), Pass(timesteps=(0.5,), tone_map=in_second)),
            output_type="pt",
        )
        for in_first, in_second in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    assert torch.equal(first, plain)
    assert (second - plain).abs().max() > 1e-3


def test_the_negative_prompt_is_only_used_in_the_pass_with_guidance(pipe: Any) -> None:
    batch_sizes = []
    pipe.transformer.register_forward_pre_hook(
        lambda module, args: batch_sizes.append(len(args[0]))
    )
    guided = Pass(GuidanceSchedule(scale=3.0), timesteps=(0.5, 0.25))
    generate(pipe, Recipe(Pass(steps=1), guided), output_type="latent")
    assert batch_sizes == [1, 2, 2]
    batch_sizes.clear()
    first = Pass(GuidanceSchedule(scale=3.0), steps=1)
    generate(pipe, Recipe(first, Pass(timesteps=(0.5, 0.25))), output_type="latent")
    assert batch_sizes == [2, 1, 1]
