"""Values of user code as JSON: one way, total, the same for jobs and for HTTP.

    None, bool, str, int, float           as they are; NaN and infinities are refused
    dict                                  object; keys: str, int, float, bool, None as `json` writes them, and what is
                                          text below
    list, tuple, deque, range             array
    set, frozenset                        array, sorted where its items can be compared
    dataclass, attrs class                object of its fields
    pydantic model                        object of `model_dump(by_alias=True)`
    numpy array or scalar, torch tensor,
    and whatever else has `tolist()`      what `tolist()` gives
    Enum                                  its value
    datetime, date, time                  ISO 8601 text
    timedelta                             seconds
    bytes, bytearray, memoryview          {"$bytes": base64 text}
    Decimal, UUID, Path, IP address       text

Anything else is Unserializable, and the error says where in the value it stands.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any

from flashcore.model.errors import Unserializable

BYTES = "$bytes"
"""The only key of the object that stands for bytes."""

MAX_DEPTH = 200
"""Levels of nesting; what is deeper most likely contains itself."""

_AS_TEXT = ("decimal.Decimal", "uuid.UUID", "ipaddress._IPAddressBase")
_AS_ISO = ("datetime.date", "datetime.time")


def encode(value: Any, path: str = "result") -> bytes:
    """The value as JSON text in UTF-8. `path` is what errors call it. Raises Unserializable."""
    try:
        return _ENCODER.encode(value).encode()
    except Exception:  # noqa: BLE001 - a value's own conversion may raise anything; the careful way says where
        return _ENCODER.encode(to_plain(value, path)).encode()


def to_plain(value: Any, path: str = "result") -> Any:
    """The value as dicts, lists, text, numbers, bools and None. Raises Unserializable."""
    return _plain(value, path, 0)


def _plain(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | str):
        return _scalar(value, path)
    if depth > MAX_DEPTH:
        raise _without_form(path[:200], f"it is nested deeper than {MAX_DEPTH} levels, or contains itself")
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, _inside(path, key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{position}]", depth + 1) for position, item in enumerate(value)]
    return _plain(_converted(value, path), path, depth + 1)


def _scalar(value: float | str, path: str) -> Any:
    if isinstance(value, Enum):
        return _scalar(value.value, path)
    if isinstance(value, float) and not isfinite(value):
        raise _without_form(path, f"JSON has no {value}")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _without_form(path, "its text holds half of a surrogate pair") from None
    return value


def _converted(value: Any, path: str) -> Any:
    try:
        return _one_level(value)
    except TypeError as error:
        raise _without_form(path, str(error)) from None
    except Exception as error:  # whatever a model's own dump or tolist raises
        raise _without_form(path, f"its conversion raised {type(error).__name__}: {error}") from error


def _one_level(value: Any) -> Any:
    """What stands for a value that `json` does not know; its parts may need the same. Raises TypeError."""
    for fits, convert in _CONVERSIONS:
        if fits(value):
            return convert(value)
    raise TypeError(f"{_name(type(value))} is not among the types that have one")


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        return _key(key.value, path)
    if isinstance(key, str):
        return str(_scalar(key, path))
    if key is None or isinstance(key, int | float):
        return json.dumps(_plain(key, path, 0))
    if isinstance(key, os.PathLike):
        return str(key)
    if _is_named(key, _AS_TEXT):
        return str(key)
    if _is_named(key, _AS_ISO):
        return str(key.isoformat())
    raise _without_form(path, f"its key {key!r:.80} is a {_name(type(key))}")


def _without_form(path: str, problem: str) -> Unserializable:
    return Unserializable(
        f"{path} has no JSON form: {problem}",
        next_step="return None, bool, int, float, str, bytes, dates, arrays, dataclasses, lists and dicts of them",
        path=path,
    )


def _inside(path: str, key: Any) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r:.80}]"


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _is_named(value: Any, names: tuple[str, ...]) -> bool:
    # By name, so that no module is imported for the sake of a value that is not there.
    return any(_name(cls) in names for cls in type(value).__mro__)


def _is_data(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _has(method: str) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, type) and callable(getattr(value, method, None))


def _listed(value: Any) -> Any:
    items = value.tolist()
    if type(items) is type(value):  # numpy.longdouble gives itself back
        raise TypeError(f"{_name(type(value))} has no equal among Python's numbers")
    return items


def _sorted(items: Iterable[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def _base64(value: bytes | bytearray | memoryview) -> dict[str, str]:
    from base64 import b64encode

    return {BYTES: b64encode(value).decode()}


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (lambda value: isinstance(value, Enum), lambda value: value.value),
    (lambda value: isinstance(value, Mapping), dict),
    (lambda value: isinstance(value, bytes | bytearray | memoryview), _base64),
    (lambda value: isinstance(value, os.PathLike), os.fspath),
    (_is_data, lambda value: {f.name: getattr(value, f.name) for f in fields(value)}),
    (lambda value: isinstance(value, set | frozenset), _sorted),
    (lambda value: isinstance(value, deque | range), list),
    (lambda value: _is_named(value, _AS_ISO), lambda value: value.isoformat()),
    (lambda value: _is_named(value, ("datetime.timedelta",)), lambda value: value.total_seconds()),
    (lambda value: _is_named(value, _AS_TEXT), str),
    (_has("model_dump"), lambda value: value.model_dump(by_alias=True)),
    (_has("tolist"), _listed),
    (lambda value: hasattr(type(value), "__attrs_attrs__"), lambda value: {
        a.name: getattr(value, a.name) for a in type(value).__attrs_attrs__
    }),
)  # fmt: skip

_ENCODER = json.JSONEncoder(default=_one_level, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
