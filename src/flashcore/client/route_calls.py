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
from dataclasses import is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from flashcore.client.encoding import encode
from flashcore.client.exchange import Conversation, Request, Response, insist
from flashcore.client.failures import error_of
from flashcore.client.job_calls import credentials
from flashcore.model.codec import to_json
from flashcore.model.errors import UsageError
from flashcore.model.manifest import Route
from flashcore.model.names import EndpointName

TIMEOUT = 330.0
"""Seconds that a request may take; a little over what a GPU cloud's load balancer allows."""

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


def call_route(
    endpoint: EndpointName, route: Route, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Conversation[Any]:
    """Send the request and return what came back: the JSON value, text, or bytes, by its content type.

    Raises TypeError for arguments that do not fit the function, RemoteError for an answer of the function that is
    an error, and Unavailable, DeadlineExceeded or NotFound.
    """
    request = request_of(endpoint, route, target, args, kwargs)
    response = yield from insist(request)
    if response.status >= 400:
        raise error_of(response, f"{endpoint} {route.method} {route.path}")
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
    provided = {**credentials(), **headers, **({"Cookie": cookies} if cookies else {})}
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
