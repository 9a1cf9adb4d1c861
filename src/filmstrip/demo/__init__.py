"""The embedded demo: a small LTX model that ships with the package, its training clips, and a judge.

The clips are drawn (`draw_clips`), described (`caption`) and judged (`measure_clips`, `judge_clips`) here;
the training itself is `tools/train_demo` in the source repository.
"""

from __future__ import annotations

from pathlib import Path

from filmstrip.demo.captions import caption, evaluation_prompts
from filmstrip.demo.clips import draw_clips
from filmstrip.demo.measure import JUDGED, Measurement, judge_clips, measure_clips, swapped_colours
from filmstrip.demo.scenes import ATTRIBUTES, Scene, all_scenes, from_indices, sample_scenes, to_indices
from filmstrip.errors import CheckpointError

__all__ = [
    "ATTRIBUTES",
    "JUDGED",
    "Measurement",
    "Scene",
    "all_scenes",
    "caption",
    "draw_clips",
    "evaluation_prompts",
    "from_indices",
    "judge_clips",
    "measure_clips",
    "path",
    "sample_scenes",
    "swapped_colours",
    "to_indices",
]


def path() -> Path:
    """The folder of the embedded checkpoint, in diffusers' layout.

    Raises:
        CheckpointError: if this installation came without it.
    """
    folder = Path(__file__).parent / "ltx"
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"The embedded demo model is missing from {folder}. Install filmstrip from a release "
            "or a full clone, or train it with `python -m tools.train_demo`."
        )
    return folder
