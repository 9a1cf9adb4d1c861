"""A value that was decided, and what of it is not as asked."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Adjusted(Generic[T]):
    """The result of a decision: the value, and a sentence for each thing that is not as asked."""

    value: T
    adjustments: tuple[str, ...] = ()
