"""Stages: the parts of SVD's encoder and decoder, which can run on tiles.

A module keeps its input in memory as long as it runs. If the blocks of the decoder ran as modules,
the largest feature maps would stay in memory without need. So the computation is a flat list of
small stages, also without tiles. The hooks of a block run before its first stage and after its
last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import nn

from filmstrip.nn.hooks import HookedCall, has_hooks
from filmstrip.nn.norms import GroupNorm
from filmstrip.nn.tiled_norms import WholeFrameMoments
from filmstrip.nn.tiling import EvenTileLayout, run_even_tiles


@dataclass(frozen=True)
class TileStage:
    """A part of the computation, with frames as its only input and output."""

    run: Callable[[torch.Tensor], torch.Tensor]
    modules: tuple[nn.Module, ...]  # that `run` uses, in order
    in_scale: int  # the input's elements for each latent, along height and width
    out_scale: int  # the output's elements for each latent
    blocks: tuple[nn.Module, ...] = ()  # the blocks around the stage, the outermost first

    @property
    def norms(self) -> list[GroupNorm]:
        """Its group norms, in order."""
        return [
            module
            for part in self.modules
            for module in part.modules()
            if isinstance(module, GroupNorm)
        ]

    def then(self, following: "TileStage") -> "TileStage":
        """This stage and the following one as one stage."""

        def run(frames: torch.Tensor) -> torch.Tensor:
            return following.run(self.run(frames))

        return TileStage(
            run,
            (*self.modules, *following.modules),
            self.in_scale,
            following.out_scale,
            (*self.blocks, *following.blocks),
        )


def stage_of(module: nn.Module, in_scale: int, out_scale: int) -> TileStage:
    """A module as a stage."""
    return TileStage(module, (module,), in_scale, out_scale)


def within(block: nn.Module, stages: Sequence[TileStage]) -> list[TileStage]:
    """Stages that are parts of a block."""
    return [replace(stage, blocks=(block, *stage.blocks)) for stage in stages]


StagesRunner = Callable[[Sequence[TileStage], torch.Tensor], torch.Tensor]


def run_plainly(stage: TileStage, frames: torch.Tensor) -> torch.Tensor:
    """Run a stage on whole frames."""
    return stage.run(frames)


def run_stages(
    stages: Sequence[TileStage],
    frames: torch.Tensor,
    run: Callable[[TileStage, torch.Tensor], torch.Tensor] = run_plainly,
) -> torch.Tensor:
    """Run stages one after the other, and the forward hooks of their blocks.

    Args:
        frames: `(N, C, H, W)`, the input of the first stage.
        run: runs a stage.

    Returns:
        The output of the last stage.
    """
    if any(has_hooks(block) for stage in stages for block in stage.blocks):
        return _run_with_hooks(stages, frames, run)
    for stage in stages:
        frames = run(stage, frames)
    return frames


def _run_with_hooks(
    stages: Sequence[TileStage],
    frames: torch.Tensor,
    run: Callable[[TileStage, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """`run_stages` with the hooks of each block before its first stage and after its last."""
    last_stage = {block: i for i, stage in enumerate(stages) for block in stage.blocks}
    running: dict[nn.Module, HookedCall] = {}
    try:
        for i, stage in enumerate(stages):
            for block in stage.blocks:
                if block not in running:
                    running[block] = HookedCall(block, (frames,))
                    frames = running[block].args[0]
            frames = run(stage, frames)
            for block in reversed(stage.blocks):
                if last_stage[block] == i:
                    frames = running.pop(block).finish(frames)
    except BaseException:
        for call in reversed(running.values()):
            call.abort()
        raise
    return frames


@dataclass(frozen=True)
class TiledRun:
    """Runs the stages at high resolution, which need most memory, in tiles."""

    rows: EvenTileLayout
    columns: EvenTileLayout
    compression_ratio: int  # pixels for each latent, along height and width

    def __call__(self, stages: Sequence[TileStage], frames: torch.Tensor) -> torch.Tensor:
        """Run stages one after the other."""
        return run_stages(_join_upsamplers(stages), frames, run=self._run)

    def _run(self, stage: TileStage, frames: torch.Tensor) -> torch.Tensor:
        scale = max(stage.in_scale, stage.out_scale)
        if scale <= max(1, self.compression_ratio // 4):
            return stage.run(frames)
        with WholeFrameMoments(stage.norms) as moments:
            for norm in stage.norms:
                moments.measure(norm, stage.run, self._tiles(stage, frames))
            return run_even_tiles(
                stage.run, frames, self.rows, self.columns, stage.in_scale, stage.out_scale
            )

    def _tiles(
        self, stage: TileStage, frames: torch.Tensor
    ) -> list[tuple[torch.Tensor, slice, slice]]:
        """Each tile of the input, and the rows and columns of a norm's input to count in it.

        All norms of a stage are at the resolution of its output.
        """
        rows, columns = (
            zip(layout.slices(stage.in_scale), layout.partition(stage.out_scale), strict=True)
            for layout in (self.rows, self.columns)
        )
        return [
            (frames[..., row, column], row_part, column_part)
            for (row, row_part), (column, column_part) in product(rows, columns)
        ]


def _join_upsamplers(stages: Sequence[TileStage]) -> list[TileStage]:
    """Join each upsampling stage with the next one, so that no whole upsampled feature map is in
    memory.
    """
    joined: list[TileStage] = []
    after_upsampler = False
    for stage in stages:
        if after_upsampler:
            joined[-1] = joined[-1].then(stage)
        else:
            joined.append(stage)
        after_upsampler = stage.out_scale > stage.in_scale
    return joined
