"""Training clips of the two embedded models, and measurements of the clips that they generate.

For the LTX model clips are drawn (`draw_clips`), described (`caption`) and judged (`measure_clips`,
`judge_clips`). For the SVD model pictures are drawn, each with a clip that starts from it
(`draw_pointers`), and generated clips are measured (`measure_travel`).
"""

from tools.demo_clips.captions import caption, evaluation_prompts
from tools.demo_clips.clips import Change, draw_clips
from tools.demo_clips.measure import (
    JUDGED,
    Measurement,
    judge_clips,
    measure_clips,
    swapped_colours,
)
from tools.demo_clips.pointers import (
    POINTER_ATTRIBUTES,
    draw_picture,
    draw_pointers,
    sample_pointers,
    velocity,
)
from tools.demo_clips.scenes import (
    ATTRIBUTES,
    Scene,
    all_scenes,
    from_indices,
    sample_scenes,
    to_indices,
)
from tools.demo_clips.travel import Travel, measure_travel

__all__ = [
    "ATTRIBUTES",
    "JUDGED",
    "POINTER_ATTRIBUTES",
    "Change",
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
    "sample_pointers",
    "sample_scenes",
    "swapped_colours",
    "to_indices",
    "velocity",
]
