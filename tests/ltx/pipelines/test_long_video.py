"""Long videos: the plan of the windows, seams, prompts and pictures in their places, and what is
not lost.
"""

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

TWO = [(0, "a red circle moves left"), (0.5, "a blue star turns right")]
SIZE = {"height": 32, "width": 64, "num_frames": 40, "frame_rate": 25, "window": 17, "overlap": 9}


@pytest.fixture(scope="module")
def pipe():
    components = pipelines(VAE_095)[0].components
    made = LTXRecipePipeline(
        **{name: part for name, part in components.items() if name != "scheduler"}
    )
    made.set_progress_bar_config(disable=True)
    made.recipe = Recipe(Pass(GuidanceSchedule(scale=3.0), steps=2))
    return made


def make(pipe, prompts=TWO, seed=0, **options):
    torch.manual_seed(seed)
    return list(
        long_video(pipe, prompts, generator=torch.Generator().manual_seed(seed), **SIZE | options)
    )


@pytest.fixture
def calls(pipe, monkeypatch):
    """What each window asks of the pipeline; the answer goes on from what it holds by a level for
    each frame.
    """
    seen = []

    def call(self, conditions, num_frames, height, width, **options):
        seen.append({"conditions": conditions, "num_frames": num_frames, **options})
        begin = (
            conditions[0].pixels[0, 0, :, 0, 0]
            if conditions and conditions[0].frame_index == 0
            else [-1.0]
        )
        ramp = begin[0] + torch.arange(num_frames) / 127.5
        return (ramp.view(1, 1, -1, 1, 1).expand(1, 3, -1, height, width).clone(),)

    monkeypatch.setattr(LTXRecipePipeline, "__call__", call)
    monkeypatch.setattr(pipe, "decode_video", lambda latents, shape, recipe: latents)
    return seen


@st.composite
def wishes(draw):
    ratio = draw(st.sampled_from([1, 4, 8]))
    overlap = draw(st.integers(0, 4)) * ratio + 1
    window = overlap + draw(st.integers(1, 6)) * ratio
    frames = draw(st.integers(1, 300))
    places = sorted(draw(st.sets(st.integers(1, 300), max_size=4)))
    times = [0, *(place for place in places if place < frames - ratio / 2)]
    begins = [round((time - 1) / ratio) for time in times]
    assume(begins[1:] == sorted({*begins[1:]}))
    return [(time, f"prompt {time}") for time in times], frames, window, overlap, ratio


@given(wishes())
@settings(deadline=None)
def test_windows_follow_each_other_and_each_prompt_has_its_own(wish):
    prompts, frames, window, overlap, ratio = wish
    windows = plan_windows(prompts, frames, 1, window, overlap, ratio)
    assert [frame for one in windows for frame in one.new_frames] == list(
        range(windows[-1].new_frames.stop)
    )
    assert 0 <= windows[-1].new_frames.stop - frames < ratio
    begins = {text: time and round((time - 1) / ratio) * ratio + 1 for time, text in prompts}
    for one in windows:
        assert one.num_frames <= window
        assert one.start % ratio == 0
        assert one.num_frames % ratio == 1 % ratio
        assert one.num_overlap_frames == min(overlap, one.start + one.num_overlap_frames)
        assert (
            one.prompt
            == [text for text, frame in begins.items() if frame <= one.new_frames.start][-1]
        )
    starts = {one.prompt: one.new_frames.start for one in reversed(windows)}
    assert all(abs(starts[text] - time) <= ratio / 2 for time, text in prompts)


def test_windows_of_a_prompt_are_even():
    assert [
        len(one.new_frames) for one in plan_windows([(0, "a"), (4, "b")], 24 * 8, 24, 49, 9)
    ] == [
        49,
        24,
        24,
        32,
        32,
        32,
    ]


@pytest.mark.parametrize("frames", [1, 2, 17, 18, 40, 57])
def test_no_seam_is_seen_where_the_model_goes_on_exactly(pipe, calls, frames):
    made = np.concatenate(make(pipe, TWO[:1], num_frames=frames))
    assert made.shape == (frames, 32, 64, 3)
    assert made.dtype == np.uint8
    assert np.array_equal(made[:, 5, 7, 1], np.arange(frames))


def test_a_seam_is_spread_over_the_overlap(pipe, calls, monkeypatch):
    monkeypatch.setattr(
        pipe,
        "decode_video",
        lambda latents, shape, recipe: torch.full_like(latents, len(calls) / 10),
    )
    made = np.concatenate(make(pipe, TWO[:1], num_frames=33, window=25))[:, 0, 0, 0].astype(int)
    assert made[:8].tolist() == [140] * 8
    assert made[17:].tolist() == [153] * 16
    assert set(np.diff(made[7:18])) == {1, 2}


@pytest.mark.parametrize(("height", "width"), [(32, 64), (50, 38), (31, 33)])
def test_any_size_is_made_and_cropped(pipe, height, width):
    assert np.concatenate(make(pipe, height=height, width=width, num_frames=19)).shape == (
        19,
        height,
        width,
        3,
    )


def test_each_prompt_is_encoded_once_and_asked_for_in_its_windows(pipe, calls, monkeypatch):
    encoded, encode = [], pipe.encode_prompt
    monkeypatch.setattr(
        pipe, "encode_prompt", lambda *a, **k: (encoded.append(a[0]), encode(*a, **k))[1]
    )
    prompts = [*TWO, (1.2, TWO[0][1])]
    blocks = make(pipe, prompts, negative_prompt="a cat")
    assert encoded == [[text for _, text in TWO], "a cat"]
    windows = plan_windows(prompts, 40, 25, 17, 9)
    assert [call["num_frames"] for call in calls] == [one.num_frames for one in windows]
    wanted = {text: encode(text, None, False)[0] for _, text in TWO}
    for call, one in zip(calls, windows, strict=True):
        torch.testing.assert_close(call["prompt_embeds"], wanted[one.prompt])
    assert sum(map(len, blocks)) == 40


def test_pictures_go_to_the_window_that_makes_their_frame(pipe, calls):
    pictures = {frame: PIL.Image.new("RGB", (64, 32), (frame, 0, 0)) for frame in (0, 16, 17, 39)}
    make(
        pipe,
        TWO[:1],
        conditions=[LTXVideoCondition(image, frame_index=at) for at, image in pictures.items()],
    )
    starts = [0, 8, 16, 24]
    held = [
        (start + item.frame_index)
        for start, call in zip(starts, calls, strict=True)
        for item in call["conditions"]
    ]
    assert held == [
        0,
        16,
        8,
        17,
        16,
        24,
        39,
    ]  # what windows take over, at 8, 16 and 24, comes first


def test_a_clip_goes_on_in_the_windows_that_follow(pipe, calls):
    clip = [PIL.Image.new("RGB", (64, 32), (6 * frame,) * 3) for frame in range(30)]
    reference = np.stack([np.full((32, 64, 3), 6 * frame, np.uint8) for frame in range(26)])
    make(
        pipe,
        TWO[:1],
        conditions=[LTXVideoCondition(video=clip, frame_index=8)],
        reference_video=reference,
    )
    seen = []
    for start, call in zip([0, 8, 16, 24], calls, strict=True):
        conditions = [
            item for item in call["conditions"] if item.frame_index or item.is_reference
        ]  # not what is taken over
        levels = [
            ((item.pixels[0, 1, :, 3, 5] + 1) * 127.5 / 6).round().int().tolist()
            for item in conditions
        ]
        assert [item.is_reference for item in conditions] == [True] + [False] * (
            len(conditions) - 1
        )
        assert levels[0] == list(range(start, start + len(levels[0])))
        places = [start + item.frame_index for item in conditions[1:]]
        seen.append([(place, *shown) for place, shown in zip(places, levels[1:], strict=True)])
    # By window: at which frame of the whole video it begins, and which frames of the clip are shown
    # from there on.
    assert seen == [[(8, *range(9))], [(16, *range(8, 17))], [(24, *range(16, 25))], []]


def test_a_seed_gives_the_same_video_again(pipe):
    first, second, other = (np.concatenate(make(pipe, seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_later_windows_may_be_given_the_statistics_of_the_first(pipe, monkeypatch):
    seen = []
    decode = pipe.decode_video
    monkeypatch.setattr(
        pipe,
        "decode_video",
        lambda latents, shape, recipe: (seen.append(latents), decode(latents, shape, recipe))[1],
    )
    make(pipe, adain_factor=1.0, height=64)
    for latents in seen:
        torch.testing.assert_close(latents.mean((2, 3, 4)), seen[0].mean((2, 3, 4)))
        torch.testing.assert_close(latents.std((2, 3, 4)), seen[0].std((2, 3, 4)))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_is_made_outlives_an_error(pipe, calls, monkeypatch, error):
    def decode(latents, shape, recipe):
        if len(calls) == 4:
            raise error
        return latents

    monkeypatch.setattr(pipe, "decode_video", decode)
    made, blocks = [], long_video(pipe, TWO[:1], **SIZE)
    with pytest.raises(error):
        made.extend(blocks)
    assert np.array_equal(np.concatenate(made)[:, 0, 0, 0], np.arange(33))


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
def test_what_cannot_be_is_refused_before_any_work(pipe, monkeypatch, changes, sentence):
    monkeypatch.setattr(pipe, "encode_prompt", lambda *_, **__: pytest.fail("work had begun"))
    with pytest.raises(InputError, match=sentence):
        long_video(pipe, **{"prompts": TWO} | SIZE | changes)
