"""Return types of models and pipelines: dataclasses that also act as tuples and mappings."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch

from filmstrip.nn.gaussian import DiagonalGaussianDistribution

# By `output_type`: "pil" gives a list of PIL images for each video, "np" an array `(B, T, H, W, C)`
# and "pt" a tensor `(B, T, C, H, W)`, both with values in [0, 1], and "latent" a tensor of latents.
Frames: TypeAlias = list[list[PIL.Image.Image]] | np.ndarray[Any, Any] | torch.Tensor


@dataclass
class Output:
    """Base of the outputs, which behaves as diffusers' `BaseOutput`.

    `output.sample`, `output["sample"]` and `output[0]` are the same. Fields that are `None` are not
    counted, as in diffusers.
    """

    def to_tuple(self) -> tuple[Any, ...]:
        """The values of the fields that are not `None`, in order."""
        return tuple(self[name] for name in self.keys())

    def keys(self) -> list[str]:
        """The names of the fields that are not `None`, in order."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    values = to_tuple

    def items(self) -> list[tuple[str, Any]]:
        """Name and value of each field that is not `None`, in order."""
        return [(name, self[name]) for name in self.keys()]

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())


@dataclass
class Transformer2DModelOutput(Output):
    """Output of the LTX transformer.

    Attributes:
        sample: the predicted velocity, `(B, N, C)`.
    """

    sample: torch.Tensor


@dataclass
class UNetSpatioTemporalConditionOutput(Output):
    """Output of the SVD UNet.

    Attributes:
        sample: the prediction of the scheduler's `prediction_type`, `(B, T, C, H, W)`.
    """

    sample: torch.Tensor


@dataclass
class AutoencoderKLOutput(Output):
    """Output of an autoencoder's `encode`.

    Attributes:
        latent_dist: the posterior of the latents, `(B, C, ...)`.
    """

    latent_dist: DiagonalGaussianDistribution


@dataclass
class DecoderOutput(Output):
    """Output of an autoencoder's `decode`.

    Attributes:
        sample: pixels, [-1, 1] up to overshoot: `(B, C, T, H, W)` from LTX's decoder and
            `(B * T, C, H, W)` from SVD's.
    """

    sample: torch.Tensor


@dataclass
class LTXPipelineOutput(Output):
    """Output of the LTX pipelines.

    Attributes:
        frames: the videos, in the form of `output_type`; see `Frames`.
    """

    frames: Frames


@dataclass
class StableVideoDiffusionPipelineOutput(Output):
    """Output of the SVD pipeline.

    Attributes:
        frames: the videos, in the form of `output_type`; see `Frames`.
    """

    frames: Frames
