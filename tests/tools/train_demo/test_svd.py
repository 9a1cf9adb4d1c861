"""The parts of the SVD demo's training that can be checked without training."""

import math
import time
from dataclasses import replace

import pytest
import torch

from filmstrip.schedulers.euler_discrete import EulerDiscreteScheduler
from filmstrip.svd.pipelines.images import clip_input
from tools.demo_clips import draw_picture, velocity
from tools.train_demo.common.command import changed
from tools.train_demo.common.optim import Muon, adam_state, load_adam
from tools.train_demo.common.store import Store
from tools.train_demo.common.trainer import Plan, Trainer
from tools.train_demo.svd.judge import HeldOut, monotone, score
from tools.train_demo.svd.settings import CLIP_MEAN, CLIP_STD, REAL, SCHEDULER, TOY
from tools.train_demo.svd.unet import build_unet, draw_levels, noised, predict, used_parameters
from tools.train_demo.svd.vae import (
    build_vae,
    draw_strengths,
    encode,
    fold_time,
    used_parameters as used_by_vae,
    vae_loss,
)
from tools.train_demo.svd.vision import build_image_encoder, clip_pixels, draw_motions

CPU = torch.device("cpu")


def test_the_real_model_fits_the_package():
    with torch.device("meta"):
        models = build_unet(REAL), build_vae(REAL), build_image_encoder(REAL)
    assert 2 * sum(p.numel() for model in models for p in model.parameters()) < 9.9e6


def test_targets_equal_the_predictions_that_the_scheduler_inverts():
    scheduler = EulerDiscreteScheduler(**SCHEDULER)
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 3, 4, 2, 2, generator=generator).unbind()
    for sigma, timestep in zip(scheduler.sigmas[:-1], scheduler.timesteps, strict=True):
        sample, told, expected = noised(clean, noise, sigma[None])
        noisy = clean + sigma * noise
        torch.testing.assert_close(told[0], timestep)
        torch.testing.assert_close(sample, scheduler.scale_model_input(noisy, timestep))
        data = scheduler.step(expected, timestep, noisy).pred_original_sample
        torch.testing.assert_close(data, clean, atol=2e-4 * max(1.0, sigma.item()), rtol=0)


def test_noise_levels_stay_in_the_range_of_the_sampler():
    torch.manual_seed(0)
    levels = draw_levels(4096, CPU)
    assert levels.min() >= 0.002 * 0.999
    assert levels.max() <= 700 * 1.001
    assert levels.log().median().item() == pytest.approx(1.0, abs=0.3)
    assert (levels > 100).float().mean() > 0.02


def test_steps_reach_every_parameter_that_a_single_token_uses():
    unet = build_unet(TOY)
    with torch.no_grad():
        unet.conv_out.weight.normal_(std=0.1)
    side = TOY.latent_side
    inputs = (1, 14, 2 * TOY.latent_channels, side, side), (1,), (1, 1, TOY.embedding), (1, 3)
    predict(unet, *(torch.randn(shape) for shape in inputs)).square().mean().backward()
    reached = {
        name for name, p in unet.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
    }
    assert reached == set(used_parameters(unet))
    assert any("attn2.to_v" in name for name in reached)
    assert (
        unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_q.weight.abs().max() == 0
    )


def test_the_loss_reaches_every_parameter_of_the_autoencoder_that_is_used():
    torch.manual_seed(0)
    vae = build_vae(replace(TOY, vae_channels=(32, 32)))
    clips = torch.rand(1, 3, 3, 16, 16)
    vae_loss(vae, clips, torch.randn(3, TOY.latent_channels, 8, 8), torch.tensor(0.5)).backward()
    reached = {name for name, p in vae.named_parameters() if p.grad is not None}
    assert reached == set(used_by_vae(vae))


def test_latents_come_by_clip_and_frame():
    torch.manual_seed(0)
    vae = build_vae(replace(TOY, vae_channels=(32, 32))).eval()
    clips = torch.rand(2, 3, 3, 16, 16)
    latents = encode(vae, clips)
    assert latents.shape == (2, 3, TOY.latent_channels, 8, 8)
    torch.testing.assert_close(latents[1:, 2:], encode(vae, clips[1:, :, 2:]), atol=1e-5, rtol=1e-4)


def test_after_folding_time_a_frame_is_decoded_as_in_a_still_clip():
    torch.manual_seed(0)
    vae = build_vae(replace(TOY, vae_channels=(32, 32))).eval()
    latents = torch.randn(1, TOY.latent_channels, 4, 4)
    with torch.no_grad():
        middle = vae.decode(latents.expand(9, -1, -1, -1), num_frames=9).sample[4]
        fold_time(vae)
        folded = vae.decode(latents.expand(9, -1, -1, -1), num_frames=9).sample
        alone = vae.decode(latents, num_frames=1).sample[0]
    torch.testing.assert_close(folded, folded[:1].expand_as(folded))
    torch.testing.assert_close(folded[0], alone)
    assert (folded[4] - middle).norm() < 0.05 * middle.norm()  # whose norms have seen the borders


def test_the_image_encoder_has_the_input_of_the_pipeline():
    picture = draw_picture()
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    shown = (clip_input([picture], 224) - mean) / deviation
    pixels = (
        torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        .view(1, 128, 128, 3)
        .movedim(-1, 1)
    )
    torch.testing.assert_close(clip_pixels(pixels.float() / 255), shown, atol=1e-4, rtol=1e-4)


def test_motions_cover_what_users_may_ask_for():
    _, bucket, fps = draw_motions(4096, 0, CPU)
    assert (bucket.min(), bucket.max()) == (0, 255)
    assert (fps.min(), fps.max()) == (6, 30)
    assert (fps <= 7).float().mean() > 0.1
    strengths = draw_strengths((4096,), torch.Generator().manual_seed(0), CPU)
    assert (strengths <= 0.02).float().mean() > 0.3
    assert strengths.log().median().item() == pytest.approx(-3.3, abs=0.3)


def test_scores_of_right_clips_are_right_and_of_standing_ones_wrong():
    pictures = HeldOut(4, 0, 64, CPU)
    ones = torch.ones(4)
    right = torch.stack([_moved(pictures, frame) for frame in range(14)], dim=2)
    scores, speeds = score(right, pictures, bucket=128, fps=8)
    assert (
        scores["direction_right"]
        == scores["shape_kept"]
        == scores["colour_kept"]
        == scores["speed_right"]
        == 1
    )
    torch.testing.assert_close(
        speeds, velocity(pictures.indices, 128 * ones, 8 * ones).norm(dim=1) * 64, atol=0.05, rtol=0
    )
    still, _ = score(right[:, :, :1].expand(-1, -1, 14, -1, -1), pictures, bucket=128, fps=8)
    assert still["direction_right"] == still["speed_right"] == 0
    assert still["first_frame_psnr"] > 90


def _moved(pictures: HeldOut, frame: int) -> torch.Tensor:
    """The pictures with everything moved by whole pixels, one a frame along each axis of the
    way.
    """
    moved = []
    for row, pixels in zip(pictures.indices, pictures.pixels, strict=True):
        angle = row[3].item() * math.pi / 4
        way = [round(frame * math.sin(angle)), round(frame * math.cos(angle))]
        moved.append(pixels.roll(way, dims=(1, 2)))
    return torch.stack(moved)


def test_speeds_rise_only_if_each_is_above_the_last():
    result = monotone(torch.tensor([[1.0, 1.0], [2.0, 3.0], [3.0, 2.5]]))
    assert result["means_rise"]
    assert result["pictures_rise"] == 0.5
    assert not monotone(torch.tensor([[1.0], [1.0]]))["means_rise"]


def test_muon_treats_convolutions_as_matrices():
    torch.manual_seed(0)
    matrix, kernel = (
        torch.nn.Parameter(torch.zeros(8, 27)),
        torch.nn.Parameter(torch.zeros(8, 3, 3, 3)),
    )
    kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    matrix.grad = torch.randn(8, 27)
    kernel.grad = matrix.grad.view(8, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    for parameter in (matrix, kernel):
        Muon([parameter]).step(torch.tensor(0.1))
    torch.testing.assert_close(kernel.flatten(1), matrix)


def trainer(budget: float = 0.2, dtype: torch.dtype = torch.float32) -> Trainer:
    """Pulls a matrix and a number, from zero, towards ones."""
    parameters = {
        name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in (("w", (4, 4)), ("b", ()))
    }
    copies = (
        None
        if dtype == torch.float32
        else [torch.nn.Parameter(p.to(dtype)) for p in parameters.values()]
    )
    used = copies or list(parameters.values())

    def loss(progress: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"distance": sum((p.float() - 1).square().mean() for p in used)}

    plan = Plan(budget=budget, rate=0.1, warm_up=2, ema=0.9, save_every=60)
    return Trainer("stage", parameters, {"": loss}, plan, CPU, for_muon=["w"], working=copies)


def test_training_stops_at_the_deadline_and_resumes(tmp_path):
    store = Store(tmp_path / "work", tmp_path / "out", published=("stage",))
    first = trainer(budget=1e6)
    assert not first.train(store, deadline=time.monotonic() + 0.2, step_type_of=lambda step: "")
    step, spent = first.load(store)
    assert step > 0
    again = trainer()
    assert again.load(store) == (step, spent)
    torch.testing.assert_close(again.parameters[0], first.parameters[0])
    torch.testing.assert_close(again.averaged()["w"], first.averaged()["w"])
    assert again.train(store, deadline=math.inf, step_type_of=lambda step: "", budget=spent + 0.2)
    assert again.spent(store) > spent
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "log.jsonl",
        "stage.safetensors",
    ]
    Store(tmp_path / "work", tmp_path / "another", published=("stage", "later"))
    assert [path.name for path in (tmp_path / "another").iterdir()] == ["stage.safetensors"]


def test_preparing_changes_neither_parameters_nor_averages(tmp_path):
    prepared = trainer()
    prepared.prepare(Store(tmp_path / "work", tmp_path / "out", published=()))
    assert prepared.parameters[0].abs().max() == 0
    assert prepared.averaged()["w"].abs().max() == 0


def test_working_copies_in_bfloat16_lead_the_parameters():
    led = trainer(dtype=torch.bfloat16)
    for step in range(3):
        led.schedule(step, 0.0)
        led.step("")
    for parameter, copy in zip(led.parameters, led.working, strict=True):
        assert parameter.min() > 0
        assert (parameter.dtype, copy.dtype) == (torch.float32, torch.bfloat16)


def test_restored_optimisers_have_the_layout_of_the_parameters():
    def optimizer(parameter):
        parameter.grad = torch.ones_like(parameter)
        return torch.optim.AdamW([parameter], lr=torch.tensor(0.1), fused=True)

    kernels = [
        torch.nn.Parameter(torch.ones(8, 4, 3, 3).contiguous(memory_format=torch.channels_last))
        for _ in range(2)
    ]
    first, second = (optimizer(kernel) for kernel in kernels)
    first.step()
    kernels[1].data.copy_(kernels[0].data)
    saved = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in adam_state(first).items()
    }
    load_adam(second, saved)
    assert {v.stride() for v in second.state[kernels[1]].values() if v.ndim} == {
        kernels[1].stride()
    }
    for optimizer in (first, second):
        optimizer.step()
    torch.testing.assert_close(*kernels)


def test_settings_change_by_name():
    assert changed(TOY, ["batch=3", "budget_vae=1.5"]).batch == 3
    with pytest.raises(SystemExit, match="is no number"):
        changed(TOY, ["colour=red"])
