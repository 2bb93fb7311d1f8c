"""Canonical JSON (RFC 8785) and the digests made from it: the same value has the same digest in any language."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import rfc8785

from flashcore.model.codec import to_json
from flashcore.model.names import Digest

_LARGEST_INTEGER = 2**53 - 1
_MARK = "\x02"
"""Around the number of a float in the list of those that were set aside."""

_MARKED = re.compile(r'"\\u0002(\d+)\\u0002"')


def canonical_bytes(value: Any) -> bytes:
    """The canonical form of a value that model.codec can encode. Raises rfc8785.CanonicalizationError otherwise."""
    plain = to_json(value)
    floats: list[float] = []
    try:
        text = json.dumps(
            _without_floats(plain, floats), ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
        )
        return _MARKED.sub(lambda found: rfc8785.dumps(floats[int(found[1])]).decode(), text).encode()
    except (_Unusual, UnicodeEncodeError):
        return rfc8785.dumps(plain)


def digest(value: Any) -> Digest:
    """sha256 of the canonical form."""
    return Digest(hashlib.sha256(canonical_bytes(value)).hexdigest())


class _Unusual(Exception):
    """Something that Python's encoder, which is ten times as quick, does not write as the standard wants it."""


def _without_floats(value: Any, floats: list[float]) -> Any:
    """The value with marks in the place of floats, which Python and the standard write in different ways."""
    kind = type(value)
    if kind is str:
        if _MARK in value:
            raise _Unusual
        return value
    if kind is dict:
        return {_usual(key): _without_floats(item, floats) for key, item in value.items()}
    if kind is list:
        return [_without_floats(item, floats) for item in value]
    if value is None or kind is bool or (kind is int and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER):
        return value
    if kind is not float:
        raise _Unusual
    if value.is_integer() and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
        return int(value)  # the standard writes them alike
    floats.append(value)
    return f"{_MARK}{len(floats) - 1}{_MARK}"


def _usual(key: str) -> str:
    # Beyond ASCII the standard sorts by the units of UTF-16, and Python by characters.
    if not key.isascii() or _MARK in key:
        raise _Unusual
    return key
