"""Conversion of videos to uint8 frames, and cross-fading."""

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip.errors import InputError
from filmstrip.media.frames import cross_fade, to_uint8, to_uint8_frames
from tests.media.clips import smooth

CLIP = smooth(3, 6, 10)
FLOATS = CLIP.astype(np.float32) / 255


FORMS = {
    "array": CLIP,
    "list of arrays": list(CLIP),
    "tuple of arrays": tuple(CLIP),
    "floats": FLOATS,
    "list of float arrays": list(FLOATS),
    "doubles": FLOATS.astype(np.float64),
    "not contiguous": np.ascontiguousarray(CLIP[:, ::-1])[:, ::-1],
    "PIL images": [PIL.Image.fromarray(frame) for frame in CLIP],
    "PIL images with alpha": [PIL.Image.fromarray(frame).convert("RGBA") for frame in CLIP],
    "floats with alpha": np.concatenate([FLOATS, FLOATS[..., :1]], -1),
    "tensor": torch.from_numpy(CLIP).permute(0, 3, 1, 2),
    "float tensor": torch.from_numpy(FLOATS).permute(0, 3, 1, 2),
    "list of tensors": list(torch.from_numpy(FLOATS).permute(0, 3, 1, 2)),
    "tensor with gradient": torch.from_numpy(FLOATS).permute(0, 3, 1, 2).requires_grad_(),
}
GREYS = {
    "one channel": CLIP[..., :1],
    "no channel": CLIP[..., 0],
    "PIL images": [PIL.Image.fromarray(frame[..., 0]) for frame in CLIP],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_video_gives_the_same_array(form: str) -> None:
    frames = to_uint8_frames(FORMS[form])
    assert frames.dtype == np.uint8
    assert frames.flags.c_contiguous
    np.testing.assert_array_equal(frames, CLIP)


@pytest.mark.parametrize("form", GREYS)
def test_grey_frames_become_rgb(form: str) -> None:
    for frame, expected in zip(to_uint8_frames(GREYS[form]), CLIP, strict=True):
        np.testing.assert_array_equal(frame, np.repeat(expected[..., :1], 3, -1))


def test_floats_are_rounded_and_clipped() -> None:
    (frame,) = to_uint8_frames(np.full((1, 2, 2, 3), [0.4999 / 255, 1.0001, 0.5019], np.float32))
    assert frame[0, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ([], "no frames"),
        (np.zeros((0, 4, 4, 3)), "no frames"),
        ("clip.mp4", "this one is a str"),
        (None, "this one is a NoneType"),
        (np.zeros((4, 4, 3)), r"shape \(4, 4, 3\)"),
        (np.zeros((1, 2, 4, 4, 3)), r"such as frames\[0\]"),
        (np.zeros((2, 3, 4, 5)), r"1, 3 or 4 channels.*shape \(2, 3, 4, 5\)"),
        (torch.zeros(2, 5, 5, 3), r"permute\(0, 3, 1, 2\)"),
        (torch.zeros(1, 2, 3, 4, 4), r"such as frames\[0\]"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), r"Frame 0 has dtype int64: give uint8"),
        (np.zeros((2, 4, 4, 3), np.int64), r"Frame 0 has dtype int64: give uint8"),
        (
            [np.zeros((4, 4, 3)), np.zeros((4, 6, 3))],
            r"frame 0 has \(4, 4\) and frame 1 has \(4, 6\)",
        ),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 4, 6)], r"frame 1 has \(4, 6\)"),
        ([PIL.Image.new("RGB", (4, 4)), PIL.Image.new("RGB", (4, 5))], r"frame 1 has \(5, 4\)"),
        ([np.zeros((4, 4, 3)), "x"], "Frame 1 is a str"),
        ([np.zeros((4, 4, 7))], r"Frame 0 must have shape"),
        (np.zeros((2, 0, 4, 3)), "4x0 pixels"),
        (torch.full((1, 3, 4, 4), 255.0), "values from 255 to 255"),
        (torch.full((1, 3, 4, 4), float("nan")), "values from nan"),
    ],
)
def test_an_invalid_video_is_refused(video: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_uint8_frames(video)


@pytest.mark.parametrize("value", [1.5, -0.5, 255.0, float("nan")])
def test_floats_outside_0_to_1_are_refused_with_their_frame(value: float) -> None:
    video = np.zeros((3, 4, 4, 3), np.float32)
    video[2, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"Frame 2 has values .* must lie in"):
        to_uint8_frames(video)


@pytest.mark.parametrize("overshoot", [-0.0009, 1.0009])
def test_floats_that_overshoot_by_rounding_are_clipped(overshoot: float) -> None:
    frames = to_uint8_frames(np.full((1, 2, 2, 3), overshoot, np.float32))
    assert np.unique(frames).tolist() == [255 if overshoot > 1 else 0]


@pytest.mark.parametrize("overshoot", [-0.0011, 1.0011])
def test_floats_that_overshoot_by_more_are_refused(overshoot: float) -> None:
    with pytest.raises(InputError, match=r"floats must lie in \[0, 1\]"):
        to_uint8_frames(np.full((1, 2, 2, 3), overshoot, np.float32))


def test_to_uint8_rounds_halves_to_even() -> None:
    values = torch.tensor([0.0, 0.5, 1.5, 2.5, 254.4, 255.0], dtype=torch.float64) / 255
    assert to_uint8(values).tolist() == [0, 0, 2, 2, 254, 255]


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_cross_fade_blends_in_equal_steps_that_leave_out_both_ends(dim: int) -> None:
    before = torch.zeros(4, 4, 4)
    after = torch.full((4, 4, 4), 10.0)
    blended = cross_fade(before, after, dim).movedim(dim, 0)
    for frame, weight in zip(blended, (0.2, 0.4, 0.6, 0.8), strict=True):
        torch.testing.assert_close(frame, torch.full((4, 4), 10 * weight))


def test_cross_fade_of_one_frame_is_the_mean() -> None:
    before, after = torch.rand(2, 3, 1, 4)
    torch.testing.assert_close(cross_fade(before, after, 1), (before + after) / 2)


def test_cross_fade_of_equal_videos_changes_nothing() -> None:
    video = torch.rand(1, 3, 5, 2, 2)
    assert torch.equal(cross_fade(video, video, 2), video)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_cross_fade_keeps_the_dtype(dtype: torch.dtype) -> None:
    before, after = torch.rand(2, 3, 4, dtype=dtype)
    assert cross_fade(before, after, 0).dtype == dtype
