"""The command line with a small real model: the frames of the classes, and interrupts."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import filmstrip
from filmstrip import LTXPipeline
from filmstrip.media.frames import to_uint8_frames
from filmstrip.presets import PRESETS
from tests.ltx.published import repositories
from tests.weights.hub import store_repository
from tests.weights.samples import components

from .conftest import Run, read_frame_folder
from .test_main import PROGRAM, start

SIZE = ("--width", 64, "--height", 32, "--frames", 9, "--fps", 12, "--device", "cpu")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ltx"
    LTXPipeline(**components()).save_pretrained(folder)
    return folder


def test_the_frames_equal_those_of_the_pipeline_class(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    words = (
        "--steps",
        3,
        "--guidance",
        2,
        "--negative",
        "a",
        "--seed",
        5,
        "--count",
        2,
        "--dtype",
        "float32",
    )
    assert run("generate", "a a", "-m", checkpoint, *SIZE, *words, "-o", "a").code == 0
    pipe = LTXPipeline.from_pretrained(checkpoint)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        prompt="a a",
        negative_prompt="a",
        width=64,
        height=32,
        num_frames=9,
        frame_rate=12,
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(6),
        output_type="np",
    ).frames[0]
    assert np.array_equal(read_frame_folder(tmp_path / "a-0002"), to_uint8_frames(frames))
    assert not np.array_equal(read_frame_folder(tmp_path / "a-0001"), to_uint8_frames(frames))


def test_a_bfloat16_job_reports_the_time_of_each_stage(run: Run, checkpoint: Path) -> None:
    result = run(
        "generate",
        "a",
        "-m",
        checkpoint,
        *SIZE,
        "--steps",
        2,
        "--dtype",
        "bfloat16",
        "-o",
        "a.mp4",
        "--json",
    )
    assert result.code == 0
    assert list(result.json["videos"][0]["seconds"]) == [
        "encode prompt",
        "denoise",
        "decode",
        "write",
    ]
    assert result.json["warnings"] == []


def test_a_cached_repository_is_used_offline_and_recorded_with_its_commit(
    run: Run, checkpoint: Path, cache: Path
) -> None:
    files = {
        str(path.relative_to(checkpoint)): path.read_bytes()
        for path in checkpoint.rglob("*")
        if path.is_file()
    }
    store_repository(cache, "someone/ltx", files, commit="4" * 40)
    result = run("generate", "a", "-m", "someone/ltx", *SIZE, "--steps", 1, "-o", "a.mp4")
    assert result.code == 0
    assert result.err.startswith("The weights of someone/ltx have their own licence: https://")
    values = run("show", "a.mp4", "--json").json
    assert values["model"] == f"someone/ltx@{'4' * 40}"
    assert (
        run("generate", "a", "-m", values["model"], "--dry-run", "--json").json["revision"]
        == "4" * 40
    )


def test_a_preset_makes_the_authors_videos_and_show_prints_their_command(
    run: Run, cache: Path, tmp_path: Path
) -> None:
    for number, (repository, files) in enumerate(repositories(PRESETS["ltx-2b-0.9.5"]).items()):
        store_repository(cache, repository, files, commit=str(number) * 40)
    size = ("--width", 50, "--height", 38, "--frames", 4, "--fps", 12, "--device", "cpu")
    words = ("-m", "ltx-2b-0.9.5", *size, "--steps", 2, "--seed", 5)
    result = run("generate", "a red circle", *words, "-o", "video")
    assert result.code == 0
    assert "The weights of ltx-2b-0.9.5 are licensed under: OpenRAIL-M (https://" in result.err
    values = run("show", "video", "--json").json
    assert values["model"] == f"ltx-2b-0.9.5@{'0' * 40}"
    assert values["numerics"] == "the authors' numbers (the recipe of ltx-2b-0.9.5)"
    assert (values["num_inference_steps"], values["negative_prompt"]) == (
        2,
        PRESETS["ltx-2b-0.9.5"].negative,
    )

    pipe = filmstrip.load("ltx-2b-0.9.5", dtype="float32")
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(5)
    frames = pipe(
        "a red circle",
        width=50,
        height=38,
        num_frames=4,
        frame_rate=12,
        recipe=pipe.recipe.adjusted(num_inference_steps=2),
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).frames[0]
    written = read_frame_folder(tmp_path / "video")
    assert np.array_equal(written, to_uint8_frames(frames))

    again = shlex.split(run("show", "video").out.splitlines()[-1])[1:]
    (tmp_path / "video").rename(tmp_path / "first video")
    assert run(*again).code == 0
    assert np.array_equal(read_frame_folder(tmp_path / "video"), written)


def test_damaged_weights_are_refused_and_no_file_is_written(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(checkpoint, tmp_path / "bad")
    weights = tmp_path / "bad" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    result = run("generate", "a", "-m", "bad", *SIZE, "-o", "a.mp4")
    assert result.code == 1
    assert "bad/transformer/diffusion_pytorch_model.safetensors" in result.err
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("moment", ["load ...", "denoise ..."])
def test_an_interrupt_leaves_no_file_and_no_traceback(
    checkpoint: Path, tmp_path: Path, moment: str
) -> None:
    words = ("generate", "a", "--model", checkpoint, *SIZE, "--steps", 100_000, "-o", "a.mp4")
    process = start(*words, folder=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert process.stderr
    line = ""
    while moment not in line:
        line = process.stderr.readline()
        assert line, f"the process ended before {moment!r}"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Interrupted: 0 of 1 videos are written."
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_results_go_to_standard_output_and_progress_to_standard_error(
    checkpoint: Path, tmp_path: Path
) -> None:
    words = [
        *map(
            str,
            (
                "generate",
                "a",
                "--model",
                checkpoint,
                *SIZE,
                "--steps",
                1,
                "--seed",
                2,
                "-o",
                "a.gif",
            ),
        )
    ]
    completed = subprocess.run(
        [*PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("a.gif: ")
    assert "64x32, 9 frames (0.75 s at 12 fps), 1 step, seed 2, cpu float32" in completed.stderr
    assert sys.platform == "win32" or "\x1b" not in completed.stderr
