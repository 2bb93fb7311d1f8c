"""Payloads as a person wants to see them: which function was called, and what it returned.

Pickled ones are looked into as far as that runs no code: numbers, text and what holds them is shown, the rest is named.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from typing import Any

from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import FlashcoreError
from flashcore.model.job import Payload
from flashcore.wire import seal
from flashcore.wire.envelope import RemoteFailure, unwrap_call, unwrap_value

_JSON = "application/json"
_LOOKED_INTO = 10_000
"""Bytes of a pickle beyond which it is only named: it would not be shown whole anyway."""


class Reader:
    """Reads what the session's own callers and replicas have sealed with `key`."""

    def __init__(self, key: seal.SigningKey) -> None:
        self._key = key

    def function(self, endpoint: str, given: Payload) -> str:
        """Which function was called; empty where the endpoint has but one, or the input means nothing."""
        with contextlib.suppress(ValueError, FlashcoreError):
            if given.media == seal.MEDIA:
                return self._unseal(endpoint, given, seal.Direction.CALL).bond.function
            call = unwrap_call(json.loads(bytes(given.data)))
            return ".".join(name for name in (call.function, call.method) if name)
        return ""

    def result(self, endpoint: str, output: Payload) -> str:
        """The value as text."""
        with contextlib.suppress(ValueError, FlashcoreError, pickle.UnpicklingError):
            if output.media == seal.MEDIA:
                return repr(_plain(self._unseal(endpoint, output, seal.Direction.REPLY)))
            if output.media == _JSON:
                return json.dumps(_value(json.loads(bytes(output.data))), ensure_ascii=False)
        return f"({output.media}, {len(output.data)} bytes)"

    def _unseal(self, endpoint: str, payload: Payload, direction: seal.Direction) -> seal.Package:
        return seal.unseal(self._key, payload.data, endpoint=endpoint, direction=direction)


def failure_in(error: str) -> RemoteFailure:
    """What a worker says is JSON; what the platform says of a job that could not run is text."""
    try:
        return from_json(RemoteFailure, json.loads(error))
    except (ValueError, CodecError):
        return RemoteFailure("", error, "")


def _value(output: Any) -> Any:
    with contextlib.suppress(FlashcoreError):  # the caller did not use the envelope: what was returned is all of it
        return unwrap_value(output)
    return output


def _plain(package: seal.Package) -> Any:
    """The value where it is made of Python's own kinds alone. Raises UnpicklingError for any other."""
    if package.kind is not seal.Content.VALUE or package.buffers or len(package.pickle) > _LOOKED_INTO:
        raise pickle.UnpicklingError("it is not looked into")
    return _Harmless(io.BytesIO(package.pickle)).load()


class _Harmless(pickle.Unpickler):
    """Reads values, and finds no class or function: there is nothing that it could call."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse, whatever it is."""
        raise pickle.UnpicklingError(f"{module}.{name} is not looked into")
