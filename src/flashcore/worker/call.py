"""From a job's input to an invocation, and from what user code gives to the bytes of an output."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from flashcore.model.errors import UsageError
from flashcore.wire.envelope import Arguments, unwrap_call, wrap_item, wrap_value
from flashcore.wire.sealed import SealedCall
from flashcore.worker.functions import CallKind, FunctionTable, Invocation, kind_of
from flashcore.worker.plain import encode

FUNCTIONS_ATTRIBUTE = "__flashcore_functions__"
"""What a handler of ours holds under this name is its FunctionTable."""


class Callables(Protocol):
    """What a queue worker serves."""

    @property
    def kinds(self) -> frozenset[CallKind]:
        """Kinds of all that can be called."""
        ...

    def invocation_for(self, job: str, value: Any) -> Invocation:
        """What the input of job `job` means: a JSON value, or a SealedCall.

        Raises a FlashcoreError for one that means nothing.
        """
        ...

    @property
    def takes(self) -> Mapping[str, str]:
        """What can be called, and with what, by name; nothing where nobody can tell."""
        ...


class TableCallables:
    """The functions of a generated handler."""

    def __init__(self, table: FunctionTable) -> None:
        self._table = table

    @property
    def kinds(self) -> frozenset[CallKind]:
        """Kinds of all functions and methods."""
        return self._table.kinds

    def invocation_for(self, job: str, value: Any) -> Invocation:  # noqa: ARG002 - functions do not see their job's id
        """The function that the input names, with its arguments."""
        return self._table.invocation(value if isinstance(value, SealedCall) else unwrap_call(value))

    @property
    def takes(self) -> Mapping[str, str]:
        """What all functions and methods take."""
        return self._table.takes


class HandlerCallables:
    """Somebody else's handler in RunPod's manner: it gets the job as a dict, and a dict with `error` is a failure."""

    def __init__(self, handler: Callable[[Mapping[str, Any]], Any]) -> None:
        self._handler = handler
        self._kind = kind_of(handler)

    @property
    def kinds(self) -> frozenset[CallKind]:
        """The handler's own kind."""
        return frozenset({self._kind})

    def invocation_for(self, job: str, value: Any) -> Invocation:
        """The handler, with the job."""
        if isinstance(value, SealedCall):
            raise UsageError(
                "this handler takes JSON, and a pickled call came",
                next_step="call it over HTTP, or with FLASHCORE_CALL_KEY set to nothing at the caller",
            )
        arguments = Arguments(({"id": job, "input": value},))
        return Invocation("handler", self._kind, self._handler, arguments, enveloped=False, failure_in=_error_in)

    @property
    def takes(self) -> Mapping[str, str]:
        """Whatever comes: a job in JSON always fits."""
        return {}


def callables_of(handler: Callable[[Mapping[str, Any]], Any]) -> Callables:
    """What a handler serves: the functions that it was generated for, or the handler itself."""
    table = getattr(handler, FUNCTIONS_ATTRIBUTE, None)
    return HandlerCallables(handler) if table is None else TableCallables(table)


def output_of(value: bytes, *, enveloped: bool) -> bytes:
    """The output of a call whose value is this JSON text."""
    return b"".join((_BEFORE, value, _AFTER)) if enveloped else value


def item_of(value: bytes, number: int, *, enveloped: bool) -> bytes:
    """The output that is one item of a stream, of which this is the JSON text."""
    return b"".join((_BEFORE_ITEM % number, value, _AFTER)) if enveloped else value


def list_of(items: Sequence[bytes]) -> bytes:
    """The JSON array of these JSON texts."""
    return b"[" + b",".join(items) + b"]"


def encode_item(value: Any, position: int) -> bytes:
    """One item of a generator as JSON text. Raises Unserializable."""
    return encode(value, f"item[{position}]")


def _error_in(value: Any) -> str | None:
    error = value.get("error") if isinstance(value, dict) else None
    return str(error) if error else None


_BEFORE_ITEM = json.dumps(wrap_item("@", 0), separators=(",", ":")).encode().split(b'"@"')[0].replace(b":0,", b":%d,")
_BEFORE, _AFTER = json.dumps(wrap_value("@"), separators=(",", ":")).encode().split(b'"@"')
