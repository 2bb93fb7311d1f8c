"""Arguments as JSON: what the other side gets equals what was given, or the call is not made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from flashcore.model.errors import Unserializable


def encode(value: Any, pieces: Mapping[str, Any]) -> bytes:
    """The JSON of a value. `pieces` are its parts as the caller knows them, by name; tuples arrive as lists.

    Raises Unserializable with the path, within a piece, of the first thing that JSON cannot carry.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if json.loads(text) != value:  # tuples became lists, which is fine, or keys became text, which is not
            _refuse_misfits(pieces)
        return text.encode()
    except (TypeError, ValueError, RecursionError):
        _refuse_misfits(pieces)
        raise


def _refuse_misfits(pieces: Mapping[str, Any]) -> None:
    for name, piece in pieces.items():
        try:
            misfit = next(_misfits(piece, name), None)
        except RecursionError:
            misfit = name, "it contains itself, or is nested too deeply"
        if misfit is not None:
            raise Unserializable(
                f"{misfit[0]} cannot be sent: {misfit[1]}",
                next_step="send None, bool, int, float, str, and lists and dicts of them",
                path=misfit[0],
            ) from None


def _misfits(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _misfits(item, f"{path}[{position}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield path, f"its key {key!r} is not text"
            yield from _misfits(item, f"{path}[{key!r}]")
    elif (problem := _problem_with(value)) is not None:
        yield path, problem


def _problem_with(value: Any) -> str | None:
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, str):
        return None if value.isascii() or not _has_surrogate(value) else "it holds half of a surrogate pair"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"JSON has no {value}"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"it is of type {name}"


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
