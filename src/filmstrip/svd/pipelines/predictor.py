"""Predictions of SVD's UNet for the denoising loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Branch, Guider

if TYPE_CHECKING:  # the models are imported when they are loaded
    from filmstrip.svd.models.unet import SVDPrepared


@dataclass(eq=False)
class UNetPredictor:
    """Runs the UNet for all branches of a step in one batch.

    The negative branch has no picture: CLIP's embedding and the picture's latents are zeros.

    Args:
        unet: a `UNetSpatioTemporalConditionModel`, plain or compiled.
        scheduler: scales the latents for the UNet.
        image_embeds: of the pictures, from CLIP, `(B, 1, C)`.
        image_latents: of the pictures, `(B, C, h, w)`.
        added_time_ids: fps - 1, motion bucket and noise augmentation, `(B, 3)`.
    """

    unet: Any
    scheduler: Any
    image_embeds: torch.Tensor
    image_latents: torch.Tensor
    added_time_ids: torch.Tensor
    _prepared: "SVDPrepared | None" = field(default=None, init=False)
    _prepared_branches: tuple[Branch, ...] = field(default=(), init=False)
    _frame_latents: torch.Tensor = field(init=False)  # of all branches, in every frame

    def __call__(self, latents: torch.Tensor, step: Step, guider: Guider) -> torch.Tensor:
        """The prediction `(len(guider.branches) * B, T, C, h, w)` of latents `(B, T, C, h, w)`."""
        branches = guider.branches
        self._prepare(branches, latents.shape[1])
        scaled = self.scheduler.scale_model_input(latents, step.timestep)
        scaled = scaled.to(self.image_latents.dtype).repeat(len(branches), 1, 1, 1, 1)
        prediction: torch.Tensor = self.unet(
            torch.cat([scaled, self._frame_latents], dim=2),
            step.timestep,
            return_dict=False,
            prepared=self._prepared,
        )[0]
        return prediction

    def _prepare(self, branches: tuple[Branch, ...], num_frames: int) -> None:
        """Compute the step-invariant inputs, again only if the branches changed."""
        if self._prepared is not None and self._prepared_branches == branches:
            return
        embeds = _branch_rows(self.image_embeds, branches)
        time_ids = self.added_time_ids.repeat(len(branches), 1)
        self._prepared = self.unet.prepare(embeds, time_ids, num_frames)
        self._prepared_branches = branches
        image_latents = _branch_rows(self.image_latents[:, None], branches)
        self._frame_latents = image_latents.expand(-1, num_frames, -1, -1, -1)


def _branch_rows(rows: torch.Tensor, branches: Sequence[Branch]) -> torch.Tensor:
    """The rows of the pictures for each branch: zeros for the negative one."""
    return torch.cat(
        [rows if branch == "positive" else torch.zeros_like(rows) for branch in branches]
    )
