"""Calls of load-balanced endpoints: a function's arguments as the HTTP request that its route expects.

The replica serves the function with FastAPI, so arguments go where FastAPI looks for them: names of the path into the
path; what is annotated as a dict, list, dataclass or model into the JSON body (alone as the whole body, several by
name); headers and cookies where they are annotated so; everything else into the query. What is not given is left out.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from flashcore.client.encoding import encode
from flashcore.client.exchange import Conversation, Request, Response, insist
from flashcore.client.failures import error_of
from flashcore.client.job_calls import JobCall, credentials, home_of
from flashcore.client.tracing import trace_headers
from flashcore.model.codec import to_json
from flashcore.model.errors import UsageError
from flashcore.model.manifest import Route
from flashcore.model.names import EndpointName
from flashcore.wire import seal
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import CALL_LIFETIME, LARGEST_CALL, SigningKey, new_stamp
from flashcore.wire.sealed import open_reply

TIMEOUT = 330.0
"""Seconds that a request may take; a little over what a GPU cloud's load balancer allows."""

_FRAMEWORKS = frozenset({"fastapi", "starlette"})

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\w+))?\}")


class Place(Enum):
    """Where in a request an argument goes. The values are FastAPI's names for it, in lower case."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    COOKIE = "cookie"
    BODY = "body"
    NOWHERE = "nowhere"
    """Not for a plain call: forms, files, and what the server itself provides."""


@dataclass(frozen=True, slots=True)
class CalledRoute:
    """The function behind a route, and how long its answer is waited for, in seconds."""

    endpoint: EndpointName
    route: Route
    target: Callable[..., Any]
    timeout: float = TIMEOUT

    @property
    def shown(self) -> str:
        """As errors name it."""
        return f"{self.endpoint} {self.route.method} {self.route.path}"


def call_route(
    called: CalledRoute, args: tuple[Any, ...], kwargs: dict[str, Any], key: SigningKey | None
) -> Conversation[Any]:
    """Send the request and return what came back: with a key the value as it is, else what its content type says.

    Raises TypeError for arguments that do not fit the function, what the function raised (RemoteError where that is
    not known here), and Unavailable, DeadlineExceeded or NotFound.
    """
    if key is not None and takes_values(called.target):
        value = yield from _call_sealed(called, args, kwargs, key)
        return value
    request = request_of(called.endpoint, called.route, called.target, args, kwargs)
    response = yield from insist(replace(request, timeout=called.timeout))
    if response.status >= 400:
        raise error_of(response, called.shown)
    return _value(response)


def takes_values(target: Callable[..., Any]) -> bool:
    """Whether it can be called with values alone: nothing in its signature is for FastAPI to fill in."""
    return not any(_is_frameworks(parameter) for parameter in inspect.signature(target).parameters.values())


def _is_frameworks(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if isinstance(annotation, str):  # quick, and right for whatever imports FastAPI's names as they are
        named = any(
            word in annotation for word in ("Request", "Response", "WebSocket", "BackgroundTasks", "UploadFile")
        )
        return named or "Annotated" in annotation or _module(type(parameter.default)) in _FRAMEWORKS
    marks = (
        (*get_args(annotation)[1:], parameter.default) if get_origin(annotation) is Annotated else (parameter.default,)
    )
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return _module(plain) in _FRAMEWORKS or any(_module(type(mark)) in _FRAMEWORKS for mark in marks)


def _module(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def _call_sealed(
    called: CalledRoute, args: tuple[Any, ...], kwargs: dict[str, Any], key: SigningKey
) -> Conversation[Any]:
    given = inspect.signature(called.target).bind(*args, **kwargs).arguments
    path = _PLACEHOLDER.sub(lambda found: _segment(found, given), called.route.path)
    call = Call(called.target.__name__, arguments=Arguments(args, kwargs))
    stamp = new_stamp(CALL_LIFETIME)

    def request() -> Request:
        nonlocal stamp
        stamp = new_stamp(CALL_LIFETIME)
        headers = {"Content-Type": seal.MEDIA, **trace_headers(), **credentials()}
        sending = JobCall(called.endpoint, call, called.shown, home=home_of(called.target), limit=LARGEST_CALL)
        body = sending.sealed(key, stamp)
        return Request(called.route.method, f"/{called.endpoint}{path}", body, headers, called.timeout, once=True)

    response = yield from insist(request(), request if called.route.method == "GET" else None)
    if response.headers.get("content-type") == seal.MEDIA:
        return open_reply(key, called.endpoint, response.package, stamp.nonce, called.shown)
    if response.status >= 400:
        raise error_of(response, called.shown)
    return _value(response)


def request_of(
    endpoint: EndpointName, route: Route, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Request:
    """The request that these arguments make. Raises TypeError as calling the function would, or UsageError."""
    given = inspect.signature(target).bind(*args, **kwargs).arguments
    places = places_of(target, route)
    what = f"{endpoint} {route.method} {route.path}"
    for name, _ in _in(Place.NOWHERE, places, given):
        raise UsageError(f"{what}: {name} cannot be given here", next_step="send the request with an HTTP client")
    path = _PLACEHOLDER.sub(lambda found: _segment(found, given), route.path)
    query = [pair for name, value in _in(Place.QUERY, places, given) for pair in _pairs(name, value)]
    headers = {name.replace("_", "-"): _text(value) for name, value in _in(Place.HEADER, places, given)}
    cookies = "; ".join(f"{name}={_text(value)}" for name, value in _in(Place.COOKIE, places, given))
    body = _body(what, places, dict(_in(Place.BODY, places, given)))
    provided = {**trace_headers(), **credentials(), **headers, **({"Cookie": cookies} if cookies else {})}
    if body is not None:
        provided["Content-Type"] = "application/json"
    return Request(route.method, f"/{endpoint}{path}{_query(query)}", body, provided, TIMEOUT)


def places_of(target: Callable[..., Any], route: Route) -> dict[str, Place]:
    """Where each parameter of the function goes."""
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):  # names that exist for the type checker alone
        hints = {}
    in_path = {found[1] for found in _PLACEHOLDER.finditer(route.path)}
    return {
        name: Place.PATH if name in in_path else _place(hints.get(name, parameter.annotation), parameter.default)
        for name, parameter in inspect.signature(target).parameters.items()
    }


def _in(place: Place, places: Mapping[str, Place], given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # Only a body can say None; elsewhere it is said by leaving the name out.
    return (
        (name, value)
        for name, value in given.items()
        if places[name] is place and (value is not None or place is Place.BODY)
    )


def _place(annotation: Any, default: Any) -> Place:
    marks = [default, *(get_args(annotation)[1:] if get_origin(annotation) is Annotated else ())]
    for mark in marks:
        if type(mark).__module__.partition(".")[0] == "fastapi":
            return _marked(type(mark).__name__)
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if getattr(plain, "__module__", "").partition(".")[0] in ("fastapi", "starlette"):
        return Place.NOWHERE
    return Place.BODY if _is_document(plain) else Place.QUERY


def _marked(name: str) -> Place:
    named = {place.value: place for place in Place}
    return named.get(name.lower(), Place.NOWHERE)


def _is_document(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_document(choice) for choice in get_args(annotation))
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return False
    return issubclass(kind, Mapping | list | tuple | set | frozenset) or is_dataclass(kind) or _is_model(kind)


def _is_model(kind: type) -> bool:
    return hasattr(kind, "model_fields") or hasattr(kind, "__total__")


def _segment(found: re.Match[str], given: Mapping[str, Any]) -> str:
    from urllib.parse import quote

    if found[1] not in given:
        raise UsageError(f"the path needs a value for {found[1]}")
    return quote(_text(given[found[1]]), safe="/" if found[2] == "path" else "")


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    for item in value if isinstance(value, list | tuple | set | frozenset) else (value,):
        yield name, _text(item)


def _query(pairs: list[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    return f"?{urlencode(pairs)}" if pairs else ""


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _body(what: str, places: Mapping[str, Place], given: Mapping[str, Any]) -> bytes | None:
    if not given:
        return None
    values = {name: _document(value) for name, value in given.items()}
    alone = sum(place is Place.BODY for place in places.values()) == 1
    pieces = {f"{what}: {name}": value for name, value in values.items()}
    return encode(next(iter(values.values())) if alone else values, pieces)


def _document(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return to_json(value) if is_dataclass(value) and not isinstance(value, type) else value


def _value(response: Response) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.body:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        return json.loads(response.body)
    if kind == "application/jsonl":  # what a generator yielded
        return [json.loads(line) for line in response.body.splitlines() if line.strip()]
    return response.body.decode("utf-8", "replace") if kind.startswith("text/") else response.body
