"""The tables of the pages show the committed results."""

import json
from pathlib import Path

import pytest

from benchmarks.measure import LEFT_OUT
from benchmarks.table import END, PAGES, TABLES, begin, main, render, update


def row(library, mode, seconds, error=0.004):
    return {
        "library": library,
        "mode": mode,
        "median_s": seconds,
        "share_of_floor": 0.1 / seconds,
        "peak_gib": 4.5,
        "error_against_float32": error,
    }


def comparison(**changes):
    rows = [
        row("diffusers", "eager", 0.234, error=0.006),
        row("diffusers", "compiled", 0.168),
        row("diffusers", "compiled, channels-last", 0.16),
        row("filmstrip", "eager", 0.2),
        row("filmstrip", "compiled", 0.128),
    ]
    case = {"name": "step", "title": "A step", "floor_s": 0.1, "rows": rows}
    environment = {
        "device": "H100",
        "torch": "2.11",
        "diffusers": "0.42.1",
        "dtype": "bfloat16",
        "repeats": 10,
    }
    return (
        environment
        | {"toy": False, "ceilings": {"matmul_tflops": 748.7}, "cases": [case]}
        | changes
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_the_pages_are_those_of_the_results(page: Path):
    text = page.read_text("utf-8")
    assert update(text) == text, "run `python -m benchmarks.table`"


def test_every_table_is_on_a_page():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in TABLES if begin(name) not in text] == []


@pytest.mark.parametrize("name", ["ltx", "svd"])
def test_a_case_is_a_line_with_times_gpu_use_memory_and_the_speed_up(name, tmp_path):
    (tmp_path / f"{name}.json").write_text(json.dumps(comparison()))
    table = render(name, tmp_path)
    assert (
        "| A step | 0.234 s, 43%, 4.5 GiB | 0.160 s, 62%, 4.5 GiB | 0.200 s, 50%, 4.5 GiB "
        "| 0.128 s, 78%, 4.5 GiB | 1.25× |"
    ) in table
    assert "749 TFLOP/s" in table
    assert "0.4% in filmstrip and 0.6% in diffusers" in table


def test_startup_is_a_line_for_each_library(tmp_path):
    rows = [
        {"library": "diffusers", "median_s": 2.9, "with_t5_s": 4.8, "files": 258, "lines": 179376}
    ]
    result = {"rows": rows, "repeats": 5, "device": "CPU", "torch": "2.13"}
    (tmp_path / "startup.json").write_text(json.dumps(result))
    assert "| diffusers | 2.90 s | 4.80 s | 258 | 179,376 |" in render("startup", tmp_path)


def test_adherence_is_a_line_for_each_source_with_the_mean(tmp_path):
    scores = {"colour": 1.0, "shape": 0.9, "background": 1.0, "motion": 0.98}
    itself = {
        f"{source}_{name}": 1.0 for source in ("drawn", "reconstructed") for name in scores
    } | {"psnr": 31.0}
    result = {
        "guided": scores | {"guidance": 4.0},
        "unguided": scores,
        "judge_itself": itself,
        "prompts": 200,
    }
    result |= {"parameters": {"vae": 3e6}, "folder_bytes": 11.9e6, "device": "H100"}
    (tmp_path / "demo_ltx.json").write_text(json.dumps(result))
    assert "| generated, guidance 4 | 100.0% | 90.0% | 100.0% | 98.0% | 97.0% |" in render(
        "demo_ltx", tmp_path
    )


def test_travel_is_a_line_for_each_motion_bucket(tmp_path):
    fractions = {
        "direction_right": 0.995,
        "speed_right": 1.0,
        "shape_kept": 0.95,
        "colour_kept": 1.0,
    }
    row = fractions | {
        "bucket": 127,
        "fps": 7,
        "speed": 2.241,
        "speed_wanted": 2.268,
        "first_frame_psnr": 27.76,
    }
    result = {
        "by_bucket": [row],
        "speed": {"pictures_rise": 1.0},
        "pictures": 200,
        "device": "H100",
    }
    result["measure_itself"] = {"psnr": 32.15, "reconstructed_shape_kept": 0.9375}
    result |= {"parameters": {"unet": 3.2e6, "vae": 1.6e6}, "folder_bytes": 9.96e6}
    (tmp_path / "demo_svd.json").write_text(json.dumps(result))
    table = render("demo_svd", tmp_path)
    assert "| 127 | 99.5% | 100.0% | 95.0% | 100.0% | 2.24 (expected 2.27) | 27.8 dB |" in table
    assert "it rises from bucket to bucket in 100% of the pictures" in table
    assert "4.8 million parameters in 10.0 MB, and was trained on one H100." in table


def test_conditions_are_a_line_each_with_their_measurements(tmp_path):
    names = (
        "text",
        "stg",
        "picture",
        "keyframes",
        "extension",
        "single_scale",
        "multi_scale",
        "long",
    )
    result = {
        name: {"attributes": 0.975, "psnr_first": 31.24, "psnr_last": 29.96, "edge_width": 4.5}
        for name in names
    }
    result["extension"] |= {"off_at_end": 1.04, "jump_at_seam": 0.2, "jump_elsewhere": 0.1}
    result["long"] |= {"videos": 16, "error_at_seams": 0.008, "error_elsewhere": 0.0075}
    result |= {
        "drawn": {"edge_width": 1.32},
        "autoencoder": {"edge_width": 4.1, "psnr": 34.0, "psnr_small": 32.1},
    }
    (tmp_path / "demo_conditions.json").write_text(
        json.dumps(result | {"clips": 128, "device": "H100"})
    )
    table = render("demo_conditions", tmp_path)
    assert (
        "| a prompt, the first and the last frame | 97.5% | first frame 31.2 dB, last 30.0 dB |"
        in table
    )
    assert "| a prompt, 256×256 in two passes | 97.5% | edges 4.5 pixels wide |" in table
    assert "unevenness 0.0080 at seams, 0.0075 elsewhere" in table


def test_tiling_is_a_line_for_each_direction(tmp_path):
    row = {"mean": 0.0061, "seams": 0.0064, "elsewhere": 0.0061, "most": 0.044}
    result = {
        "dtype": "float32",
        "side": 704,
        "tile": 256,
        "stride": 224,
        "tiles": 9,
        "rows": {"both": row},
    }
    (tmp_path / "svd_tiling.json").write_text(json.dumps(result))
    table = render("svd_tiling", tmp_path)
    assert "| encode and decode | 0.006/255 | 0.006/255 | 0.006/255 | 0.044/255 |" in table
    assert "704×704 pixels in 9 tiles of 256×256 that overlap by 32" in table


def test_demo_time_is_a_line_for_each_command(tmp_path):
    rows = [{"command": "generate", "median_s": 6.54, "peak_bytes": 5.5e8}]
    result = {"rows": rows, "repeats": 3, "device": "CPU", "torch": "2.13"}
    (tmp_path / "demo_time.json").write_text(json.dumps(result))
    assert "| `filmstrip generate` | 6.5 s | 550 MB |" in render("demo_time", tmp_path)


def test_toy_results_and_missing_rows_are_not_shown(tmp_path):
    path = tmp_path / "ltx.json"
    path.write_text(json.dumps(comparison(toy=True)))
    with pytest.raises(ValueError, match="toy"):
        render("ltx", tmp_path)
    result = comparison()
    rows = result["cases"][0]["rows"]
    rows[-1] = {"library": "filmstrip", "mode": "compiled", "error": "RuntimeError: broken"}
    path.write_text(json.dumps(result))
    with pytest.raises(ValueError, match="failed in filmstrip: RuntimeError: broken"):
        render("ltx", tmp_path)
    del rows[-1]
    path.write_text(json.dumps(result))
    with pytest.raises(ValueError, match="no compiled row of filmstrip"):
        render("ltx", tmp_path)


def test_a_row_that_was_not_compiled_for_lack_of_time_is_a_dash(tmp_path):
    result = comparison()
    result["cases"][0]["rows"][-1] = {"library": "filmstrip", "mode": "compiled", "error": LEFT_OUT}
    (tmp_path / "svd.json").write_text(json.dumps(result))
    table = render("svd", tmp_path)
    assert "| 0.200 s, 50%, 4.5 GiB | – | 0.80× |" in table
    assert table.endswith("–: not compiled, for lack of time.")


def test_the_summary_has_a_line_for_each_gain(tmp_path):
    cases = ("decode_1024x576x25", "step_1024x576x25_cfg")
    others = ("decode_768x512x121", "step_704x512x161_cfg")
    for file, names in (("svd.json", cases), ("ltx.json", others)):
        result = comparison()
        result["cases"] = [result["cases"][0] | {"name": name} for name in names]
        (tmp_path / file).write_text(json.dumps(result))
    libraries = [
        {"library": "diffusers", "median_s": 2.9, "lines": 179376},
        {"library": "filmstrip", "median_s": 0.13, "lines": 6136},
    ]
    (tmp_path / "startup.json").write_text(json.dumps({"rows": libraries}))
    table = render("summary", tmp_path)
    assert (
        "| SVD: decode 25 frames at 1024×576 | 0.23 s, 4.5 GiB | 0.20 s, 4.5 GiB |\n"
        "| SVD-XT: one denoising step at that size | 0.23 s, 4.5 GiB | 0.20 s, 4.5 GiB |"
    ) in table
    assert "| Import a pipeline | 2.90 s | 0.13 s |" in table
    assert "| Lines of code imported | 179,376 | 6,136 |" in table


def test_only_the_text_between_the_comments_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{begin('ltx')}\nold\n{END}\nafter\n", encoding="utf-8")
    (tmp_path / "ltx.json").write_text(json.dumps(comparison()))
    main([str(page), "--results", str(tmp_path)])
    table = render("ltx", tmp_path)
    assert page.read_text("utf-8") == f"before\n{begin('ltx')}\n{table}\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["no comments", begin("ltx"), END, f"{END}\n{begin('ltx')}"])
def test_a_page_without_a_complete_pair_of_comments_is_refused(text):
    with pytest.raises(ValueError, match="is between"):
        update(text)


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="There is no table 'nothing'"):
        update(f"{begin('nothing')}\n{END}")
