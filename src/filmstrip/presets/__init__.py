"""`load`: the pipeline of a checkpoint that has a name here, or of a folder or repository."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack

from filmstrip import logging
from filmstrip.errors import CheckpointError, InputError
from filmstrip.presets import ltx as ltx, svd as svd
from filmstrip.presets.base import KnownModel, Published
from filmstrip.weights.hub import HubOptions, Source

if TYPE_CHECKING:
    import torch

logger = logging.get_logger(__name__)

# By name; of the two that are called "demo", LTX's.
PRESETS: Mapping[str, KnownModel] = MappingProxyType(
    {row.name: row for row in (*svd.PRESETS, *ltx.PRESETS)}
)


def load(
    name: str | os.PathLike[str],
    *,
    dtype: "torch.dtype | str | None" = None,
    device: "torch.device | str | None" = None,
    **hub: Unpack[HubOptions],
) -> Any:
    """Load a pipeline by its name.

    Args:
        name: a preset of LTX, such as "ltx-13b-0.9.8-distilled" or "demo", for an
            `LTXRecipePipeline`, which makes the authors' videos; one of SVD, such as "svd-xt"; or a
            folder or Hub id, for the pipeline that it names, which makes diffusers'.
        dtype: of the weights. By default bfloat16 for LTX's presets, and float32 for the rest.
        device: where to put the models; the CPU by default.
        hub: how to reach the Hub. `revision` is one of the preset's own repository.

    Raises:
        InputError: there is no such preset, folder or repository.
        CheckpointError: files are missing, damaged or refused. Of what is not cached when offline,
            it has the commands that download it.
    """
    from filmstrip.pipeline.base import DiffusionPipeline

    name = os.fspath(name)
    preset = PRESETS.get(name)
    if preset is None:
        _refuse_unknown(name)
        return DiffusionPipeline.from_pretrained(name, dtype=dtype, device=device, **hub)
    logger.log(logging.INFO if is_cached(preset, hub) else logging.WARNING, "%s", preset.credit)
    if isinstance(preset, ltx.Preset):
        from filmstrip.presets.load_ltx import load_preset

        return load_preset(preset, dtype, device, hub)
    return DiffusionPipeline.from_pretrained(preset.repo or "", dtype=dtype, device=device, **hub)


def locate(preset: KnownModel, hub: HubOptions) -> Path:
    """The folder in the Hub's cache that a preset's repository has, or will have. Downloads
    nothing.

    A CheckpointError says that the Hub is out of reach, or what is not cached when nothing may be
    downloaded.
    """
    source = Source(
        preset.repo or "", files=preset.files if isinstance(preset, ltx.Preset) else (), **hub
    )
    return fetch(preset, hub) if source.offline else source.fetch(lambda names: [])


def fetch(preset: Published, hub: HubOptions) -> Path:
    """The local folder of a preset's repository, after downloading what it needs, from other
    repositories too.

    A CheckpointError names what cannot be had, and the commands that download it.
    """
    if isinstance(preset, ltx.Preset):
        from filmstrip.presets.load_ltx import fetch_preset

        return fetch_preset(preset, hub)[0]
    if isinstance(preset, ltx.Part):
        return Source(preset.repo or "", files=(preset.file,), **hub).fetch(
            lambda names: [preset.file]
        )
    from filmstrip.weights.folder import fetch_pipeline

    return fetch_pipeline(Source(preset.repo or "", **hub))


def is_cached(preset: Published, hub: HubOptions) -> bool:
    """Whether a preset can be loaded without the network."""
    offline: HubOptions = {**hub, "local_files_only": True}
    try:
        fetch(preset, offline)
    except CheckpointError:
        return False
    return True


def near(name: str, names: Collection[str]) -> str:
    """Which of the known names may have been meant."""
    found = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return (
        f"did you mean {' or '.join(found)}?"
        if found
        else "`filmstrip models` lists the known ones."
    )


def _refuse_unknown(name: str) -> None:
    if part := next((part for part in ltx.PARTS if part.name == name), None):
        where = f"{part.repo}/{part.file}"
        raise InputError(
            f"{name} {part.about} and is no checkpoint of its own; its file is {where}."
        )
    if not Path(name).exists() and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise InputError(
            f"{name!r} is no preset, no folder and no Hub id (owner/name): {near(name, PRESETS)}"
        )
