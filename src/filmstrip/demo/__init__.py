"""The embedded demo: two small models that ship with the package, their training clips, and what measures them.

For the LTX model clips are drawn (`draw_clips`), described (`caption`) and judged (`measure_clips`, `judge_clips`).
For the SVD model pictures are drawn with the clips that follow from them (`draw_pointers`), and what the model makes
of them is measured (`measure_travel`). The training itself is `tools/train_demo` in the source repository.
"""

from __future__ import annotations

from pathlib import Path

from filmstrip.demo.captions import caption, evaluation_prompts
from filmstrip.demo.clips import draw_clips
from filmstrip.demo.measure import JUDGED, Measurement, judge_clips, measure_clips, swapped_colours
from filmstrip.demo.pointers import POINTER_ATTRIBUTES, draw_picture, draw_pointers, sample_pointers, velocity
from filmstrip.demo.scenes import ATTRIBUTES, Scene, all_scenes, from_indices, sample_scenes, to_indices
from filmstrip.demo.travel import Travel, measure_travel
from filmstrip.errors import CheckpointError

__all__ = [
    "ATTRIBUTES",
    "JUDGED",
    "POINTER_ATTRIBUTES",
    "Measurement",
    "Scene",
    "Travel",
    "all_scenes",
    "caption",
    "draw_clips",
    "draw_picture",
    "draw_pointers",
    "evaluation_prompts",
    "from_indices",
    "judge_clips",
    "measure_clips",
    "measure_travel",
    "path",
    "sample_pointers",
    "sample_scenes",
    "swapped_colours",
    "to_indices",
    "velocity",
]


def path(model: str = "ltx") -> Path:
    """The folder of an embedded checkpoint, "ltx" or "svd", in diffusers' layout.

    Raises:
        CheckpointError: if this installation came without it.
    """
    folder = Path(__file__).parent / model
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"The embedded demo model is missing from {folder}. Install filmstrip from a release "
            f"or a full clone, or train it with `python -m tools.train_demo {model}`."
        )
    return folder
