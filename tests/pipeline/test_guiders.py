"""Guidance gives diffusers' numbers and needs only the branches that it uses."""

import dataclasses

import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx import rescale_noise_cfg as diffusers_rescale

from filmstrip.pipeline.guiders import (
    ClassifierFreeGuidance,
    SpatioTemporalGuidance,
    linear_guidance,
    rescale_noise_cfg,
)

NEGATIVE, POSITIVE = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0))
POSITIVE = POSITIVE * torch.tensor([0.5, 1.0, 3.0]).view(3, 1, 1)
BOTH = torch.cat([NEGATIVE, POSITIVE])


@pytest.mark.parametrize("scale", [1.5, 3.0, 12.0])
@pytest.mark.parametrize("rescale", [0.0, 0.3, 1.0])
def test_guidance_gives_the_numbers_of_diffusers(scale, rescale):
    guided = ClassifierFreeGuidance(scale, rescale).combine(BOTH)
    expected = NEGATIVE + scale * (POSITIVE - NEGATIVE)
    if rescale:
        expected = diffusers_rescale(expected, POSITIVE, rescale)
    torch.testing.assert_close(guided, expected)


@pytest.mark.parametrize("scale", [0.0, 0.9, 1.0])
def test_without_guidance_only_the_positive_branch_is_needed(scale):
    guidance = ClassifierFreeGuidance(scale, rescale=0.7)
    assert not guidance.enabled
    assert guidance.branches == ("positive",)
    torch.testing.assert_close(guidance.combine(POSITIVE), POSITIVE)


def test_guidance_needs_the_negative_branch_first():
    assert ClassifierFreeGuidance(1.01).branches == ("negative", "positive")


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_predictions_are_combined_in_float32(scale, dtype):
    guidance = ClassifierFreeGuidance(scale, rescale=0.5)
    prediction = BOTH.to(dtype) if guidance.enabled else POSITIVE.to(dtype)
    combined = guidance.combine(prediction)
    assert combined.dtype == torch.float32
    torch.testing.assert_close(combined, guidance.combine(prediction.float()), rtol=0, atol=0)


def test_a_full_rescale_restores_the_deviation_of_each_sample():
    guided = ClassifierFreeGuidance(8.0, rescale=1.0).combine(BOTH)
    torch.testing.assert_close(guided.std((1, 2)), POSITIVE.std((1, 2)))


def test_samples_of_a_batch_do_not_depend_on_each_other():
    guidance = ClassifierFreeGuidance(4.0, rescale=0.6)
    batch = guidance.combine(BOTH)
    for row in range(3):
        single = guidance.combine(BOTH[[row, row + 3]])
        torch.testing.assert_close(single, batch[row : row + 1])


def test_rescale_is_weighted():
    guided = 2 * POSITIVE
    torch.testing.assert_close(rescale_noise_cfg(guided, POSITIVE, 1.0), POSITIVE)
    torch.testing.assert_close(rescale_noise_cfg(guided, POSITIVE, 0.25), 1.75 * POSITIVE)


def test_a_guider_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ClassifierFreeGuidance(3.0).scale = 2.0


def test_linear_guidance_has_a_scale_for_each_frame():
    scales = linear_guidance(1.0, 3.0, num_frames=5, num_videos=2)
    assert scales.shape == (2, 5, 1, 1, 1)
    negative, positive = torch.randn(2, 2, 5, 4, 3, 2)
    guided = ClassifierFreeGuidance(scales).combine(torch.cat([negative, positive]))
    for frame, scale in enumerate((1.0, 1.5, 2.0, 2.5, 3.0)):
        expected = positive
        if scale > 1:
            expected = ClassifierFreeGuidance(scale).combine(torch.cat([negative, positive]))
        assert torch.allclose(guided[:, frame], expected[:, frame], atol=1e-6)


@pytest.mark.parametrize(
    ("first", "last", "enabled"), [(1.0, 1.01, True), (1.01, 1.0, True), (0.5, 1.0, False)]
)
def test_linear_guidance_is_enabled_if_any_frame_has_a_scale_above_1(first, last, enabled):
    assert ClassifierFreeGuidance(linear_guidance(first, last, 3, 1)).enabled is enabled


PERTURBED = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
ALL = torch.cat([BOTH, PERTURBED])


def test_spatio_temporal_guidance_is_applied_after_cfg_and_before_the_rescale():
    guidance = SpatioTemporalGuidance(3.0, 0.8, rescale=0.7, blocks=(1,))
    assert guidance.branches == ("negative", "positive", "perturbed")
    guided = NEGATIVE + 3 * (POSITIVE - NEGATIVE) + 0.8 * (POSITIVE - PERTURBED)
    expected = torch.stack(
        [0.7 * g * p.std() / g.std() + 0.3 * g for g, p in zip(guided, POSITIVE, strict=True)]
    )
    torch.testing.assert_close(guidance.combine(ALL), expected)


def test_without_spatio_temporal_guidance_nothing_is_rescaled():
    guidance = SpatioTemporalGuidance(3.0, 0.0, rescale=0.7, blocks=(1,))
    assert guidance.branches == ("negative", "positive")
    torch.testing.assert_close(guidance.combine(BOTH), ClassifierFreeGuidance(3.0).combine(BOTH))


def test_without_blocks_there_is_no_perturbed_branch():
    guidance = SpatioTemporalGuidance(1.0, 0.8, rescale=0.7)
    assert guidance.branches == ("positive",)
    torch.testing.assert_close(guidance.combine(POSITIVE), POSITIVE)


def test_cfg_zero_star_scales_the_negative_prediction_by_its_projection():
    guided = SpatioTemporalGuidance(4.0, cfg_zero_star=True).combine(BOTH)
    for row in range(3):
        negative, positive = NEGATIVE[row], POSITIVE[row]
        scaled = negative * (negative * positive).sum() / negative.square().sum()
        torch.testing.assert_close(guided[row], scaled + 4 * (positive - scaled))
    # A negative prediction that is a multiple of the positive one has no effect.
    aligned = torch.cat([0.2 * POSITIVE, POSITIVE])
    torch.testing.assert_close(
        SpatioTemporalGuidance(4.0, cfg_zero_star=True).combine(aligned), POSITIVE
    )
