"""What the denoising loop asks SVD's UNet."""

from typing import TYPE_CHECKING, Any

import torch

from filmstrip.pipeline.denoise import Step
from filmstrip.pipeline.guiders import Branch

if TYPE_CHECKING:  # the models are imported when they are loaded
    from filmstrip.svd.models.unet import SVDPrepared


class UNetPredictor:
    """Asks the UNet about all conditions of a step in one batch.

    The negative condition is no picture: zeros for CLIP's embedding and for the latents.

    Args:
        unet: the module, or the same compiled.
        scheduler: scales the latents for it.
        embeds: of the pictures, by CLIP, `(B, 1, C)`.
        picture: latents of the pictures, `(B, C, h, w)`.
        added_time_ids: fps - 1, motion bucket and strength of the noise, `(B, 3)`.
    """

    def __init__(
        self,
        unet: Any,
        scheduler: Any,
        embeds: torch.Tensor,
        picture: torch.Tensor,
        added_time_ids: torch.Tensor,
    ) -> None:
        self.unet, self.scheduler = unet, scheduler
        self.embeds, self.picture, self.added_time_ids = embeds, picture[:, None], added_time_ids
        self._prepared: SVDPrepared | None = None
        self._shown = (
            self.picture
        )  # a row for each of the conditions that are prepared, in every frame
        self._prepared_for: tuple[Branch, ...] = ()

    def __call__(
        self, latents: torch.Tensor, step: Step, conditions: tuple[Branch, ...]
    ) -> torch.Tensor:
        """The prediction `(len(conditions) * B, T, C, h, w)` for latents `(B, T, C, h, w)`."""
        frames = latents.shape[1]
        if self._prepared is None or conditions != self._prepared_for:
            embeds, ids = (
                self._rows(self.embeds, conditions),
                self.added_time_ids.repeat(len(conditions), 1),
            )
            self._prepared, self._prepared_for = self.unet.prepare(embeds, ids, frames), conditions
            self._shown = self._rows(self.picture, conditions).expand(-1, frames, -1, -1, -1)
        scaled = self.scheduler.scale_model_input(latents, step.timestep).to(self.picture.dtype)
        joined = torch.cat([scaled.repeat(len(conditions), 1, 1, 1, 1), self._shown], dim=2)
        prediction: torch.Tensor = self.unet(
            joined, step.timestep, return_dict=False, prepared=self._prepared
        )[0]
        return prediction

    @staticmethod
    def _rows(shown: torch.Tensor, conditions: tuple[Branch, ...]) -> torch.Tensor:
        """A row of what a condition shows for each video: zeros for the negative one."""
        return torch.cat(
            [shown if one == "positive" else torch.zeros_like(shown) for one in conditions]
        )
