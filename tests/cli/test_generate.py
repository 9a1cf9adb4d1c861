"""`filmstrip generate` from its arguments to its files, with a fake pipeline."""

import json
from pathlib import Path

import pytest
import torch

from filmstrip import demo
from filmstrip.media.load import load_video
from filmstrip.media.provenance import read_provenance
from tests.weights.hub import store_repository

from .conftest import FakePipeline, Run

SMALL = ("--width", 32, "--height", 32, "--frames", 5, "--steps", 2)


def test_every_option_reaches_the_call(run: Run, model: str, pipeline: FakePipeline) -> None:
    result = run(
        *(
            "generate",
            "a cat",
            "--model",
            model,
            "--width",
            64,
            "--height",
            32,
            "--frames",
            9,
            "--fps",
            12,
        ),
        *("--steps", 4, "--guidance", 2.5, "--negative", "a dog", "--seed", 11, "--device", "cpu"),
        *("--dtype", "bf16", "-o", "cat.mp4"),
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
    assert call == {
        "prompt": "a cat",
        "negative_prompt": "a dog",
        "width": 64,
        "height": 32,
        "num_frames": 9,
        "frame_rate": 12,
        "num_inference_steps": 4,
        "guidance_scale": 2.5,
        "output_type": "np",
    }
    frames = load_video("cat.mp4")
    assert (len(frames), frames[0].size) == (9, (64, 32))


def test_a_folder_has_diffusers_defaults(run: Run, model: str, pipeline: FakePipeline) -> None:
    job = run("generate", "x", "-m", model, "--dry-run", "--json").json
    call = job["call"]
    assert (call["width"], call["height"], call["num_frames"], call["frame_rate"]) == (
        704,
        512,
        161,
        25,
    )
    assert (call["num_inference_steps"], call["guidance_scale"], call["negative_prompt"]) == (
        50,
        3.0,
        "",
    )
    assert job["numerics"] == "drop-in numbers (as diffusers' LTXPipeline)"
    assert pipeline.calls == []


def test_sizes_are_snapped_with_a_message_or_refused(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    words = (
        "generate",
        "x",
        "-m",
        model,
        "--width",
        40,
        "--height",
        64,
        "--frames",
        6,
        "--steps",
        1,
        "-o",
        "a.mp4",
    )
    refused = run(*words, "--no-snap")
    assert refused.code == 2
    assert (
        "--width 40 is not a multiple of 32, which this model needs; the nearest is 32"
        in refused.err
    )
    assert not Path("a.mp4").exists()
    snapped = run(*words)
    assert snapped.code == 0
    assert "--width 40 is not a multiple of 32: using 32." in snapped.err
    assert "--frames 6 is not 4 * k + 1: using 5." in snapped.err
    assert (pipeline.calls[0]["width"], pipeline.calls[0]["num_frames"]) == (32, 5)


def test_several_videos_are_numbered_and_each_depends_on_its_seed_alone(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    assert (
        run("generate", "x", "-m", model, *SMALL, "--seed", 5, "--count", 3, "-o", "a.png.mp4").code
        == 0
    )
    alone = run("generate", "x", "-m", model, *SMALL, "--seed", 6, "--no-provenance", "-o", "b.mp4")
    assert alone.code == 0
    assert sorted(path.name for path in Path().glob("*.mp4")) == [
        *("a.png-0001.mp4", "a.png-0002.mp4", "a.png-0003.mp4", "b.mp4")
    ]
    assert [frame.tobytes() for frame in load_video("a.png-0002.mp4")] == [
        frame.tobytes() for frame in load_video("b.mp4")
    ]
    assert load_video("a.png-0001.mp4")[0].tobytes() != load_video("b.mp4")[0].tobytes()


def test_a_random_seed_is_printed_and_stored(run: Run, model: str, pipeline: FakePipeline) -> None:
    result = run("generate", "x", "-m", model, *SMALL, "-o", "a.mp4")
    seed = read_provenance("a.mp4")["seed"]
    assert seed == pipeline.calls[0]["generator"].initial_seed()
    assert f"seed {seed}" in result.out
    assert f"seed {seed}" in result.err


def test_the_summary_has_file_size_seed_times_and_memory(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    out = run("generate", "x", "-m", model, *SMALL, "--seed", 1, "-o", "a.mp4").out
    assert out.startswith("a.mp4: ")
    for words in (
        " kB, seed 1, encode prompt ",
        " s, denoise ",
        " s, write ",
        "load ",
        "peak memory ",
        "(resident)",
    ):
        assert words in out


def test_json_is_the_only_output(run: Run, model: str, pipeline: FakePipeline) -> None:
    pipeline.warning = "These words\nwere cut."
    result = run(
        "generate",
        "x",
        "-m",
        model,
        *SMALL,
        "--width",
        40,
        "--seed",
        3,
        "--count",
        2,
        "-o",
        "a.mp4",
        "--json",
    )
    assert result.code == 0
    assert result.err == ""
    first, second = result.json["videos"]
    assert (first["path"], first["seed"], second["path"], second["seed"]) == (
        "a-0001.mp4",
        3,
        "a-0002.mp4",
        4,
    )
    assert first["bytes"] == Path("a-0001.mp4").stat().st_size
    assert set(first["seconds"]) == {"encode prompt", "denoise", "write"}
    assert result.json["peak_memory"]["bytes"] > 1e6
    assert result.json["warnings"] == [
        "--width 40 is not a multiple of 32: using 32.",
        "These words were cut.",
    ]


def test_a_warning_of_the_pipeline_is_one_line(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    pipeline.warning = "These words were cut:\n  a, b"
    assert (
        "These words were cut: a, b\n"
        in run("generate", "x", "-m", model, *SMALL, "-o", "a.mp4").err
    )


def test_a_dry_run_prints_the_job_and_makes_nothing(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    result = run(
        "generate", "a cat", "-m", model, *SMALL, "--seed", 4, "-o", "deep/a.mp4", "--dry-run"
    )
    assert result.code == 0
    entries = dict(line.split(None, 1) for line in result.out.splitlines())
    assert (entries["prompt"], entries["seeds"], entries["outputs"]) == ("a cat", "4", "deep/a.mp4")
    assert not Path("deep").exists()
    assert not pipeline.loaded


def test_without_a_model_the_demo_is_used_with_a_message(
    run: Run, model: str, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "path", lambda embedded="ltx": Path(model))
    result = run("generate", "x", "-o", "a.mp4", "--seed", 1)
    assert result.code == 0
    first, headline, *_ = result.err.splitlines()
    assert first.startswith("Using the small demo model")
    assert "--model ltx-2b-0.9.5" in first
    assert headline == "demo: 128x128, 25 frames (1.0 s at 25 fps), 25 steps, seed 1, cpu float32"
    assert "The demo model is trained for" not in result.err
    other = run("generate", "x", "--model", "demo", "--width", 64, "--dry-run")
    assert (
        "The demo model is trained for 128x128 and 25 frames only; other sizes look worse."
        in other.err
    )


@pytest.fixture
def presets(cache: Path) -> None:
    """A cache with empty files for every LTX preset."""
    from filmstrip.presets import ltx as presets

    files = {file for row in presets.PRESETS for file in row.files}
    store_repository(cache, presets.REPO, dict.fromkeys(files, ""), commit="0123abc")
    texts = ("text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/spiece.model")
    store_repository(cache, presets.TEXT_ENCODER, dict.fromkeys(texts, ""))


@pytest.mark.usefixtures("presets")
def test_a_preset_has_the_settings_of_the_authors_script(run: Run, pipeline: FakePipeline) -> None:
    job = run("generate", "x", "-m", "ltx-13b-0.9.8-dev", "--dry-run", "--json").json
    assert job["numerics"] == "the authors' numbers (the recipe of ltx-13b-0.9.8-dev)"
    assert (job["pipeline"], job["revision"], job["steps"], job["seeds"]) == (
        *("LTXRecipePipeline", "0123abc", 27 + 13, [171198]),
    )
    assert job["call"] == {
        "prompt": "x",
        "negative_prompt": "worst quality, inconsistent motion, blurry, jittery, distorted",
        "width": 1216,
        "height": 704,
        "num_frames": 121,
        "frame_rate": 30,
    }
    assert not pipeline.loaded


@pytest.mark.usefixtures("presets")
def test_a_preset_makes_odd_sizes_which_a_video_file_pads(run: Run, pipeline: FakePipeline) -> None:
    words = (
        "generate",
        "x",
        "-m",
        "ltx-2b-0.9.5",
        "--steps",
        2,
        "--width",
        39,
        "--height",
        50,
        "--frames",
        6,
    )
    written = run(*words, "-o", "a.mp4")
    assert written.code == 0
    problem = "39x50 has an odd width or height, and .mp4 files (4:2:0) need even ones"
    assert f"{problem}: the last row or column is repeated, 40x50." in written.err
    assert [(call["width"], call["height"], call["num_frames"]) for call in pipeline.calls] == [
        (39, 50, 6)
    ]
    assert load_video("a.mp4")[0].size == (40, 50)
    assert pipeline.calls[0]["recipe"].first.steps == 2
    refused = run(*words, "--no-snap", "-o", "b.mp4")
    assert (refused.code, f"{problem}. Use 40x50" in refused.err) == (2, True)
    assert problem not in run(*words, "--no-snap", "-o", "b.webp", "--dry-run").err


@pytest.mark.usefixtures("presets")
@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        (
            "ltx-13b-0.9.8-distilled",
            ("--steps", 8),
            "timesteps of its own (7 steps); leave out the number of steps",
        ),
        (
            "ltx-13b-0.9.8-dev",
            ("--steps", 40),
            "steps that are left out (27 steps); leave out the number of steps",
        ),
        (
            "ltx-13b-0.9.8-dev",
            ("--guidance", 4),
            "changes its guidance on the way (1, 1, 6, 8, 6, 1, 1)",
        ),
        ("demo@main", (), "did you mean demo?"),
    ],
)
def test_options_that_a_recipe_does_not_allow_are_refused(
    run: Run, pipeline: FakePipeline, model: str, words: tuple[object, ...], message: str
) -> None:
    result = run("generate", "x", "-m", model, *words)
    assert (result.code, message in result.err) == (2, True)
    assert not pipeline.loaded


@pytest.mark.usefixtures("presets")
def test_a_negative_prompt_for_a_distilled_preset_gives_a_message(run: Run) -> None:
    words = ("generate", "x", "--negative", "y", "--dry-run", "-m")
    assert (
        "--negative has no effect: guidance is off (1)."
        in run(*words, "ltx-13b-0.9.8-distilled").err
    )
    assert "--negative has no effect" not in run(*words, "ltx-13b-0.9.8-dev").err


def test_a_preset_that_is_not_cached_is_refused_with_the_download_commands(
    run: Run, cache: Path
) -> None:
    result = run("generate", "x", "-m", "ltx-2b-0.9.6-distilled", "--dry-run")
    assert result.code == 1
    download_preset = "hf download Lightricks/LTX-Video ltxv-2b-0.9.6-distilled-04-25.safetensors"
    download_text_encoder = (
        "hf download PixArt-alpha/PixArt-XL-2-1024-MS "
        '--include "text_encoder/*" --include "tokenizer/*"'
    )
    assert result.err.strip().endswith(f"{download_preset} && {download_text_encoder}")


def test_a_negative_prompt_without_guidance_gives_a_message(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    words = ("generate", "x", "-m", model, *SMALL, "-o", "a.mp4", "--dry-run", "--negative", "y")
    assert "--negative has no effect" in run(*words, "--guidance", 1).err
    assert "--negative has no effect" not in run(*words).err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("",), 2, "The prompt is empty"),
        ((" \n",), 2, "The prompt is empty"),
        (("x", "--model", "nothing-like-it"), 2, "is no known model"),
        (("x", "-o", "a.avi"), 2, "ends in .avi"),
        (("x", "-o", "a.png"), 2, "ends in .png"),
        (("x", "-o", "tiny/model_index.json/a.mp4"), 2, "is not a folder"),
        (("x", "-o", "full.mp4"), 2, "full.mp4 is a folder"),
        (("x", "--width", 10**7), 2, "Free some space"),
        (("x", "--device", "tpu"), 2, "--device tpu is not known"),
        (("x", "--dtype", "float16", "--device", "cpu"), 2, "float16 does not work on the CPU"),
        (("x", "--steps", 0), 2, "--steps is 0"),
        (("x", "--fps", 0), 2, "--fps is 0"),
        (("x", "--fps", 5000), 2, "--fps is 5000"),
        (("x", "--guidance", "nan"), 2, "--guidance is nan"),
        (("x", "--frames", 5, "--seconds", 1), 2, "both set the length"),
        (("x", "--width", "wide"), 2, "Invalid value for '--width'"),
        (("x", "--no-such-option"), 2, "No such option"),
        ((), 2, "Missing argument"),
        (("x", "--model", "empty"), 1, "not a model folder"),
        (("x", "--model", "svd"), 1, "holds a StableVideoDiffusionPipeline"),
        (("x", "--model", "list"), 1, "must hold a JSON object"),
        (("x", "--model", "someone/not-cached"), 1, "hf download someone/not-cached"),
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
    Path("full.mp4").mkdir()
    Path("svd").mkdir()
    Path("list").mkdir()
    Path("list/model_index.json").write_text("[]")
    Path("svd/model_index.json").write_text(
        json.dumps({"_class_name": "StableVideoDiffusionPipeline"})
    )
    before = sorted(Path().rglob("*"))
    model_option = () if "--model" in words else ("--model", model)
    result = run("generate", *words, *model_option)
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not pipeline.loaded
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_out_of_memory_is_an_error_that_says_what_to_make_smaller(
    run: Run, model: str, pipeline: FakePipeline, error: BaseException
) -> None:
    pipeline.fail = error
    result = run("generate", "x", "-m", model, *SMALL, "-o", "a.mp4")
    assert result.code == 1
    assert "cpu ran out of memory for 32x32, 5 frames" in result.err
    assert "Use a smaller --width" in result.err


def test_an_interrupt_exits_with_130_and_leaves_no_partial_file(
    run: Run, model: str, pipeline: FakePipeline
) -> None:
    pipeline.fail = KeyboardInterrupt()
    result = run("generate", "x", "-m", model, *SMALL, "--count", 2, "-o", "a.mp4")
    assert result.code == 130
    assert "Interrupted: 0 of 2 videos are written." in result.err
    assert "Traceback" not in result.err
    assert not list(Path().glob("*.mp4"))
