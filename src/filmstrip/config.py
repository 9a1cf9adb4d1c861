"""Configs: the arguments of a model or scheduler, recorded, and read and written as JSON."""

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

# Entries that are valid on this machine or in this process only.
UNSAVED_ENTRIES = ("_name_or_path", "_use_default_values")


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
            "to, or make another one with `from_config(config, name=value)`."
        )

    __setattr__ = __setitem__ = __delattr__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Any]]]:
        return Config, (dict(self),)  # copying and pickling would otherwise set items one by one


class Configurable:
    """Base of every class that has a config.

    The `__init__` of a subclass is wrapped: it first records its arguments, including defaults, in
    `self.config`.
    """

    config_name: ClassVar[str] = "config.json"
    _config: Config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            setattr(cls, "__init__", _record_arguments(cls.__dict__["__init__"]))  # noqa: B010 (mypy refuses the plain form)

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
        """Make an object from a config, of this or another class, with some entries changed.

        Entries that `__init__` does not take are ignored with a warning (silently where they begin
        with "_"), but stay in the new object's config. Entries that were defaults are
        replaced by this class's defaults.

        Raises:
            InputError: `config` is not a mapping, or an entry has the wrong type.
        """
        if not isinstance(config, Mapping):
            raise InputError(
                f"{cls.__name__}.from_config takes a config (a dictionary), not {config!r}. "
                f"Use {cls.__name__}.from_pretrained for a path or a Hub id."
            )
        defaulted = config.get("_use_default_values", ())
        inherited = {
            name: value
            for name, value in config.items()
            if name not in defaulted and name != "_use_default_values"
        }
        entries = {**inherited, **changes}
        parameters = inspect.signature(cls).parameters
        arguments = {name: entries[name] for name in parameters if name in entries}
        _warn_of_unknown_entries(cls, config, [name for name in entries if name not in arguments])
        _check_types(cls, arguments)
        instance = cls(**arguments)
        kept = {
            name: value
            for name, value in entries.items()
            if name in inherited and name not in arguments and name != "_class_name"
        }
        instance.register_to_config(**kept)
        return instance

    @classmethod
    def load_config(
        cls,
        pretrained_model_name_or_path: AnyPath,
        *,
        subfolder: str | None = None,
        **hub: Unpack[HubOptions],
    ) -> dict[str, Any]:
        """Read the config JSON of a folder or repository.

        Args:
            pretrained_model_name_or_path, subfolder: The folder or repository, and where in it the
                config is.
            hub: How to reach the Hub.

        Raises:
            CheckpointError: The config is missing, or no JSON object.
        """
        location = CheckpointLocation(pretrained_model_name_or_path, subfolder, **hub)
        return read_json(location.fetch(lambda names: [cls.config_name]) / cls.config_name)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: AnyPath, *, subfolder: str | None = None, **options: Any
    ) -> Self:
        """Make an object from the config JSON of a folder or of a repository on the Hub.

        Args:
            pretrained_model_name_or_path, subfolder: The folder or repository, and where in it the
                config is.
            options: `HubOptions`; all others change config entries.

        Raises:
            CheckpointError: The config is missing or damaged, or of another class.
        """
        hub, changes = split_options(options)
        location = CheckpointLocation(pretrained_model_name_or_path, subfolder, **hub)
        return cls.from_folder(location.fetch(lambda names: [cls.config_name]), **changes)

    @classmethod
    def from_folder(cls, folder: Path, **changes: Any) -> Self:
        """Make an object from the config JSON in a local folder.

        The arguments and the errors are those of `from_pretrained`.
        """
        file = folder / cls.config_name
        config = read_json(file)
        try:
            return cls.from_config(config, **changes)
        except Exception as error:  # a damaged config raises any exception in a constructor
            raise CheckpointError(f"{cls.__name__} cannot be made from {file}: {error}") from error

    def save_config(self, save_directory: AnyPath) -> None:
        """Write the config into a folder as JSON, as diffusers does."""
        entries = {
            name: value for name, value in self.config.items() if name not in UNSAVED_ENTRIES
        }
        entries["_class_name"] = type(self).__name__
        write_json(make_folder(save_directory) / self.config_name, entries)

    def save_pretrained(self, save_directory: AnyPath) -> None:
        """Write the config into a folder, from which `from_pretrained` makes the same object."""
        self.save_config(save_directory)


def _record_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap an `__init__` so that it first records its arguments in `self.config`."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self: Configurable, *args: Any, **kwargs: Any) -> None:
        private = {name: value for name, value in kwargs.items() if name.startswith("_")}
        public = {name: value for name, value in kwargs.items() if name not in private}
        if type(self).__init__ is wrapped:  # not when a subclass's own __init__ calls this one
            bound = signature.bind(self, *args, **public)
            passed = set(bound.arguments)
            bound.apply_defaults()
            entries = {name: value for name, value in bound.arguments.items() if value is not self}
            defaulted = [name for name in entries if name not in passed]
            config = {**private, **entries, "_class_name": type(self).__name__}
            if defaulted:
                config["_use_default_values"] = defaulted
            self._config = Config(config)
        init(self, *args, **public)

    return wrapped


def _warn_of_unknown_entries(
    cls: type[Configurable], config: Mapping[str, Any], unknown: Sequence[str]
) -> None:
    """Warn about entries that a class does not take, except private ones."""
    public = sorted(name for name in unknown if not name.startswith("_"))
    if not public:
        return
    config_class = config.get("_class_name", cls.__name__)
    remark = "" if config_class == cls.__name__ else f" (the config is of the class {config_class})"
    logger.warning(
        "%s ignores entries it does not have: %s%s.", cls.__name__, ", ".join(public), remark
    )


def _check_types(cls: type[Configurable], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that are not of the type that the class's `__init__` declares."""
    hints = typing.get_type_hints(cls.__init__)
    parameters = inspect.signature(cls).parameters
    for name, value in arguments.items():
        hint = hints.get(name, Any)
        is_default_none = value is None and parameters[name].default is None
        if not is_default_none and not _fits(value, hint):
            expected = hint.__name__ if isinstance(hint, type) else hint
            raise InputError(
                f"The config entry {name} of {cls.__name__} is {value!r}; it must be of type "
                f"{expected}."
            )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON, or passed by hand, is of a declared type.

    JSON has no tuples and may write a float without a fraction: a list fits any sequence, and an
    integer fits `float`.
    """
    origin = typing.get_origin(hint)
    parameters = typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in parameters)
    if origin is Literal:
        return value in parameters
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    expected = origin or hint
    if not isinstance(expected, type) or expected is object:
        return True
    if issubclass(expected, Sequence) and expected is not str:
        if not isinstance(value, (list, tuple)):
            return False
        element_types = [option for option in parameters if option is not Ellipsis] or [Any]
        return all(any(_fits(element, option) for option in element_types) for element in value)
    return isinstance(value, expected)
