"""A value that was decided, and how it differs from the request."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Adjusted(Generic[T]):
    """The result of a decision: the value, and a sentence for each difference from the request."""

    value: T
    adjustments: tuple[str, ...] = ()
