"""Write the tables of the pages from the committed results.

    python -m benchmarks.table

updates README.md and docs/measurements.md: the text between the comments `<!-- table: NAME -->` and
`<!-- end of table -->` is replaced by the table of that name.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import LEFT_OUT

Row: TypeAlias = Mapping[str, Any]

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "measurements.md")
MISSING = "–"
END = "<!-- end of table -->"
_SECTION = re.compile(rf"<!-- table: (\w+) -->\n.*?{END}", re.DOTALL)


def begin(name: str) -> str:
    """The comment before a table."""
    return f"<!-- table: {name} -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    """A Markdown table, and a paragraph about how it was measured."""
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{note}"


def summary_table(ltx: Row, svd: Row, startup: Row) -> str:
    """The short table of the README: what a user of diffusers gains."""
    cases = {case["name"]: case for result in (ltx, svd) for case in result["cases"]}
    titles = {
        "decode_1024x576x25": "SVD: decode 25 frames at 1024×576",
        "step_1024x576x25_cfg": "SVD-XT: one denoising step at that size",
        "decode_768x512x121": "LTX-Video: decode 121 frames at 768×512",
        "step_704x512x161_cfg": "LTX-Video 2B: one denoising step, 704×512×161",
    }
    rows = []
    for name, title in titles.items():
        cells = []
        for library in ("diffusers", "filmstrip"):
            row = fastest(cases[name], library, compiled=False)
            cells.append(_time_and_memory(row) if row else MISSING)
        rows.append([title, *cells])
    imports = {row["library"]: row for row in startup["rows"]}
    both = (imports["diffusers"], imports["filmstrip"])
    rows.append(["Import a pipeline", *(f"{row['median_s']:.2f} s" for row in both)])
    rows.append(["Lines of code imported", *(f"{row['lines']:,}" for row in both)])
    ratios = []
    for name in ("step_1024x576x25_cfg", "step_704x512x161_cfg"):
        compiled = [fastest(cases[name], library, True) for library in ("diffusers", "filmstrip")]
        if all(compiled):
            diffusers_s, filmstrip_s = (row["median_s"] for row in compiled if row)
            ratios.append(filmstrip_s / diffusers_s)
    note = (
        f"Time and peak GPU memory on one {ltx['device']}, without `torch.compile`, random weights "
        f"at the published sizes; imports on a CPU, after torch. diffusers {ltx['diffusers']}."
    )
    if ratios:
        note += (
            " With `torch.compile` in both, filmstrip's denoising steps take "
            f"{min(ratios):.0%} to {max(ratios):.0%} of diffusers' time."
        )
    return table(["", "diffusers", "filmstrip"], rows, note)


def comparison_table(result: Row) -> str:
    """Time, GPU use and memory of each case, and how they were measured.

    Raises:
        ValueError: the result comes from a toy run, or lacks a row that has to be shown.
    """
    if result["toy"]:
        raise ValueError(
            "A result comes from a toy run, which measures nothing; run the benchmark at full size."
        )
    header = ["work", "diffusers", "diffusers, compiled", "filmstrip", "filmstrip, compiled"]
    lines = []
    errors: dict[str, list[float]] = {"diffusers": [], "filmstrip": []}
    complete = True
    for case in result["cases"]:
        rows = [
            fastest(case, library, compiled)
            for library in ("diffusers", "filmstrip")
            for compiled in (False, True)
        ]
        diffusers_s = min(row["median_s"] for row in rows[:2] if row)
        filmstrip_s = min(row["median_s"] for row in rows[2:] if row)
        lines.append([case["title"], *map(cell, rows), f"{diffusers_s / filmstrip_s:.2f}×"])
        complete = complete and all(rows)
        for row in rows:
            if row is not None:
                errors[row["library"]].append(row["error_against_float32"])
    note = (
        f"One {result['device']}, torch {result['torch']}, diffusers {result['diffusers']}, "
        f"{result['dtype']}, random weights at the published sizes, medians of "
        f"{result['repeats']} calls. The percentage is GPU use: the arithmetic of the call, "
        "divided by its time, as a part of the "
        f"{result['ceilings']['matmul_tflops']:.0f} TFLOP/s that a large matrix product reached "
        "in the same run. Memory is the peak, weights of this module included. Speed-up compares "
        "the faster column of each library. Compared with the same weights in float32, results "
        f"differ by at most {max(errors['filmstrip']):.1%} in filmstrip and "
        f"{max(errors['diffusers']):.1%} in diffusers (norm of the difference divided by the norm)."
    )
    if not complete:
        note += f" {MISSING}: not compiled, for lack of time."
    return table([*header, "speed-up"], lines, note)


def startup_table(result: Row) -> str:
    """The time to import a pipeline."""
    header = ["`import LTXPipeline`", "time after `import torch`", "with T5's class", "files"]
    rows = [
        [
            row["library"],
            f"{row['median_s']:.2f} s",
            f"{row['with_t5_s']:.2f} s",
            str(row["files"]),
            format(row["lines"], ","),
        ]
        for row in result["rows"]
    ]
    note = (
        f"Medians of {result['repeats']} processes on one {result['device']}, "
        f"torch {result['torch']}. Files and lines are those of the library itself."
    )
    return table([*header, "lines of code"], rows, note)


def adherence_table(result: Row) -> str:
    """How often clips of the embedded LTX model show what their prompts say."""
    attributes = ("colour", "shape", "background", "motion")
    itself = result["judge_itself"]
    sources: dict[str, list[float]] = {
        f"generated, guidance {result['guided']['guidance']:g}": [
            result["guided"][name] for name in attributes
        ],
        "generated, no guidance": [result["unguided"][name] for name in attributes],
        "drawn clips": [itself[f"drawn_{name}"] for name in attributes],
        "drawn clips, encoded and decoded": [
            itself[f"reconstructed_{name}"] for name in attributes
        ],
    }
    rows = []
    for name, values in sources.items():
        mean = sum(values) / len(values)
        rows.append([name, *(format(value, ".1%") for value in (*values, mean))])
    note = (
        f"How many of {result['prompts']} clips show what their prompts say, as an image "
        "measurement judges them. Every prompt has a pair of attributes (colour and shape, or "
        "shape and motion) that the training clips never had. The last two rows show how far the "
        "measurement and the autoencoder are at fault: clips that the project drew, as they are "
        f"and after encoding and decoding ({itself['psnr']:.1f} dB PSNR). {_trained(result)}"
    )
    return table(["clips", *attributes, "mean"], rows, note)


def conditions_table(result: Row) -> str:
    """The embedded LTX model with pictures, clips, larger sizes and long videos."""
    keyframes = result["keyframes"]
    extension = result["extension"]
    long = result["long"]
    measured = {
        "text": ("a prompt", MISSING),
        "stg": ("a prompt, with spatio-temporal guidance", MISSING),
        "picture": (
            "a prompt and the first frame",
            f"first frame {result['picture']['psnr_first']:.1f} dB",
        ),
        "keyframes": (
            "a prompt, the first and the last frame",
            f"first frame {keyframes['psnr_first']:.1f} dB, last {keyframes['psnr_last']:.1f} dB",
        ),
        "extension": (
            "a prompt and a clip to extend",
            f"object {extension['off_at_end']:.1f} pixels from its place at the end; jitter "
            f"{extension['jump_at_seam']:.2f} pixels at the seam, "
            f"{extension['jump_elsewhere']:.2f} elsewhere",
        ),
        "single_scale": (
            "a prompt, 256×256 in one pass",
            f"edges {result['single_scale']['edge_width']:.1f} pixels wide",
        ),
        "multi_scale": (
            "a prompt, 256×256 in two passes",
            f"edges {result['multi_scale']['edge_width']:.1f} pixels wide",
        ),
        "long": (
            "three prompts, one after the other",
            f"unevenness {long['error_at_seams']:.4f} at seams, "
            f"{long['error_elsewhere']:.4f} elsewhere",
        ),
    }
    rows = [
        [title, f"{result[name]['attributes']:.1%}", text]
        for name, (title, text) in measured.items()
    ]
    itself = result["autoencoder"]
    note = (
        f"{result['clips']} clips of each row, {long['videos']} of the last, with attributes that "
        f"training never combined; made on one {result['device']}. Pictures are softened and "
        "compressed before encoding, as the authors' recipe has it. "
        "*Frames in dB* are the PSNR against the given picture; the autoencoder alone reaches "
        f"{itself['psnr_small']:.1f} dB. *Pixels from its place* compares the object's centre with "
        "that of the drawn clip; *jitter* is the change of this distance from frame to frame "
        "(medians). *Edges*: the width of the transition from object to background; "
        f"{result['drawn']['edge_width']:.1f} pixels in drawn clips, {itself['edge_width']:.1f} "
        "after the autoencoder. *Unevenness* is the distance of a frame from the mean of its two "
        "neighbours (root mean square, pixels from 0 to 1)."
    )
    return table(["made from", "attributes as prompted", "also measured"], rows, note)


def travel_table(result: Row) -> str:
    """The motion of the embedded SVD model's clips, at each motion bucket."""
    attributes = {
        "direction_right": "direction right",
        "speed_right": "speed right",
        "shape_kept": "shape kept",
        "colour_kept": "colour kept",
    }
    rows = []
    for row in result["by_bucket"]:
        rows.append(
            [
                str(row["bucket"]),
                *(format(row[name], ".1%") for name in attributes),
                f"{row['speed']:.2f} (expected {row['speed_wanted']:.2f})",
                f"{row['first_frame_psnr']:.1f} dB",
            ]
        )
    itself = result["measure_itself"]
    note = (
        f"{result['pictures']} pictures, whose colour, shape and direction training never "
        f"combined, one clip each at {result['by_bucket'][0]['fps']} fps. Speed is right within a "
        "fifth and 0.15 pixels; it rises from bucket to bucket in "
        f"{result['speed']['pictures_rise']:.0%} of the pictures. The last column is the PSNR of "
        f"the first frame against the picture; the autoencoder alone reaches {itself['psnr']:.1f} "
        f"dB on whole clips and keeps {itself['reconstructed_shape_kept']:.1%} of the shapes. "
        f"{_trained(result)}"
    )
    after = result.get("decoder_afterwards")
    if after is not None:
        first = after["first_frame_psnr"]
        lowest = after["least_first_frame_psnr"]
        kept = after["shape_kept"]
        note += (
            " The decoder was changed after this run, and no longer mixes frames. With the same "
            f"latents of {after['pictures']} of the pictures at motion bucket {after['bucket']}, "
            f"the first frame rises from {first['before']} to {first['after']} dB (the lowest from "
            f"{lowest['before']} to {lowest['after']}), kept shapes from {kept['before']:.1%} to "
            f"{kept['after']:.1%}; direction, speed and colour stay right in all."
        )
    header = ["motion bucket", *attributes.values(), "pixels per frame", "first frame"]
    return table(header, rows, note)


def tiling_table(result: Row) -> str:
    """The errors of SVD's autoencoder with tiling."""
    rows = []
    for name, row in result["rows"].items():
        title = "encode and decode" if name == "both" else name
        parts = ("mean", "seams", "elsewhere", "most")
        rows.append([title, *(f"{row[part]:.3f}/255" for part in parts)])
    size = result["side"]
    tile = result["tile"]
    note = (
        "Tiled results against untiled ones, which is all that diffusers offers: the demo "
        f"model, {result['dtype']}, {size}×{size} pixels in {result['tiles']} tiles of "
        f"{tile}×{tile} that overlap by {tile - result['stride']}. Errors of latents (*encode*) "
        "are in units of their standard deviation, divided by 255."
    )
    header = ["tiles", "mean error", "at the seams", "elsewhere", "largest error"]
    return table(header, rows, note)


def demo_time_table(result: Row) -> str:
    """Time and memory of a clip of the embedded models on a CPU."""
    rows = [
        [
            f"`filmstrip {row['command']}`",
            f"{row['median_s']:.1f} s",
            f"{row['peak_bytes'] / 1e6:.0f} MB",
        ]
        for row in result["rows"]
    ]
    note = (
        f"Imports and loading included; medians of {result['repeats']} runs on one "
        f"{result['device']}, torch {result['torch']}."
    )
    return table(["command", "start to finished file", "peak memory"], rows, note)


# The tables by name: the results that each is made from, and the function that makes it.
TABLES: Mapping[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "summary": (("ltx.json", "svd.json", "startup.json"), summary_table),
    "ltx": (("ltx.json",), comparison_table),
    "svd": (("svd.json",), comparison_table),
    "startup": (("startup.json",), startup_table),
    "demo_ltx": (("demo_ltx.json",), adherence_table),
    "demo_conditions": (("demo_conditions.json",), conditions_table),
    "demo_svd": (("demo_svd.json",), travel_table),
    "svd_tiling": (("svd_tiling.json",), tiling_table),
    "demo_time": (("demo_time.json",), demo_time_table),
}


def render(name: str, results: Path = RESULTS) -> str:
    """The table of this name, as Markdown.

    Raises:
        ValueError: there is no such table, or a result cannot be shown.
    """
    if name not in TABLES:
        raise ValueError(f"There is no table {name!r}. Choose one of: {', '.join(TABLES)}.")
    files, make = TABLES[name]
    return make(*(json.loads((results / file).read_text("utf-8")) for file in files))


def fastest(case: Row, library: str, compiled: bool) -> Row | None:
    """The fastest row of a library, eager or compiled; None if there was no time to measure it.

    Raises:
        ValueError: a row failed or is missing.
    """
    rows = [
        row
        for row in case["rows"]
        if row["library"] == library and row["mode"].startswith("compiled") is compiled
    ]
    if rows and all(row.get("error") == LEFT_OUT for row in rows):
        return None
    failed = [row["error"] for row in rows if row.get("error", LEFT_OUT) != LEFT_OUT]
    if failed:
        raise ValueError(f"{case['name']} failed in {library}: {failed[0]}")
    measured = [row for row in rows if "median_s" in row]
    if not measured:
        raise ValueError(
            f"{case['name']} has no {'compiled' if compiled else 'eager'} row of {library}."
        )
    return min(measured, key=lambda row: row["median_s"])


def cell(row: Row | None) -> str:
    """Time, GPU use and memory of a row."""
    if row is None:
        return MISSING
    return f"{row['median_s']:.3f} s, {row['share_of_floor']:.0%}, {row['peak_gib']:.1f} GiB"


def _time_and_memory(row: Row) -> str:
    return f"{row['median_s']:.2f} s, {row['peak_gib']:.1f} GiB"


def _trained(result: Row) -> str:
    parameters = sum(result["parameters"].values()) / 1e6
    return (
        f"The model has {parameters:.1f} million parameters in {result['folder_bytes'] / 1e6:.1f} "
        f"MB, and was trained on one {result['device']}."
    )


def update(text: str, results: Path = RESULTS) -> str:
    """Replace the tables of a page.

    Raises:
        ValueError: the page has no table, or a table without its end.
    """
    updated, count = _SECTION.subn(
        lambda match: f"{begin(match[1])}\n{render(match[1], results)}\n{END}", text
    )
    if not count or text.count(END) != count or text.count("<!-- table: ") != count:
        raise ValueError(
            f"Every table of a page is between {begin('NAME')} and {END}; the page has "
            f"{count} such pairs."
        )
    return updated


def main(arguments: Sequence[str] | None = None) -> None:
    """Update the tables of pages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", default=PAGES, help="Markdown files")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args(arguments)
    for file in options.files:
        file.write_text(update(file.read_text("utf-8"), options.results), encoding="utf-8")


if __name__ == "__main__":
    main()
