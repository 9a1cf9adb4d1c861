"""The last step of every plan: device, dtype, outputs, and the `Job`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filmstrip.jobs.checkpoint import Checkpoint
from filmstrip.jobs.device_and_dtype import choose_device, choose_dtype
from filmstrip.jobs.families import P
from filmstrip.jobs.inputs import MediaInput
from filmstrip.jobs.job import Job
from filmstrip.jobs.output_files import choose_outputs, refuse_inputs_as_outputs
from filmstrip.jobs.request import Request
from filmstrip.jobs.windows import Windows


def make_job(
    request: Request,
    checkpoint: Checkpoint[P],
    folder: Path,
    *,
    call: Mapping[str, Any],
    seeds: tuple[int, ...],
    steps: int,
    adjustments: Sequence[str],
    inputs: tuple[MediaInput, ...] = (),
    windows: Windows | None = None,
    recipe_changes: Mapping[str, Any] = MappingProxyType({}),
    upscale: bool = False,
) -> Job:
    """Make the job of a request.

    Args:
        request: what to make.
        checkpoint: the model.
        folder: the local folder with its JSON files.
        adjustments: a sentence for each difference from the request so far.
        call, seeds, steps, inputs, windows, recipe_changes, upscale: as in `Job`.

    Raises:
        InputError: this machine lacks the device or the dtype, an output cannot be written
            or is one of the inputs.
    """
    device = choose_device(request.device)
    scale = 2 if upscale else 1
    # Frames of extended clips that the call does not make are written too.
    num_frames = call["num_frames"] + sum(
        (item.file.num_frames or 1) - item.num_frames for item in inputs if item.is_extended
    )
    trained_size = _trained_size(checkpoint, call, windows)
    outputs = choose_outputs(
        request.output,
        len(seeds),
        num_frames,
        call["height"] * scale,
        call["width"] * scale,
    )
    refuse_inputs_as_outputs(outputs.value, [item.file.path for item in inputs])
    return Job(
        task=checkpoint.family.task,
        model=checkpoint.name,
        source=checkpoint.location,
        revision=checkpoint.commit(folder),
        pipeline=checkpoint.pipeline,
        numerics=checkpoint.numerics,
        credit=checkpoint.credit,
        device=device,
        dtype=choose_dtype(request.dtype, device),
        steps=steps,
        seeds=seeds,
        outputs=outputs.value,
        fps=call["frame_rate"] if "frame_rate" in call else call["fps"],
        provenance=request.provenance,
        call=dict(call),
        inputs=inputs,
        windows=windows,
        recipe_changes=dict(recipe_changes),
        upscale=upscale,
        adjustments=(*adjustments, *trained_size, *outputs.adjustments),
    )


def _trained_size(
    checkpoint: Checkpoint[P], call: Mapping[str, Any], windows: Windows | None
) -> tuple[str, ...]:
    """A sentence about a size that a model trained for one size does not have."""
    preset = checkpoint.preset
    num_frames = call["num_frames"] if windows is None else windows.window
    trained = (preset.width, preset.height, preset.frames)
    if not preset.one_size or (call["width"], call["height"], num_frames) == trained:
        return ()
    return (
        f"The {preset.name} model is trained for {preset.width}x{preset.height} and "
        f"{preset.frames} frames only; other sizes look worse.",
    )
