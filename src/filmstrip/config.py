"""Configs: what a model or scheduler was made with, remembered, and read and written as JSON."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, Union, Unpack

from filmstrip.errors import CheckpointError, InputError
from filmstrip.files import AnyPath, make_folder, read_json, write_json
from filmstrip.logging import get_logger
from filmstrip.weights.hub import CheckpointLocation, HubOptions, split_options

logger = get_logger(__name__)

NOT_WRITTEN = ("_name_or_path", "_use_default_values")


class Config(dict[str, Any]):
    """A read-only dictionary whose entries are attributes too: `config["x"]` is `config.x`."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(
            f"This config has no entry {name!r}; it has {', '.join(sorted(self))}."
        )

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise InputError(
            "A config is read-only. Use `register_to_config(name=value)` of the object it belongs "
            "to, or make another "
            "one with `from_config(config, name=value)`."
        )

    __setattr__ = __setitem__ = __delattr__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Any]]]:
        return Config, (dict(self),)  # copying and pickling would otherwise set items one by one


class Configurable:
    """Base of every class that has a config.

    Defining a subclass wraps its `__init__`, so that the arguments, as passed and defaults
    included, are in `self.config` from the first line of `__init__` on.
    """

    config_name: ClassVar[str] = "config.json"
    _config: Config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            setattr(cls, "__init__", _recording(cls.__dict__["__init__"]))  # noqa: B010 (mypy refuses the plain form)

    def __repr__(self) -> str:
        entries = (
            f"{name}={value!r}" for name, value in self.config.items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({', '.join(entries)})"

    @property
    def config(self) -> Config:
        """The arguments that this object was made with."""
        return self._config

    def register_to_config(self, **changes: Any) -> None:
        """Add or replace entries of `self.config`."""
        self._config = Config({**self.__dict__.get("_config", {}), **changes})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **changes: Any) -> Self:
        """Make an object from a config, its own or one of another class, with some entries changed.

        Entries that `__init__` does not take are ignored with a warning (silently where they begin
        with "_"), but stay in the new object's config. Entries that their owner had by default are
        left to this class's defaults. An InputError says that `config` is not a mapping, or that an
        entry has the wrong type.
        """
        if not isinstance(config, Mapping):
            raise InputError(
                f"{cls.__name__}.from_config takes a config (a dictionary), not {config!r}. "
                f"Use {cls.__name__}.from_pretrained for a path or a Hub id."
            )
        defaulted = config.get("_use_default_values", ())
        kept = {
            k: v for k, v in config.items() if k not in defaulted and k != "_use_default_values"
        }
        values = kept | changes
        wanted = {
            name: values[name] for name in inspect.signature(cls).parameters if name in values
        }
        others = {k: v for k, v in values.items() if k not in wanted}
        if unknown := sorted(k for k in others if not k.startswith("_")):
            owner = config.get("_class_name", cls.__name__)
            whose = "" if owner == cls.__name__ else f" (the config is of the class {owner})"
            logger.warning(
                "%s ignores entries it does not have: %s%s.",
                cls.__name__,
                ", ".join(unknown),
                whose,
            )
        _check_types(cls, wanted)
        made = cls(**wanted)
        made.register_to_config(
            **{k: v for k, v in others.items() if k in kept and k != "_class_name"}
        )
        return made

    @classmethod
    def load_config(
        cls,
        pretrained_model_name_or_path: AnyPath,
        *,
        subfolder: str | None = None,
        **hub: Unpack[HubOptions],
    ) -> dict[str, Any]:
        """Read the config JSON of a folder or repository; a CheckpointError says what is wrong with
        it.
        """
        source = CheckpointLocation(pretrained_model_name_or_path, subfolder, **hub)
        return read_json(source.fetch(lambda names: [cls.config_name]) / cls.config_name)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: AnyPath, *, subfolder: str | None = None, **options: Any
    ) -> Self:
        """Make an object from the config JSON of a folder or of a repository on the Hub.

        Options are `HubOptions`; all others change config entries. Errors are those of
        `load_config`, and one of the same class where this class cannot be made from what the file
        holds.
        """
        hub, changes = split_options(options)
        source = CheckpointLocation(pretrained_model_name_or_path, subfolder, **hub)
        return cls.from_folder(source.fetch(lambda names: [cls.config_name]), **changes)

    @classmethod
    def from_folder(cls, folder: Path, **changes: Any) -> Self:
        """Make an object from the config JSON in a local folder: `from_pretrained` without the
        Hub.
        """
        file = folder / cls.config_name
        config = read_json(file)
        try:
            return cls.from_config(config, **changes)
        except Exception as error:  # what a damaged config does to a constructor cannot be foreseen
            raise CheckpointError(f"{cls.__name__} cannot be made from {file}: {error}") from error

    def save_config(self, save_directory: AnyPath) -> None:
        """Write the config as JSON, in diffusers' form, into a folder, which is made if need be."""
        entries = {k: v for k, v in self.config.items() if k not in NOT_WRITTEN}
        entries["_class_name"] = type(self).__name__
        write_json(make_folder(save_directory) / self.config_name, entries)

    def save_pretrained(self, save_directory: AnyPath) -> None:
        """Write the config into a folder, from which `from_pretrained` makes the same object."""
        self.save_config(save_directory)


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap an `__init__` so that it first records its arguments in `self.config`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Configurable, *args: Any, **kwargs: Any) -> None:
        private = {k: v for k, v in kwargs.items() if k.startswith("_")}
        public = {k: v for k, v in kwargs.items() if k not in private}
        if type(self).__init__ is wrapped:  # not when a subclass's own __init__ calls this one
            bound = signature.bind(self, *args, **public)
            passed = set(bound.arguments)
            bound.apply_defaults()
            entries = {name: value for name, value in bound.arguments.items() if value is not self}
            defaulted = [name for name in entries if name not in passed]
            notes = {"_use_default_values": defaulted} if defaulted else {}
            self._config = Config(
                {**private, **entries, "_class_name": type(self).__name__, **notes}
            )
        init(self, *args, **public)

    return wrapped


def _check_types(cls: type[Configurable], values: Mapping[str, Any]) -> None:
    """Refuse values that are not of the type that the class's `__init__` declares."""
    hints, parameters = typing.get_type_hints(cls.__init__), inspect.signature(cls).parameters
    for name, value in values.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint) and not (value is None and parameters[name].default is None):
            wanted = hint.__name__ if isinstance(hint, type) else hint
            raise InputError(
                f"The config entry {name} of {cls.__name__} is {value!r}; it must be of type "
                f"{wanted}."
            )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON, or passed by hand, can stand where `hint` is declared."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    kind = origin or hint
    if not isinstance(kind, type) or kind is object:
        return True
    if issubclass(kind, Sequence) and kind is not str:
        elements = [part for part in parts if part is not Ellipsis] or [Any]
        return isinstance(value, (list, tuple)) and all(
            any(_fits(v, e) for e in elements) for v in value
        )
    return isinstance(value, kind)
