"""Frozen dataclasses that are written to JSON and read from it, with every value checked.

Their fields are strings, numbers, booleans, None, dictionaries from string to JSON values, tuples,
and other dataclasses with this base.
"""

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from filmstrip.errors import InputError


class JsonDataclass:
    """Base of frozen dataclasses that can be written to JSON and read from it."""

    # Declared so that type checkers take subclasses for dataclasses.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The fields as strings, numbers, lists and dictionaries."""
        values: dict[str, Any] = _tuples_to_lists(asdict(self))
        return values

    def to_json(self, indent: int | None = None) -> str:
        """The fields as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Make the dataclass from what `to_dict` returned.

        Raises:
            InputError: a field is missing, unknown, or of another type.
        """
        value: Self = _read_dataclass(cls, data, cls.__name__)
        return value

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make the dataclass from what `to_json` returned.

        Raises:
            InputError: the text is no JSON, or `from_dict` refuses its values.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"This is no {cls.__name__} in JSON: {error}.") from None
        return cls.from_dict(data)


def _tuples_to_lists(value: Any) -> Any:
    """The same value, with tuples as lists."""
    if isinstance(value, Mapping):
        return {name: _tuples_to_lists(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tuples_to_lists(item) for item in value]
    return value


@cache
def _field_types(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _read_dataclass(cls: type, data: Any, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise InputError(f"{path} is {data!r}; give an object with the fields of {cls.__name__}.")
    known = {field.name: field for field in fields(cls)}
    unknown = [str(name) for name in data if name not in known]
    if unknown:
        raise InputError(
            f"{path} has no field {', '.join(unknown)}; its fields are {', '.join(known)}."
        )
    types_by_name = _field_types(cls)
    values = {}
    for name, field in known.items():
        if name in data:
            values[name] = _read_value(types_by_name[name], data[name], f"{path}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{path} lacks the field {name}.")
    return cls(**values)


def _read_value(expected: Any, value: Any, path: str) -> Any:
    """Check the value of a field of type `expected`; `path` is what errors call it."""
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        return _read_optional(expected, value, path)
    if origin is tuple:
        return _read_tuple(expected, value, path)
    if is_dataclass(expected):
        return _read_dataclass(expected, value, path)  # type: ignore[arg-type]
    if expected is Any:
        return value
    if origin is not None:
        expected = origin
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
        return dict(value) if isinstance(value, Mapping) else value
    raise InputError(f"{path} is {value!r}; it must be of type {expected.__name__}.")


def _read_optional(expected: Any, value: Any, path: str) -> Any:
    """Check the value of a field of type `X | None`."""
    if value is None:
        return None
    (alternative,) = (option for option in get_args(expected) if option is not types.NoneType)
    return _read_value(alternative, value, path)


def _read_tuple(expected: Any, value: Any, path: str) -> tuple[Any, ...]:
    """Check the value of a field of type `tuple[X, ...]` or `tuple[X, Y]`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InputError(f"{path} is {value!r}; it must be a list.")
    item_types = get_args(expected)
    if item_types[-1] is Ellipsis:
        item_types = (item_types[0],) * len(value)
    if len(item_types) != len(value):
        raise InputError(f"{path} has {len(value)} entries; it must have {len(item_types)}.")
    return tuple(
        _read_value(item_type, item, f"{path}[{index}]")
        for index, (item_type, item) in enumerate(zip(item_types, value, strict=True))
    )
