"""What models and pipelines return: dataclasses that can also be read as tuples and mappings."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch

from filmstrip.nn.gaussian import DiagonalGaussianDistribution

# Lists of PIL images, an array `(B, T, H, W, C)`, a tensor `(B, T, C, H, W)`, or latents.
Frames: TypeAlias = list[list[PIL.Image.Image]] | np.ndarray[Any, Any] | torch.Tensor


@dataclass
class Output:
    """Base of the outputs. `output.sample`, `output["sample"]` and `output[0]` are the same
    thing.
    """

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not `None`, in order."""
        return tuple(self[name] for name in self.keys())

    def keys(self) -> list[str]:
        """The names of the fields that are not `None`, in order."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    values = to_tuple

    def items(self) -> list[tuple[str, Any]]:
        """Pairs of name and value of the fields that are not `None`."""
        return [(name, self[name]) for name in self.keys()]

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())


@dataclass
class Transformer2DModelOutput(Output):
    """`sample`: the prediction, `(B, N, C)`."""

    sample: torch.Tensor


@dataclass
class UNetSpatioTemporalConditionOutput(Output):
    """`sample`: the prediction, `(B, T, C, H, W)`."""

    sample: torch.Tensor


@dataclass
class AutoencoderKLOutput(Output):
    """`latent_dist`: the posterior over latents."""

    latent_dist: DiagonalGaussianDistribution


@dataclass
class DecoderOutput(Output):
    """`sample`: decoded pixels in [-1, 1], `(B, C, T, H, W)`."""

    sample: torch.Tensor


@dataclass
class LTXPipelineOutput(Output):
    """`frames`: the videos, as `output_type` asks for them."""

    frames: Frames


@dataclass
class StableVideoDiffusionPipelineOutput(Output):
    """`frames`: the videos, as `output_type` asks for them."""

    frames: Frames
