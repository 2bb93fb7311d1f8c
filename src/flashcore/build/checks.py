"""What must hold between endpoints, between the functions of one, and of their routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from flashcore.build.drafts import Draft, by_name
from flashcore.build.problems import Problems
from flashcore.build.scan import Served
from flashcore.hookspecs.resources import Ingress
from flashcore.model.manifest import WEBSOCKET, FunctionKind, ParameterKind

RESERVED_PATHS = frozenset({"/docs", "/execute", "/openapi.json", "/ping", "/ping/live", "/redoc"})
"""Paths that the replica's own server answers."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", WEBSOCKET})

_PLACEHOLDER = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_CONVERTORS = frozenset({None, "float", "int", "path", "str", "uuid"})
_ANY_NAME = frozenset({ParameterKind.VAR_KEYWORD})


def check(drafts: list[Draft], problems: Problems) -> None:
    """Add a problem for each thing that cannot be, with both places named."""
    for same in by_name(drafts).values():
        for draft in same[1:]:
            problems.add(
                draft.place,
                f"there is another endpoint {draft.declaration.name!r}, at {same[0].place}",
                "give one of them another name",
            )
    for draft in drafts:
        _check_names(draft.served, problems)
        if draft.resource.ingress is Ingress.HTTP:
            _check_routes(draft.served, problems)


def _check_names(served: Iterable[Served], problems: Problems) -> None:
    known: dict[str, Served] = {}
    for one in served:
        other = known.setdefault(one.entry.name, one)
        if other is not one:
            problems.add(
                one.place, f"the endpoint has another function {one.entry.name}, at {other.place}", "rename one of them"
            )


def _check_routes(served: Iterable[Served], problems: Problems) -> None:
    known: dict[tuple[str, str], Served] = {}
    for one in served:
        route = one.entry.route
        if route is None:
            continue
        for message, advice in _route_problems(one):
            problems.add(one.place, f"{route.method} {route.path}: {message}", advice)
        other = known.setdefault((route.method, _PLACEHOLDER.sub("{}", route.path)), one)
        if other is not one and other.entry.route is not None:
            problems.add(
                one.place,
                f"{route.method} {route.path} means the same requests as {other.entry.route.path} at {other.place}",
                "change one of the paths",
            )


def _route_problems(one: Served) -> Iterator[tuple[str, str]]:
    route = one.entry.route
    if route is None:
        return
    if route.method not in METHODS:
        yield f"there is no method {route.method}", f"use one of {', '.join(sorted(METHODS))}"
    if route.method == WEBSOCKET and one.entry.kind is not FunctionKind.ASYNC_FUNCTION:
        yield "a WebSocket is served by a coroutine function", f"write async def {one.entry.name}, without yield"
    if not route.path.startswith("/"):
        yield "the path does not start with a slash", f"write '/{route.path}'"
    if route.path.rstrip("/") in RESERVED_PATHS:
        yield "the replica's server answers this path itself", "choose another path"
    if set("{}?#").intersection(_PLACEHOLDER.sub("", route.path)):
        yield "the path cannot be read", "write placeholders as in /items/{item_id}"
    yield from _placeholder_problems(one, route.path)


def _placeholder_problems(one: Served, path: str) -> Iterator[tuple[str, str]]:
    parameters = {parameter.name for parameter in one.entry.parameters}
    any_name = any(parameter.kind in _ANY_NAME for parameter in one.entry.parameters)
    names = [found[1] for found in _PLACEHOLDER.finditer(path)]
    for found in _PLACEHOLDER.finditer(path):
        if found[2] not in _CONVERTORS:
            yield f"there is no kind of placeholder {found[2]!r}", "write {name} or {name:path}"
        if found[1] not in parameters and not any_name:
            yield (
                f"{one.entry.name}() has no parameter {found[1]!r}",
                f"add the parameter {found[1]}, or change the path",
            )
    for name in {name for name in names if names.count(name) > 1}:
        yield f"the placeholder {name!r} occurs twice", "give each its own name"
