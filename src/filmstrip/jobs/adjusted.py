"""A value that planning chose, with the differences from the request."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Adjusted(Generic[T]):
    """A chosen value, and a sentence for each way in which it differs from the request."""

    value: T
    adjustments: tuple[str, ...] = ()
