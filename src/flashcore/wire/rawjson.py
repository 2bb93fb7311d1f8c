"""JSON objects whose values are kept as the caller wrote them: checked, cut out, never written anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flashcore.model.errors import UsageError
from flashcore.model.light import light
from flashcore.wire.spill import SPILLED_FROM


class NotJson(UsageError):
    """A body that is not the JSON object that was to come."""

    code = "invalid_json"


@light
class RawValue:
    """A JSON value: its text as bytes, of a large one as a view of the whole body, and what it means."""

    raw: bytes | memoryview
    value: Any


_BLANKS = re.compile(r"[ \t\n\r]*")
_LAST_BLANK = " "


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def read_object(body: bytes | memoryview) -> dict[str, RawValue]:
    """The members of the object that `body` holds. Raises NotJson, saying where it breaks."""
    try:
        text = str(body, "utf-8")
        # Of plain text a character is a byte, and what a view shows need not be written once more.
        return _read_members(text, body if isinstance(body, memoryview) and text.isascii() else None)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, "a JSON object") from error


def check_value(body: bytes | memoryview) -> None:
    """See that `body` holds a JSON value. Raises NotJson, saying where it breaks."""
    try:
        text = str(body, "utf-8")
        if text[:1] > _LAST_BLANK and _DECODER.raw_decode(text)[1] == len(text):
            return  # most often, and to look for blanks takes as long as to read a small value
        _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, "JSON") from error


def _not_json(error: ValueError | RecursionError, wanted: str) -> NotJson:
    if isinstance(error, UnicodeDecodeError):
        return NotJson(f"the body is not UTF-8: {error.reason} at byte {error.start}")
    if isinstance(error, RecursionError):
        return NotJson("the body is nested too deeply")
    return NotJson(f"the body is not {wanted}: {error}")


def _read_members(text: str, view: memoryview | None) -> dict[str, RawValue]:
    at = _expect(text, _skip(text, 0), "{")
    members: dict[str, RawValue] = {}
    if text[at : at + 1] == "}":
        _end(text, at + 1)
        return members
    while True:
        if text[at : at + 1] != '"':
            raise ValueError(f"a name in quotes is missing at character {at}")
        name, at = _DECODER.raw_decode(text, at)
        start = _expect(text, _skip(text, at), ":")
        value, at = _DECODER.raw_decode(text, start)
        is_large = view is not None and at - start > SPILLED_FROM
        members[name] = RawValue(view[start:at] if view is not None and is_large else text[start:at].encode(), value)
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            break
        at = _skip(text, at + 1)
    _end(text, _expect(text, at, "}"))
    return members


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] > _LAST_BLANK:
        return at  # most often, and a pattern costs ten times as much
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, character: str) -> int:
    """The place behind `character` and the blanks that follow it."""
    if text[at : at + 1] != character:
        raise ValueError(f"{character!r} is missing at character {at}")
    return _skip(text, at + 1)


def _end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise ValueError(f"something follows its end at character {at}")


def write_object(members: dict[str, Any], raw: Mapping[str, bytes | memoryview]) -> bytes:
    """An object of values, which are encoded, followed by `raw` ones, which are put in as they are."""
    shown = _encode(members).encode()
    if not raw:
        return shown
    joined = b",".join([b"".join((_encode(name).encode(), b":", value)) for name, value in raw.items()])
    return b"%b%b%b}" % (shown[:-1], b"," if members else b"", joined)
