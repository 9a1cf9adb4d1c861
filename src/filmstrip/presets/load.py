"""`load`: the pipeline of a preset, of a folder, or of a repository on the Hub."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from filmstrip import logging
from filmstrip.errors import InputError
from filmstrip.presets.download import is_cached
from filmstrip.presets.lookup import find_extra_file, find_preset, suggest_names
from filmstrip.presets.ltx import LTXPreset
from filmstrip.weights.hub import REPO_ID, HubOptions

if TYPE_CHECKING:
    import torch

logger = logging.get_logger(__name__)


def load(
    name: str | os.PathLike[str],
    *,
    dtype: "torch.dtype | str | None" = None,
    device: "torch.device | str | None" = None,
    **hub: Unpack[HubOptions],
) -> Any:
    """Load a pipeline by its name.

    Args:
        name: An LTX preset, such as "ltx-13b-0.9.8-distilled" or "demo", gives an
            `LTXRecipePipeline` with the authors' numbers. An SVD preset, such as "svd-xt", a folder
            or a Hub id gives the pipeline that its index names, with diffusers' numbers.
        dtype: The dtype of the weights. By default float32 for the demo, bfloat16 for the other
            presets of LTX, and what `from_pretrained` takes for the rest.
        device: Where to put the models; the CPU by default.
        hub: How to reach the Hub. `revision` is that of the preset's own repository.

    Returns:
        The pipeline.

    Raises:
        InputError: There is no such preset, folder or repository.
        CheckpointError: Files are missing, damaged or refused. In offline mode, the message has the
            commands that download the missing files.
    """
    from filmstrip.pipeline.base import DiffusionPipeline

    name = os.fspath(name)
    preset = find_preset(name)
    if preset is None:
        _refuse_unknown(name)
        return DiffusionPipeline.from_pretrained(name, dtype=dtype, device=device, **hub)
    # The licence is shown before the first download.
    level = logging.INFO if is_cached(preset, hub) else logging.WARNING
    logger.log(level, "%s", preset.credit)
    if isinstance(preset, LTXPreset):
        from filmstrip.presets.load_ltx import load_ltx

        return load_ltx(preset, dtype, device, hub)
    return DiffusionPipeline.from_pretrained(preset.repo or "", dtype=dtype, device=device, **hub)


def _refuse_unknown(name: str) -> None:
    """Raise an `InputError` for a name that is neither a folder nor a Hub id."""
    extra_file = find_extra_file(name)
    if extra_file is not None:
        raise InputError(
            f"{name} {extra_file.about} and is no checkpoint of its own; its file is "
            f"{extra_file.repo}/{extra_file.file}."
        )
    is_hub_id = re.fullmatch(REPO_ID, name)
    if not is_hub_id and not Path(name).exists():
        raise InputError(
            f"{name!r} is no preset, no folder and no Hub id (owner/name): {suggest_names(name)}"
        )
