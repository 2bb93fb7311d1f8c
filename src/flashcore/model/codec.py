"""Frozen dataclasses to JSON values and back, driven by their type hints alone.

Knows str, int, float, bool and None; enums by value; tuples, frozensets (sorted), mappings with
string keys, nested dataclasses, unions with None, and unions of plain types. A class with a field named `extra`
keeps keys that it does not know there, and writes them back: what a newer peer or a plugin added survives.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_PLAIN = (str, int, float, bool, type(None))


class CodecError(ValueError):
    """A JSON value that does not fit; `path` says where, as in `policy.replicas.minimum`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'value'}: {problem}")
        self.path = path
        self.problem = problem


def to_json(value: Any) -> Any:
    """The JSON form of a value; fields that hold their default are written too, so that the form is canonical."""
    cls: type = type(value)
    if cls in _PLAIN:
        return value
    names = _field_names(cls)
    if names is not None:
        shown = {name: to_json(getattr(value, name)) for name in names}
        extra = getattr(value, "extra", None)
        return {**to_json(extra), **shown} if extra else shown
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(to_json(item) for item in value)
    raise CodecError("", f"a {type(value).__name__} has no JSON form")


def one_level(value: Any) -> Any:
    """What to_json makes of a value, its parts left as they are: for `json`'s `default`, which takes the parts itself.

    Far quicker than to_json for what goes to bytes at once. Raises CodecError.
    """
    cls: type = type(value)
    names = _field_names(cls)
    if names is not None:
        shown = {name: getattr(value, name) for name in names}
        extra = getattr(value, "extra", None)
        return {**extra, **shown} if extra else shown
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return to_json(value)


@lru_cache(maxsize=512)
def _field_names(cls: object) -> tuple[str, ...] | None:
    """The fields of a dataclass that are written one by one; None for any other class."""
    if not isinstance(cls, type) or not is_dataclass(cls):
        return None
    return tuple(f.name for f in fields(cls) if f.name != "extra")


def from_json(cls: type[T], value: Any, path: str = "") -> T:
    """Build a `cls` from its JSON form. Raises CodecError with the path of the first thing that does not fit."""
    built: T = _read(cls, value, path)
    return built


def known_part(cls: type, value: Any) -> Any:
    """A JSON form without the fields that `cls`, or a dataclass that is a field of it, does not know."""
    if not isinstance(value, Mapping):
        return value
    hints, _ = _shape(cls)
    return {
        key: known_part(hints[key], item) if is_dataclass(hints[key]) else item
        for key, item in value.items()
        if key in hints
    }


def _read(hint: Any, value: Any, path: str) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(hint, value, path)
    if origin in (tuple, list):
        return _read_tuple(hint, value, path)
    if origin is frozenset:
        return frozenset(_read_items(get_args(hint)[0], value, path))
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping(hint, value, path)
    hint = getattr(hint, "__supertype__", hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _read_dataclass(hint, value, path)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _read_enum(hint, value, path)
    return _read_plain(hint, value, path)


def _read_union(hint: Any, value: Any, path: str) -> Any:
    choices = get_args(hint)
    if value is None and type(None) in choices:
        return None
    problem: CodecError | None = None
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _read(choice, value, path)
        except CodecError as error:
            problem = problem or error
    raise problem or CodecError(path, f"{value!r} fits none of {hint}")


def _read_tuple(hint: Any, value: Any, path: str) -> tuple[Any, ...]:
    arguments = get_args(hint)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _read_items(arguments[0], value, path)
    _require_list(value, path)
    if len(arguments) != len(value):
        raise CodecError(path, f"{len(arguments)} items are needed, not {len(value)}")
    return tuple(_read(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value, strict=True)))


def _read_items(kind: Any, value: Any, path: str) -> tuple[Any, ...]:
    _require_list(value, path)
    return tuple(_read(kind, item, f"{path}[{i}]") for i, item in enumerate(value))


def _require_list(value: Any, path: str) -> None:
    if not isinstance(value, list | tuple):
        raise CodecError(path, f"a list is needed, not {type(value).__name__}")


def _read_mapping(hint: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise CodecError(path, f"an object is needed, not {type(value).__name__}")
    kind = get_args(hint)[1]
    return {str(key): _read(kind, item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}


def _read_enum(hint: type[Enum], value: Any, path: str) -> Enum:
    try:
        return hint(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in hint)
        raise CodecError(path, f"{value!r} is none of {known}") from None


def _read_plain(hint: Any, value: Any, path: str) -> Any:
    if hint is type(None):
        fits = value is None
    elif hint is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif hint is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, hint)
    if not fits:
        raise CodecError(path, f"{getattr(hint, '__name__', hint)} is needed, not {value!r}")
    return _as_float(value, path) if hint is float else value


def _as_float(value: float, path: str) -> float:
    """JSON knows integers that no float can hold."""
    try:
        return float(value)
    except OverflowError:
        raise CodecError(path, "the number is too large") from None


def _read_dataclass(cls: type, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise CodecError(path, f"an object is needed, not {type(value).__name__}")
    hints, required = _shape(cls)
    unknown = {key: item for key, item in value.items() if key not in hints or key == "extra"}
    if unknown and "extra" not in hints:
        raise CodecError(f"{path}.{min(unknown)}".lstrip("."), f"unknown field of {cls.__name__}")
    missing = required - value.keys()
    if missing:
        raise CodecError(f"{path}.{min(missing)}".lstrip("."), "is missing")
    known = {
        key: _read(hints[key], item, f"{path}.{key}".lstrip(".")) for key, item in value.items() if key not in unknown
    }
    return cls(**known, **({"extra": unknown} if "extra" in hints else {}))


@lru_cache(maxsize=256)
def _shape(cls: type) -> tuple[dict[str, Any], frozenset[str]]:
    hints = get_type_hints(cls)
    named = {f.name: hints[f.name] for f in fields(cls)}
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    return named, frozenset(required)
