"""`filmstrip animate` from its arguments to its files, with a fake pipeline."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from filmstrip import demo
from filmstrip.media.frames import to_uint8_frames
from filmstrip.media.load import load_video
from tests.parity.svd_pipelines import picture, pipelines

from .conftest import FakePipeline, Run, read_frame_folder

SCHEDULER = {"prediction_type": "v_prediction", "timestep_type": "continuous"}
FILES: dict[str, dict[str, Any]] = {
    "model_index.json": {"_class_name": "StableVideoDiffusionPipeline"},
    "vae/config.json": {"_class_name": "AutoencoderKLTemporalDecoder"},
    "unet/config.json": {"_class_name": "UNetSpatioTemporalConditionModel", "num_frames": 5},
    "scheduler/scheduler_config.json": SCHEDULER,
}
STRETCHED = (
    "cat.png is 90x60 and will be stretched to 64x64: "
    "crop it first, or give --width and --height in its shape."
)
SMALL = ("--width", 64, "--height", 64, "--steps", 2)


def write_json_files(folder: str, files: dict[str, dict[str, Any]]) -> None:
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


@pytest.fixture
def model(run: Run) -> str:
    """The name of an SVD model folder without weights, trained for 5 frames; beside it pictures."""
    write_json_files("tiny", FILES)
    PIL.Image.new("RGB", (64, 64), (200, 10, 30)).save("cat.png")
    PIL.Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save("clear.png")
    PIL.Image.new("L", (256, 32), 9).save("wide.png")
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    Path("broken.png").write_bytes(Path("cat.png").read_bytes()[:60])
    Path("text.png").write_text("hello")
    return "tiny"


def test_every_option_reaches_the_call(run: Run, model: str, pipeline: FakePipeline) -> None:
    result = run(
        *(
            "animate",
            "cat.png",
            "--model",
            model,
            "--width",
            128,
            "--height",
            64,
            "--frames",
            4,
            "--fps",
            12,
        ),
        *(
            "--motion",
            30,
            "--noise-aug",
            0.1,
            "--steps",
            4,
            "--guidance-min",
            1.5,
            "--guidance-max",
            2.5,
        ),
        *("--seed", 11, "--device", "cpu", "--dtype", "bf16", "-o", "cat.mp4"),
    )
    assert result.code == 0
    assert pipeline.loaded == {
        "source": "tiny",
        "revision": None,
        "dtype": torch.bfloat16,
        "device": "cpu",
    }
    (call,) = pipeline.calls
    assert call.pop("generator").initial_seed() == 11
    picture = call.pop("image")
    assert (picture.mode, picture.size, picture.getpixel((3, 3))) == (
        "RGB",
        (64, 64),
        (200, 10, 30),
    )
    assert call == {
        "width": 128,
        "height": 64,
        "num_frames": 4,
        "fps": 12,
        "motion_bucket_id": 30,
        "noise_aug_strength": 0.1,
        "num_inference_steps": 4,
        "min_guidance_scale": 1.5,
        "max_guidance_scale": 2.5,
        "output_type": "np",
    }
    frames, fps = load_video("cat.mp4", return_fps=True)
    assert (len(frames), frames[0].size, fps) == (4, (128, 64), 12)


def test_a_folder_has_diffusers_defaults_and_its_own_length(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    job = run("animate", "cat.png", "-m", model, "--dry-run", "--json").json
    assert job["call"] == {
        "width": 1024,
        "height": 576,
        "num_frames": 5,
        "fps": 7,
        "motion_bucket_id": 127,
        "noise_aug_strength": 0.02,
        "num_inference_steps": 25,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 3.0,
    }
    assert job["numerics"] == "drop-in numbers (as diffusers' StableVideoDiffusionPipeline)"
    assert (job["task"], job["fps"]) == ("animate", 7)
    assert job["inputs"][0]["file"]["path"] == "cat.png"
    assert not pipeline.loaded


def test_the_command_that_show_prints_makes_the_same_call(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    words = (
        "--fps",
        12.5,
        "--motion",
        0,
        "--noise-aug",
        0,
        "--guidance-min",
        1,
        "--guidance-max",
        1.25,
        "--seed",
        3,
    )
    assert run("animate", "cat.png", "-m", model, *SMALL, *words, "-o", "a.mp4").code == 0
    command = shlex.split(run("show", "a.mp4").out.splitlines()[-1])
    assert command[:3] == ["filmstrip", "animate", "cat.png"]
    assert run(*command[1:]).code == 0
    first, again = pipeline.calls
    assert first.pop("generator").initial_seed() == again.pop("generator").initial_seed()
    assert np.array_equal(first.pop("image"), again.pop("image"))
    assert first == again


def test_videos_are_numbered_and_json_is_the_only_output(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    result = run(
        "animate",
        "cat.png",
        "-m",
        model,
        *SMALL,
        "--seed",
        3,
        "--count",
        2,
        "-o",
        "a.mp4",
        "--json",
    )
    assert (result.code, result.err) == (0, "")
    assert [(video["path"], video["seed"]) for video in result.json["videos"]] == [
        ("a-0001.mp4", 3),
        ("a-0002.mp4", 4),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("clear.png",), "clear.png is transparent: it is put on white."),
        (("wide.png",), "wide.png is 256x32 and will be stretched to 64x64"),
        (("cat.png", "--frames", 9), "9 frames: the model was trained for 5"),
        (("cat.png", "--width", 72), "72x64: multiples of 64 look better."),
        (("cat.png", "--width", 70), "--width 70 is not a multiple of 8: using 72."),
        (("cat.png", "--fps", 60), "fps is 60; the model was trained for 6 to 31."),
    ],
)
def test_adjustments_are_shown(
    run: Run, model: str, pipeline: FakePipeline, words: tuple[object, ...], message: str
) -> None:
    plain = run("animate", "cat.png", "-m", model, *SMALL, "--dry-run")
    adjusted = run(
        "animate",
        *words,
        "-m",
        model,
        *(() if "--width" in words else SMALL[:2]),
        *SMALL[2:],
        "--dry-run",
    )
    assert (plain.code, adjusted.code) == (0, 0)
    assert message in adjusted.err
    assert plain.err == ""


def test_a_transparent_picture_is_composited(run: Run, model: str, pipeline: FakePipeline) -> None:
    assert run("animate", "clear.png", "-m", model, *SMALL, "-o", "a.mp4").code == 0
    assert pipeline.calls[0]["image"].getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "Missing argument"),
        (("nowhere.png",), 2, "There is no picture nowhere.png"),
        (("tiny",), 2, "tiny is a folder"),
        (("text.png",), 2, "text.png is not a picture that can be read"),
        (("broken.png",), 2, "broken.png cannot be read"),
        (("moving.gif",), 2, "moving.gif is animated (2 frames)"),
        (("cat.png", "--width", 60, "--no-snap"), 2, "--width 60 is not a multiple of 8"),
        (("cat.png", "--height", 0), 2, "--height is 0"),
        (("cat.png", "--frames", 0), 2, "--frames is 0"),
        (("cat.png", "--fps", 0), 2, "--fps is 0"),
        (("cat.png", "--fps", "nan"), 2, "--fps is nan"),
        (("cat.png", "--motion", 256), 2, "--motion is 256, but it must be from 0 to 255"),
        (("cat.png", "--motion", -1), 2, "--motion is -1"),
        (("cat.png", "--noise-aug", -0.5), 2, "--noise-aug is -0.5"),
        (("cat.png", "--steps", 0), 2, "--steps is 0"),
        (("cat.png", "--guidance-min", 4), 2, "--guidance-min 4 is above --guidance-max 3"),
        (("cat.png", "--guidance-max", "inf"), 2, "--guidance-max is inf"),
        (("cat.png", "-o", "a.avi"), 2, "ends in .avi"),
        (("cat.png", "--model", "ltx-2b-0.9.5"), 2, "is a model for `filmstrip generate`"),
        (("cat.png", "--model", "empty"), 1, "not a model folder"),
        (
            ("cat.png", "--model", "ltx"),
            1,
            "holds a LTXPipeline, but animate needs a StableVideoDiffusionPipeline",
        ),
        (("cat.png", "--model", "ltx"), 1, "`filmstrip generate` takes it."),
        (
            ("cat.png", "--model", "odd-vae"),
            1,
            "is for AutoencoderKL, but Stable Video Diffusion needs",
        ),
        (
            ("cat.png", "--model", "odd-unet"),
            1,
            "is for UNet2DConditionModel, but Stable Video Diffusion needs",
        ),
        (("cat.png", "--model", "eps"), 1, "its prediction_type is 'epsilon', not 'v_prediction'"),
        (
            ("cat.png", "--model", "discrete"),
            1,
            "its timestep_type is 'discrete', not 'continuous'",
        ),
        (("cat.png", "--model", "no-unet"), 1, "unet/config.json"),
    ],
)
def test_bad_input_is_refused_before_the_model_is_loaded(
    run: Run,
    model: str,
    pipeline: FakePipeline,
    words: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    Path("empty").mkdir()
    write_json_files("ltx", {"model_index.json": {"_class_name": "LTXPipeline"}})
    write_json_files("odd-vae", FILES | {"vae/config.json": {"_class_name": "AutoencoderKL"}})
    write_json_files(
        "odd-unet", FILES | {"unet/config.json": {"_class_name": "UNet2DConditionModel"}}
    )
    write_json_files(
        "eps",
        FILES | {"scheduler/scheduler_config.json": SCHEDULER | {"prediction_type": "epsilon"}},
    )
    write_json_files(
        "discrete",
        FILES | {"scheduler/scheduler_config.json": SCHEDULER | {"timestep_type": "discrete"}},
    )
    write_json_files(
        "no-unet", {name: content for name, content in FILES.items() if "unet" not in name}
    )
    before = sorted(Path().rglob("*"))
    model_option = () if "--model" in words else ("--model", model)
    result = run("animate", *words, *model_option)
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not pipeline.loaded
    assert sorted(Path().rglob("*")) == before


def test_without_a_model_the_demo_is_used_with_a_message(
    run: Run, model: str, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "path", lambda embedded: {"svd": Path(model)}[embedded])
    result = run("animate", "cat.png", "--dry-run")
    assert result.code == 0
    assert result.err.startswith(
        "Using the small demo model that ships with filmstrip. For a real one: filmstrip anim"
    )
    assert "128" in result.out


def test_the_frames_equal_those_of_the_pipeline_class(run: Run) -> None:
    pipe, _ = pipelines()
    pipe.save_pretrained("real")
    picture(1).save("cat.png")
    words = (
        "--fps",
        32,
        "--motion",
        40,
        "--guidance-max",
        2,
        "--seed",
        5,
        "--count",
        2,
        "--dtype",
        "float32",
    )
    result = run(
        "animate",
        "cat.png",
        "-m",
        "real",
        *SMALL,
        *words,
        "--device",
        "cpu",
        "-o",
        "a",
        "--json",
    )
    warnings = ["fps is 32; the model was trained for 6 to 31.", STRETCHED]
    assert (result.code, result.json["warnings"]) == (0, warnings)
    assert list(result.json["videos"][0]["seconds"]) == [
        "encode image",
        "denoise",
        "decode",
        "write",
    ]
    frames = pipe(
        picture(1),
        height=64,
        width=64,
        num_inference_steps=2,
        fps=32,
        motion_bucket_id=40,
        max_guidance_scale=2.0,
        generator=torch.Generator().manual_seed(6),
        output_type="np",
    ).frames[0]
    assert np.array_equal(read_frame_folder(Path("a-0002")), to_uint8_frames(frames))
    assert not np.array_equal(read_frame_folder(Path("a-0001")), to_uint8_frames(frames))
