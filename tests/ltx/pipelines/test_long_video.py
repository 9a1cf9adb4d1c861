"""Long videos: the windows and the seams between them, prompts, conditions, and errors."""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import assume, given, settings, strategies as st

from filmstrip import LTXVideoCondition
from filmstrip.errors import InputError
from filmstrip.ltx.pipelines.long_video import long_video, plan_windows
from filmstrip.ltx.pipelines.recipe import LTXRecipePipeline
from filmstrip.ltx.recipes import GuidanceSchedule, Pass, Recipe
from tests.parity.pipelines import VAE_095, pipelines

TWO_PROMPTS = [(0, "a red circle moves left"), (0.5, "a blue star turns right")]
SIZE = {"height": 32, "width": 64, "num_frames": 40, "frame_rate": 25, "window": 17, "overlap": 9}


@pytest.fixture(scope="module")
def pipe():
    components = pipelines(VAE_095)[0].components
    components = {name: value for name, value in components.items() if name != "scheduler"}
    pipe = LTXRecipePipeline(**components)
    pipe.set_progress_bar_config(disable=True)
    pipe.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=2))
    return pipe


def generate(pipe, prompts=TWO_PROMPTS, seed=0, **options):
    """The blocks of frames that `long_video` yields."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return list(long_video(pipe, prompts, generator=generator, **SIZE | options))


@pytest.fixture
def calls(pipe, monkeypatch):
    """The arguments of each call of the pipeline, which is replaced.

    Each call returns frames that are one level brighter than the previous frame, and continue from
    its condition at frame 0.
    """
    calls = []

    def call(self, conditions, num_frames, height, width, **options):
        calls.append({"conditions": conditions, "num_frames": num_frames, **options})
        first_level = -1.0
        if conditions and conditions[0].frame_index == 0:
            first_level = conditions[0].pixels[0, 0, 0, 0, 0]
        levels = first_level + torch.arange(num_frames) / 127.5
        return (levels.view(1, 1, -1, 1, 1).expand(1, 3, -1, height, width).clone(),)

    monkeypatch.setattr(LTXRecipePipeline, "__call__", call)
    monkeypatch.setattr(pipe, "decode_video", lambda latents, shape, recipe: latents)
    return calls


@st.composite
def plan_arguments(draw):
    """Arguments of `plan_windows`: prompts, frames, window, overlap, ratio."""
    ratio = draw(st.sampled_from([1, 4, 8]))
    overlap = draw(st.integers(0, 4)) * ratio + 1
    window = overlap + draw(st.integers(1, 6)) * ratio
    num_frames = draw(st.integers(1, 300))
    later_times = sorted(draw(st.sets(st.integers(1, 300), max_size=4)))
    times = [0, *(time for time in later_times if time < num_frames - ratio / 2)]
    latent_frames = [round((time - 1) / ratio) for time in times]
    assume(latent_frames[1:] == sorted({*latent_frames[1:]}))
    return [(time, f"prompt {time}") for time in times], num_frames, window, overlap, ratio


@given(plan_arguments())
@settings(deadline=None)
def test_windows_cover_the_video_once_and_each_prompt_begins_at_its_time(arguments):
    prompts, num_frames, max_frames, overlap, ratio = arguments
    windows = plan_windows(prompts, num_frames, 1, max_frames, overlap, ratio)
    new_frames = [frame for window in windows for frame in window.new_frames]
    assert new_frames == list(range(windows[-1].new_frames.stop))
    assert 0 <= windows[-1].new_frames.stop - num_frames < ratio
    first_frames = {text: time and round((time - 1) / ratio) * ratio + 1 for time, text in prompts}
    for window in windows:
        start = window.new_frames.start
        assert window.num_frames <= max_frames
        assert window.start % ratio == 0
        assert window.num_frames % ratio == 1 % ratio
        assert window.num_overlap_frames == min(overlap, start)
        assert window.prompt == [text for text, frame in first_frames.items() if frame <= start][-1]
    starts = {window.prompt: window.new_frames.start for window in reversed(windows)}
    assert all(abs(starts[text] - time) <= ratio / 2 for time, text in prompts)


def test_windows_of_a_prompt_have_the_same_length():
    windows = plan_windows([(0, "a"), (4, "b")], 24 * 8, 24, 49, 9)
    assert [len(window.new_frames) for window in windows] == [49, 24, 24, 32, 32, 32]


@pytest.mark.parametrize("num_frames", [1, 2, 17, 18, 40, 57])
def test_windows_that_continue_exactly_are_joined_without_a_seam(pipe, calls, num_frames):
    video = np.concatenate(generate(pipe, TWO_PROMPTS[:1], num_frames=num_frames))
    assert video.shape == (num_frames, 32, 64, 3)
    assert video.dtype == np.uint8
    assert np.array_equal(video[:, 5, 7, 1], np.arange(num_frames))


def test_windows_are_cross_faded_over_the_overlap(pipe, calls, monkeypatch):
    monkeypatch.setattr(
        pipe,
        "decode_video",
        lambda latents, shape, recipe: torch.full_like(latents, len(calls) / 10),
    )
    video = np.concatenate(generate(pipe, TWO_PROMPTS[:1], num_frames=33, window=25))
    levels = video[:, 0, 0, 0].astype(int)
    assert levels[:8].tolist() == [140] * 8
    assert levels[17:].tolist() == [153] * 16
    assert set(np.diff(levels[7:18])) == {1, 2}


@pytest.mark.parametrize(("height", "width"), [(32, 64), (50, 38), (31, 33)])
def test_a_video_of_any_size_is_cropped_to_it(pipe, height, width):
    video = np.concatenate(generate(pipe, height=height, width=width, num_frames=19))
    assert video.shape == (19, height, width, 3)


def test_each_prompt_is_encoded_once_and_used_in_its_windows(pipe, calls, monkeypatch):
    encoded = []
    encode = pipe.encode_prompt

    def record(prompt, *args, **options):
        encoded.append(prompt)
        return encode(prompt, *args, **options)

    monkeypatch.setattr(pipe, "encode_prompt", record)
    prompts = [*TWO_PROMPTS, (1.2, TWO_PROMPTS[0][1])]
    blocks = generate(pipe, prompts, negative_prompt="a cat")
    assert encoded == [[text for _, text in TWO_PROMPTS], "a cat"]
    windows = plan_windows(prompts, 40, 25, 17, 9)
    assert [call["num_frames"] for call in calls] == [window.num_frames for window in windows]
    embeds = {text: encode(text, None, False)[0] for _, text in TWO_PROMPTS}
    for call, window in zip(calls, windows, strict=True):
        torch.testing.assert_close(call["prompt_embeds"], embeds[window.prompt])
    assert sum(map(len, blocks)) == 40


def test_a_picture_is_a_condition_of_the_window_that_has_its_frame(pipe, calls):
    conditions = [
        LTXVideoCondition(PIL.Image.new("RGB", (64, 32), (frame, 0, 0)), frame_index=frame)
        for frame in (0, 16, 17, 39)
    ]
    generate(pipe, TWO_PROMPTS[:1], conditions=conditions)
    frames = []
    for start, call in zip([0, 8, 16, 24], calls, strict=True):
        frames += [start + condition.frame_index for condition in call["conditions"]]
    # The overlaps, at 8, 16 and 24, come first in their windows.
    assert frames == [0, 16, 8, 17, 16, 24, 39]


def test_a_clip_continues_in_the_following_windows(pipe, calls):
    clip = [PIL.Image.new("RGB", (64, 32), (6 * frame,) * 3) for frame in range(30)]
    reference = np.stack([np.full((32, 64, 3), 6 * frame, np.uint8) for frame in range(26)])
    generate(
        pipe,
        TWO_PROMPTS[:1],
        conditions=[LTXVideoCondition(video=clip, frame_index=8)],
        reference_video=reference,
    )
    clips = []
    for start, call in zip([0, 8, 16, 24], calls, strict=True):
        # All conditions but the overlap.
        conditions = [item for item in call["conditions"] if item.frame_index or item.is_reference]
        levels = [
            ((item.pixels[0, 1, :, 3, 5] + 1) * 127.5 / 6).round().int().tolist()
            for item in conditions
        ]
        is_reference = [item.is_reference for item in conditions]
        assert is_reference == [True] + [False] * (len(conditions) - 1)
        assert levels[0] == list(range(start, start + len(levels[0])))
        first_frames = [start + item.frame_index for item in conditions[1:]]
        clips.append(list(zip(first_frames, levels[1:], strict=True)))
    # By window: the frame of the whole video at which the clip is put, and its frames.
    assert clips == [
        [(8, list(range(9)))],
        [(16, list(range(8, 17)))],
        [(24, list(range(16, 25)))],
        [],
    ]


def test_a_seed_gives_the_same_video_again(pipe):
    first, second, other = (np.concatenate(generate(pipe, seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_adain_gives_all_windows_the_statistics_of_the_first(pipe, monkeypatch):
    decoded = []
    decode = pipe.decode_video

    def record(latents, shape, recipe):
        decoded.append(latents)
        return decode(latents, shape, recipe)

    monkeypatch.setattr(pipe, "decode_video", record)
    generate(pipe, adain_factor=1.0, height=64)
    for latents in decoded:
        torch.testing.assert_close(latents.mean((2, 3, 4)), decoded[0].mean((2, 3, 4)))
        torch.testing.assert_close(latents.std((2, 3, 4)), decoded[0].std((2, 3, 4)))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_finished_frames_are_yielded_before_an_error_is_raised(pipe, calls, monkeypatch, error):
    def decode(latents, shape, recipe):
        if len(calls) == 4:
            raise error
        return latents

    monkeypatch.setattr(pipe, "decode_video", decode)
    blocks = []
    with pytest.raises(error):
        blocks.extend(long_video(pipe, TWO_PROMPTS[:1], **SIZE))
    assert np.array_equal(np.concatenate(blocks)[:, 0, 0, 0], np.arange(33))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompts": []}, "There are no prompts; give one for 0 s"),
        ({"prompts": [(1, "a")]}, "The first prompt begins at 1 s; give one for 0 s"),
        ({"prompts": [(0, "a"), ("4s", "b")]}, "The time of the prompt 'b' is '4s'; give a number"),
        (
            {"prompts": [(0, "a"), (1.5, "b")]},
            "begins at 1.5 s, where the video ends: 40 frames at 25 a second last",
        ),
        (
            {"prompts": [(0, "a"), (1.44, "b")]},  # half a latent frame before the end
            "begins at 1.44 s, where the video ends: 40 frames at 25 a second last",
        ),
        (
            {"prompts": [(0, "a"), (1, "b"), (1.1, "c")]},
            "The prompts at 1 s and 1.1 s begin with the same frame",
        ),
        (
            {"window": 24},
            "window is 24 frames, which is not 8 k [+] 1; the nearest that are: 17 and 25",
        ),
        ({"overlap": 8}, "overlap is 8 frames"),
        ({"overlap": 17}, "overlap is 17 frames and window 17; a window must be longer"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"adain_factor": 1.5}, "adain_factor is 1.5; it must be from 0 to 1"),
        (
            {"conditions": [LTXVideoCondition(1, frame_index=40)]},
            "condition at frame 40 is outside the video",
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_encoding(
    pipe, monkeypatch, changes, sentence
):
    monkeypatch.setattr(pipe, "encode_prompt", lambda *_, **__: pytest.fail("it was called"))
    with pytest.raises(InputError, match=sentence):
        long_video(pipe, **{"prompts": TWO_PROMPTS} | SIZE | changes)
