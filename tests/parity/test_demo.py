"""The embedded models load in diffusers and give the same frames."""

import diffusers
import torch

import filmstrip
from filmstrip import demo
from tools import demo_clips
from tools.demo_clips.pointers import HEADINGS


def test_the_ltx_model_gives_the_same_frames_in_diffusers():
    frames = []
    for library in (diffusers, filmstrip):
        pipe = library.LTXPipeline.from_pretrained(demo.path(), torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        call = pipe(
            "a small green star moves up and grows over a grey background",
            width=128,
            height=128,
            num_frames=25,
            num_inference_steps=12,
            guidance_scale=4.0,
            decode_timestep=0.05,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        )
        frames.append(call.frames)
    theirs, ours = frames
    scene = demo_clips.to_indices(
        [demo_clips.Scene("green", "star", "grey", "up", "grows", "small")]
    )
    assert demo_clips.judge_clips(demo_clips.measure_clips(ours.transpose(1, 2)), scene).all()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_the_svd_model_gives_the_same_frames_in_diffusers():
    picture = demo_clips.draw_picture("blue", "rocket", "orange", "up-left", seed=3)
    frames = []
    for library in (diffusers, filmstrip):
        pipe = library.StableVideoDiffusionPipeline.from_pretrained(
            demo.path("svd"), torch_dtype=torch.float32
        )
        pipe.set_progress_bar_config(disable=True)
        call = pipe(
            picture,
            width=128,
            height=128,
            num_inference_steps=10,
            max_guidance_scale=1.5,
            motion_bucket_id=200,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        )
        frames.append(call.frames)
    theirs, ours = frames
    travel = demo_clips.measure_travel(ours.transpose(1, 2), ours[:, 0])
    assert HEADINGS[travel.direction.item()] == "up-left"
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
