"""Exceptions of user code on their way back to the caller: as themselves, with their attributes and notes.

An exception pickles itself as its class called with `args`, which fails for every class whose constructor takes
something else. So it is taken apart here, and put together without calling the constructor.
"""

from __future__ import annotations

import builtins
import contextlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashcore.model.errors import CannotUnpickle
from flashcore.wire import pickles

_DEPTH = 5
"""Groups within groups that are sent; what is deeper shows in the traceback alone."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception taken apart: standard values and bytes only, so that reading this never fails."""

    type_name: str
    message: str
    traceback: str
    whole: bytes | None
    """The pickle of its parts, None for one that cannot be pickled."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an exception consists of."""

    cls: type[BaseException]
    args: tuple[Any, ...]
    state: Mapping[str, Any]
    members: tuple[bytes, ...] | None = None
    """Pickles of a group's exceptions."""


class RemoteTraceback(Exception):
    """The traceback that an exception had where it was raised; shown as the cause of the one that arrives."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """The remote traceback."""
        return f"\n--- remote traceback ---\n{self.text.rstrip()}"


def take_apart(error: BaseException, type_name: str, message: str, traceback: str) -> bytes:
    """The pickle of what is known of it. Never raises."""
    return pickle.dumps(Raised(type_name, message, traceback, _whole(error, 0)), pickles.PROTOCOL)


def put_together(raised: Raised) -> Exception | None:
    """The exception itself, its cause being the remote traceback; None where its type is not known here.

    None, too, for what is no Exception: a replica's sys.exit must not end the caller, nor its cancellation cancel him.

    Give it nothing that was not signed.
    """
    if raised.whole is None:
        return None
    try:
        error = _made(raised.whole)
    except CannotUnpickle:
        return None
    if not isinstance(error, Exception):
        return None
    error.__cause__ = RemoteTraceback(raised.traceback)
    return error


def _whole(error: BaseException, depth: int) -> bytes | None:
    """The pickle of its parts; attributes that cannot be pickled are left out, and a note says so."""
    members: tuple[bytes, ...] | None = None
    # The built-in part's own view of itself: it knows of an OSError's file name, which is in neither args nor vars.
    reduced: Any = _builtin(type(error)).__reduce__(error)
    args: tuple[Any, ...] = reduced[1]
    whole_state: dict[str, Any] = reduced[2] if len(reduced) > 2 else {}
    if isinstance(error, BaseExceptionGroup):
        pickled = [_whole(member, depth + 1) for member in error.exceptions] if depth < _DEPTH else [None]
        if None in pickled:
            return None
        members, args = tuple(one for one in pickled if one is not None), (error.message,)
    for state in (whole_state, _without_misfits(whole_state)):
        with contextlib.suppress(Exception):  # what pickling raises is the question, not the answer
            data, _ = pickles.dump(_Parts(type(error), args, state, members))
            _made(data)
            return data
    return None


def _without_misfits(state: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in state.items() if pickles.can_be_pickled(value)}
    left = [f"(its attribute {name!r} could not be sent)" for name in state if name not in kept]
    return {**kept, "__notes__": [*kept.get("__notes__", ()), *left]}


def _made(data: bytes) -> BaseException:
    """Raises CannotUnpickle."""
    parts = pickles.load(data)
    try:
        return _from_parts(parts)
    except Exception as error:  # a class may refuse to be made in any way
        raise CannotUnpickle(f"an exception cannot be made here: {error!r}") from error


def _from_parts(parts: _Parts) -> BaseException:
    if parts.members is not None:
        group = parts.cls.__new__(parts.cls, parts.args[0], [_made(member) for member in parts.members])
        group.__dict__.update(parts.state)
        return group
    error = parts.cls.__new__(parts.cls, *parts.args)
    # The fields of built-in exceptions (errno, encoding, value, ...) are not in the dictionary.
    _builtin(parts.cls).__init__(error, *parts.args)
    error.__setstate__(dict(parts.state))
    return error


def _builtin(cls: type[BaseException]) -> type[BaseException]:
    return next(one for one in cls.__mro__ if one.__module__ == builtins.__name__)
