"""Calls and replies as JSON that cannot be mistaken for data.

A plain `input` object holds the keyword arguments of an endpoint's only function, as a caller with curl writes it.
flashcore's own clients wrap calls under one reserved key, which carries what a plain object cannot: which function,
which method, positional arguments. Whoever calls with the envelope gets the value back in one.
The same JSON is understood by the embedded platform and under RunPod's own worker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import IncompatiblePeer, ProtocolError, SignatureRefused
from flashcore.model.light import light
from flashcore.wire import seal

KEY = "$flashcore"
VERSION = 1

_LONGEST_NAME = 200
"""Characters of what is taken for a name, and said again in an error."""


@light
class Arguments:
    """Positional and keyword arguments as JSON values."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@light
class Call:
    """One call. `function` None means the endpoint's only function; `constructor` None means the class's defaults."""

    function: str | None = None
    method: str | None = None
    arguments: Arguments = Arguments()
    constructor: Arguments | None = None
    enveloped: bool = True
    """Whether the caller used the envelope and so expects one back."""


@dataclass(frozen=True, slots=True)
class RemoteFailure:
    """What is known of an exception in user code. The names are those that RunPod's worker reports."""

    error_type: str
    """Qualified name of the exception's class, as in `ValueError` or `acme.errors.Broken`."""
    error_message: str
    error_traceback: str
    worker_id: str = ""
    hostname: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def wrap_call(call: Call) -> dict[str, Any]:
    """The `input` object of an enveloped call."""
    body: dict[str, Any] = {
        "version": VERSION,
        "function": call.function,
        "method": call.method,
        "arguments": _plain(call.arguments),
    }
    if call.constructor is not None:
        body["constructor"] = _plain(call.constructor)
    return {KEY: body}


def unwrap_call(value: Any) -> Call:
    """Read an `input` object, enveloped or plain. Raises ProtocolError or IncompatiblePeer."""
    if not isinstance(value, Mapping):
        raise ProtocolError(f"the input of a job must be an object, not {type(value).__name__}")
    if KEY not in value:
        return Call(arguments=Arguments(kwargs=dict(value)), enveloped=False)
    body = value[KEY]
    if not isinstance(body, Mapping) or len(value) > 1:
        raise ProtocolError(f"{KEY!r} must be the only key of the input and hold an object")
    _check_version(body)
    try:
        return from_json(Call, {key: item for key, item in body.items() if key != "version"})
    except CodecError as error:
        example = example_call(_given(body, "function") or "NAME", _given(body, "method"))
        raise ProtocolError(f"the call envelope does not fit: {error}", next_step=f"as in {example}") from error


def example_call(function: str, method: str | None = None) -> str:
    """An input that calls it, as a person may copy it: named arguments go into `kwargs`, others into a list `args`."""
    named = {"function": function} if method is None else {"function": function, "method": method}
    return json.dumps({KEY: {"version": VERSION, **named, "arguments": {"kwargs": {"x": 1}}}})


def _given(body: Mapping[str, Any], key: str) -> str | None:
    """What the caller wrote there, where it can be a name."""
    text = body.get(key)
    return text if isinstance(text, str) and 0 < len(text) <= _LONGEST_NAME else None


def wrap_value(value: Any) -> dict[str, Any]:
    """The `output` of an enveloped call."""
    return {KEY: {"version": VERSION, "value": value}}


def wrap_item(value: Any, number: int) -> dict[str, Any]:
    """One item of an enveloped call's stream, counted from 0."""
    return {KEY: {"version": VERSION, "number": number, "value": value}}


def unwrap_item(output: Any) -> tuple[int | None, Any]:
    """The number and the value of an item; both as they are of one that is in no envelope.

    Raises IncompatiblePeer, and SignatureRefused for one that is sealed.
    """
    if not (isinstance(output, Mapping) and len(output) == 1 and isinstance(output.get(KEY), Mapping)):
        _check_open(output)
        return None, output
    number = output[KEY].get("number")
    return number if isinstance(number, int) else None, unwrap_value(output)


def unwrap_value(output: Any) -> Any:
    """The value of an enveloped output. Raises SignatureRefused for a sealed one, ProtocolError for anything else."""
    if isinstance(output, Mapping) and len(output) == 1 and isinstance(output.get(KEY), Mapping):
        body = output[KEY]
        _check_version(body)
        if "value" in body:
            return body["value"]
    _check_open(output)
    raise ProtocolError("the reply is not in flashcore's envelope", next_step="is the endpoint served by flashcore?")


def _plain(arguments: Arguments) -> dict[str, Any]:
    # They hold JSON values already; walking large ones again would cost more than sending them.
    return {"args": list(arguments.args), "kwargs": dict(arguments.kwargs)}


def _check_open(output: Any) -> None:
    """Refuse a result of a sealed call, as the gateway shows it in JSON."""
    if isinstance(output, Mapping) and output.get("media") == seal.MEDIA:
        raise SignatureRefused(
            "this is the result of a pickled call, which is pickled as well, and there is no key here to check it with",
            next_step="set FLASHCORE_CALL_KEY to the environment's key, and read it with the caller's Python",
            reason="no key",
        )


def _check_version(body: Mapping[str, Any]) -> None:
    version = body.get("version")
    if version != VERSION:
        raise IncompatiblePeer(
            f"the envelope has version {version!r}, this process reads {VERSION}",
            next_step="upgrade the older of client and replica",
        )
