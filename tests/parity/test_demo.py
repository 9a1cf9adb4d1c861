"""The embedded model in stock diffusers: the folder opens there and gives the same frames."""

import diffusers
import torch

import filmstrip
from filmstrip import demo


def test_demo_model_gives_the_same_frames_in_diffusers():
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
    scene = demo.to_indices([demo.Scene("green", "star", "grey", "up", "grows", "small")])
    assert demo.judge_clips(demo.measure_clips(ours.transpose(1, 2)), scene).all()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
