"""The tables of the README, made from the committed results.

    python -m benchmarks.table README.md

replaces what stands between the two marker comments of that file.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.measure import LEFT_OUT

Row: TypeAlias = Mapping[str, Any]

RESULTS = Path(__file__).parent / "results"
MISSING = "–"
BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


def render(results: Path = RESULTS) -> str:
    """The tables of all results that are there, as Markdown.

    Raises:
        ValueError: a result comes from a toy run, or lacks a row that has to be shown.
    """
    tables = {
        "ltx.json": comparison_table,
        "svd.json": comparison_table,
        "startup.json": startup_table,
        "demo_ltx.json": adherence_table,
        "demo_conditions.json": conditions_table,
        "demo_svd.json": travel_table,
        "svd_tiling.json": tiling_table,
        "demo_time.json": demo_time_table,
    }
    found = {name: results / name for name in tables if (results / name).exists()}
    return "\n\n".join(
        tables[name](json.loads(path.read_text("utf-8"))) for name, path in found.items()
    )


def comparison_table(result: Row) -> str:
    """Time, share of the floor and memory of each case, and how they were measured."""
    if result["toy"]:
        raise ValueError(
            "A result comes from a toy run, which measures nothing; run the benchmark at full size."
        )
    lines = [
        "| work | floor | diffusers | diffusers, compiled | filmstrip | filmstrip, compiled | best "
        "against best |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    errors: dict[str, list[float]] = {"diffusers": [], "filmstrip": []}
    complete = True
    for case in result["cases"]:
        rows = [
            fastest(case, library, compiled)
            for library in ("diffusers", "filmstrip")
            for compiled in (False, True)
        ]
        best, ours = (min(row["median_s"] for row in pair if row) for pair in (rows[:2], rows[2:]))
        cells = [
            case["title"],
            f"{case['floor_s']:.3f} s",
            *map(cell, rows),
            f"{best / ours:.2f}× as fast",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        complete = complete and all(rows)
        for row in filter(None, rows):
            errors[row["library"]].append(row["error_against_float32"])
    note = (
        f"One {result['device']}, torch {result['torch']}, diffusers {result['diffusers']}, "
        f"{result['dtype']}, random "
        f"weights at the published sizes, medians of {result['repeats']} calls. The floor is the "
        "time that a call's "
        "operations take at the rate of a large matrix product, "
        f"{result['ceilings']['matmul_tflops']:.0f} TFLOP/s in "
        "the same run; the percentages are shares of it. Memory includes the weights. Against the "
        "same weights in "
        f"float32, results are off by at most {max(errors['filmstrip']):.1%} in filmstrip and "
        f"{max(errors['diffusers']):.1%} in diffusers (norm of the difference over norm)."
    )
    return "\n".join(
        [*lines, "", note if complete else f"{note} {MISSING}: no time was left to compile it."]
    )


def startup_table(result: Row) -> str:
    """What importing a pipeline costs."""
    lines = [
        "| `import LTXPipeline`, beyond `import torch` | time | with T5's class | own files | own "
        "lines |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        cells = [row["library"], f"{row['median_s']:.2f} s", f"{row['with_t5_s']:.2f} s"]
        lines.append(f"| {' | '.join([*cells, str(row['files']), format(row['lines'], ',')])} |")
    note = (
        f"Medians of {result['repeats']} processes on one {result['device']}, "
        f"torch {result['torch']}."
    )
    return "\n".join([*lines, "", note])


def adherence_table(result: Row) -> str:
    """How often the embedded LTX model shows what the prompt says."""
    attributes = ("colour", "shape", "background", "motion")
    itself = result["judge_itself"]
    rows: dict[str, list[float]] = {
        f"generated, guidance {result['guided']['guidance']:g}": [
            result["guided"][name] for name in attributes
        ],
        "generated, guidance off": [result["unguided"][name] for name in attributes],
        "clips drawn by the project": [itself[f"drawn_{name}"] for name in attributes],
        "the same through the autoencoder": [
            itself[f"reconstructed_{name}"] for name in attributes
        ],
    }
    lines = [
        f"| the embedded LTX model | {' | '.join(attributes)} | mean |",
        f"| --- |{' --- |' * 5}",
    ]
    for name, values in rows.items():
        cells = [format(value, ".1%") for value in (*values, sum(values) / len(values))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    note = (
        "Share of attributes that an image measurement finds as the prompt has them, over "
        f"{result['prompts']} prompts "
        "whose pairs of attributes training never saw, one clip each. The last two rows are the "
        "error of the "
        f"measurement itself and of the autoencoder ({itself['psnr']:.1f} dB). {_trained(result)}"
    )
    return "\n".join([*lines, "", note])


def conditions_table(result: Row) -> str:
    """What the embedded LTX model makes of pictures, clips, larger sizes and long videos."""
    keyframes, longer, seams = result["keyframes"], result["extension"], result["long"]
    measured = {
        "text": ("a text", MISSING),
        "stg": ("the same, with spatio-temporal guidance", MISSING),
        "picture": ("its first frame", f"first frame {result['picture']['psnr_first']:.1f} dB"),
        "keyframes": (
            "its first and last frame",
            f"first frame {keyframes['psnr_first']:.1f} dB, last {keyframes['psnr_last']:.1f} dB",
        ),
        "extension": (
            "a clip that it extends",
            f"{longer['off_at_end']:.1f} pixels off at the end; unsteady by "
            f"{longer['jump_at_seam']:.2f} pixels at the "
            f"seam, {longer['jump_elsewhere']:.2f} elsewhere",
        ),
        "single_scale": (
            "256×256 in one pass",
            f"edges {result['single_scale']['edge_width']:.2f} pixels wide",
        ),
        "multi_scale": (
            "256×256 in two passes, with the upsampler",
            f"edges {result['multi_scale']['edge_width']:.2f} pixels wide",
        ),
        "long": (
            "three prompts, one after the other",
            f"error of frames {seams['error_at_seams']:.4f} at seams, "
            f"{seams['error_elsewhere']:.4f} elsewhere",
        ),
    }
    lines = ["| the embedded LTX model, from | attributes | measured |", "| --- | --- | --- |"]
    lines += [
        f"| {title} | {result[name]['attributes']:.1%} | {cell} |"
        for name, (title, cell) in measured.items()
    ]
    itself = result["autoencoder"]
    note = (
        f"{result['clips']} held-out clips of each kind, and {seams['videos']} long videos, made "
        "on one "
        f"{result['device']}. Attributes are shares as above. Pictures are given as the authors' "
        "recipe gives them, "
        f"softened and compressed; the autoencoder alone keeps {itself['psnr_small']:.1f} dB. At "
        "256×256 edges are "
        f"{result['drawn']['edge_width']:.2f} pixels wide in drawn clips and "
        f"{itself['edge_width']:.2f} after the "
        "autoencoder: sum of squared slopes over that of their cubes, from the background, 0, to "
        "the object, 1. Off "
        "and unsteady is the object's centre against the drawn clip that was begun: its place, and "
        "its change from "
        "frame to frame; medians. The error of a frame is its distance from the middle of its "
        "neighbours, root mean "
        "square of values from 0 to 1."
    )
    return "\n".join([*lines, "", note])


def travel_table(result: Row) -> str:
    """How the embedded SVD model moves what it is shown, at each motion bucket."""
    shares = {
        "direction_right": "direction",
        "speed_right": "speed",
        "shape_kept": "shape",
        "colour_kept": "colour",
    }
    lines = [
        f"| the embedded SVD model | {' | '.join(shares.values())} | pixels a frame | first frame "
        "|",
        f"| --- |{' --- |' * (len(shares) + 2)}",
    ]
    for row in result["by_bucket"]:
        cells = [f"motion bucket {row['bucket']}", *(format(row[name], ".1%") for name in shares)]
        cells += [
            f"{row['speed']:.2f}, {row['speed_wanted']:.2f} wanted",
            f"{row['first_frame_psnr']:.1f} dB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    itself = result["measure_itself"]
    note = (
        f"Share of {result['pictures']} pictures, whose colour, shape and direction training never "
        "saw together, that "
        "an image measurement finds moved as they say, one clip each at "
        f"{result['by_bucket'][0]['fps']} fps. Speed is "
        "right within a fifth and 0.15 pixels; from bucket to bucket it rises in "
        f"{result['speed']['pictures_rise']:.0%} of the pictures. The last column compares the "
        "first frame with the "
        f"picture; the autoencoder alone keeps {itself['psnr']:.1f} dB of a clip, and "
        f"{itself['reconstructed_shape_kept']:.1%} of the shapes. {_trained(result)}"
    )
    if after := result.get("decoder_afterwards"):
        first, kept, least = (
            after[name] for name in ("first_frame_psnr", "shape_kept", "least_first_frame_psnr")
        )
        note += (
            " The decoder that ships mixes no frames any more, which was changed after this run: "
            "on the same latents "
            f"of {after['pictures']} of the pictures at motion bucket {after['bucket']}, the first "
            "frame goes from "
            f"{first['before']} to {first['after']} dB (the worst from {least['before']} to "
            f"{least['after']}), kept "
            f"shapes from {kept['before']:.1%} to {kept['after']:.1%}, and direction, speed and "
            "colour stay right in "
            "all."
        )
    return "\n".join([*lines, "", note])


def tiling_table(result: Row) -> str:
    """What tiles cost SVD's autoencoder in exactness."""
    lines = [
        "| SVD's autoencoder in tiles | mean error | at the seams | elsewhere | most |",
        f"| --- |{' --- |' * 4}",
    ]
    for name, row in result["rows"].items():
        cells = [f"{row[part]:.3f}/255" for part in ("mean", "seams", "elsewhere", "most")]
        lines.append(f"| {'encode and decode' if name == 'both' else name} | {' | '.join(cells)} |")
    side, tile = result["side"], result["tile"]
    note = (
        "Against the same at once, which is all that diffusers does: the embedded model, "
        f"{result['dtype']}, "
        f"{side}×{side} pixels in {result['tiles']} tiles of {tile}×{tile} that overlap by "
        f"{tile - result['stride']}. "
        "Errors of latents are measured in their deviation."
    )
    return "\n".join([*lines, "", note])


def _trained(result: Row) -> str:
    parameters = sum(result["parameters"].values()) / 1e6
    return (
        f"{parameters:.1f} million parameters, {result['folder_bytes'] / 1e6:.1f} MB, "
        f"trained on one {result['device']}."
    )


def demo_time_table(result: Row) -> str:
    """What a clip of an embedded model costs on a CPU."""
    lines = [
        "| the embedded models on a CPU | start to finished file | peak memory |",
        "| --- | --- | --- |",
    ]
    for row in result["rows"]:
        lines.append(
            f"| `filmstrip {row['command']}` | {row['median_s']:.1f} s | "
            f"{row['peak_bytes'] / 1e6:.0f} MB |"
        )
    note = (
        f"Imports and loading included; medians of {result['repeats']} runs on one "
        f"{result['device']}, "
        f"torch {result['torch']}."
    )
    return "\n".join([*lines, "", note])


def fastest(case: Row, library: str, compiled: bool) -> Row | None:
    """The fastest row of a library, as it is or compiled in whatever way; None where no time was
    left for it.

    Raises:
        ValueError: there is none for another reason.
    """
    rows = [row for row in case["rows"] if row["library"] == library]
    rows = [row for row in rows if row["mode"].startswith("compiled") is compiled]
    if rows and all(row.get("error") == LEFT_OUT for row in rows):
        return None
    if failed := [row["error"] for row in rows if row.get("error", LEFT_OUT) != LEFT_OUT]:
        raise ValueError(f"{case['name']} failed in {library}: {failed[0]}")
    measured = [row for row in rows if "median_s" in row]
    if not measured:
        raise ValueError(
            f"{case['name']} has no {'compiled' if compiled else 'eager'} row of {library}."
        )
    return min(measured, key=lambda row: row["median_s"])


def cell(row: Row | None) -> str:
    """Time, share and memory of a row."""
    if row is None:
        return MISSING
    return f"{row['median_s']:.3f} s, {row['share_of_floor']:.0%}, {row['peak_gib']:.1f} GiB"


def splice(text: str, tables: str) -> str:
    """The text with what stands between the markers replaced.

    Raises:
        ValueError: the markers are missing or occur more than once.
    """
    if (text.count(BEGIN), text.count(END)) != (1, 1):
        raise ValueError(f"The text must hold {BEGIN} and {END} once each.")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Bring the tables of a file up to date."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("file", type=Path, help="a Markdown file with the two markers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args(arguments)
    text = splice(given.file.read_text("utf-8"), render(given.results))
    given.file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
