"""Finds the endpoints of a project and the functions that are given to them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flashcore.build.bindings import Defined
from flashcore.build.bindings import Definition as DefinitionNode
from flashcore.build.evaluate import Evaluator
from flashcore.build.functions import entry_of
from flashcore.build.problems import Place, Problems, place_of
from flashcore.build.sources import Code, Sources
from flashcore.build.syntax import Unparsable, nodes_of
from flashcore.build.values import CannotRead, Definition, External, Member, ProjectModule, Resource, ResourceClass
from flashcore.hookspecs.resources import Ingress
from flashcore.model.manifest import WEBSOCKET, FunctionEntry, Route

REMOTE = External("flashcore.remote")
_VERBS = {"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE", "websocket": WEBSOCKET}
_GIVING = frozenset({"function", "route", *_VERBS})
"""The attributes of endpoints by which functions are given to them."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A function or class that belongs to an endpoint."""

    resource: Resource
    definition: Definition
    entry: FunctionEntry

    @property
    def place(self) -> Place:
        """Where it is defined."""
        return place_of(self.definition.file, self.definition.node)


@dataclass(slots=True)
class Scan:
    """What was found."""

    resources: list[Resource] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)


class Scanner:
    """Scans files for endpoints. `ingress_of` says how the calls of a resource type arrive."""

    def __init__(
        self, sources: Sources, evaluator: Evaluator, ingress_of: Callable[[str], Ingress], problems: Problems
    ) -> None:
        self._sources = sources
        self._evaluator = evaluator
        self._ingress_of = ingress_of
        self._problems = problems
        self._served: dict[tuple[str, str], Served] = {}

    def scan(self, paths: list[str]) -> Scan:
        """Look at these files. What is wrong becomes a problem."""
        for path in paths:
            code = self._sources.code(path)
            if not isinstance(code, Unparsable):
                self._scan_file(code)
        served = sorted(self._served.values(), key=lambda one: one.place)
        return Scan(self._evaluator.resources(), served)

    def _scan_file(self, code: Code) -> None:
        for expression in code.names.expressions:
            for node in nodes_of(expression):
                if isinstance(node, ast.Call):
                    self._look_at_call(code.path, node)
        for definition in code.names.definitions:
            for decorator in definition.decorator_list:
                self._serve(code.path, decorator, definition)
            self._refuse_nested(code.path, definition)
        self._look_into_unread(code)

    def _look_into_unread(self, code: Code) -> None:
        """Definitions without decorators matter here only if they speak of what endpoints are declared by."""
        telling = {name.encode() for name in code.names.telling if self._tells(code, name)}
        for defined in code.names.unread:
            if defined.unread is None or not _mentions(defined.unread.text, telling):
                continue
            try:
                node = defined.node
            except CannotRead as error:
                self._problems.add(error.place, error.why, error.advice)
                continue
            self._refuse_nested(code.path, node)
            if isinstance(node, ast.ClassDef) and self._tells(code, node.name):
                telling.add(node.name.encode())

    def _tells(self, code: Code, name: str) -> bool:
        """Whether a name of the file's may lead to a class of endpoints."""
        bindings = code.names.by_name[name]
        if all(isinstance(binding, Defined) and binding.unread is not None for binding in bindings):
            return False
        try:
            value = self._evaluator.names.name(code.path, name, bindings[0].node)
        except CannotRead:
            return False
        ours = isinstance(value, External) and value.path.partition(".")[0] == "flashcore"
        return ours or isinstance(value, ResourceClass | ProjectModule)

    def _is_resource_class(self, file: str, node: ast.expr) -> bool:
        try:
            return isinstance(self._evaluator.value(file, node), ResourceClass)
        except CannotRead:
            return False

    def _look_at_call(self, file: str, call: ast.Call) -> None:
        if self._is_resource_class(file, call.func):
            self._declare(file, call)
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _GIVING and self._is_member(file, call.func):
            gives = ast.unparse(call.func)
            self._problems.add(
                place_of(file, call),
                f"what {gives}() is called with is not served: functions are found by their decorators",
                f"write @{gives} above the definition of a function",
            )

    def _is_member(self, file: str, node: ast.expr) -> bool:
        try:
            return isinstance(self._evaluator.value(file, node), Member)
        except CannotRead:
            return False

    def _declare(self, file: str, node: ast.Call) -> None:
        try:
            self._evaluator.value(file, node)
        except CannotRead as error:
            self._problems.add(error.place, error.why, error.advice)

    def _serve(self, file: str, decorator: ast.expr, node: DefinitionNode) -> None:
        try:
            given = self._given(file, decorator)
        except CannotRead as error:
            self._problems.add(error.place, error.why, error.advice)
            return
        if given is None:
            return
        resource, route = given
        definition = Definition(file, Defined(node))
        if route is not None and isinstance(node, ast.ClassDef):
            self._problems.add(place_of(file, node), f"a route cannot serve the class {node.name}", "serve a function")
            return
        known = self._served.get((file, node.name))
        if known is not None:
            self._problems.add(
                place_of(file, node),
                f"{node.name} belongs to an endpoint already, at {known.place}",
                "give each function and class to one endpoint, with one route, and define it once",
            )
            return
        self._served[file, node.name] = Served(resource, definition, entry_of(definition, self._evaluator, route))

    def _given(self, file: str, decorator: ast.expr) -> tuple[Resource, Route | None] | None:
        """The endpoint, and the route, that a decorator gives its function to; None for anybody else's decorator."""
        call = decorator if isinstance(decorator, ast.Call) else None
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        try:
            value = self._evaluator.value(file, target)
        except CannotRead as error:
            if isinstance(target, ast.Attribute) and target.attr == "function" and error.package is None:
                raise
            return None
        if value == REMOTE:
            return self._given_to_remote(file, decorator, call), None
        if isinstance(value, Member):
            return value.resource, self._route(file, decorator, call, value)
        return None

    def _given_to_remote(self, file: str, decorator: ast.expr, call: ast.Call | None) -> Resource:
        given = [] if call is None else [*call.args, *(keyword.value for keyword in call.keywords)]
        resource = self._evaluator.value(file, given[0]) if len(given) == 1 else None
        if not isinstance(resource, Resource):
            raise CannotRead(
                place_of(file, decorator),
                "remote() needs an endpoint",
                "write @remote(gpu), with gpu = QueueEndpoint(...)",
            )
        if self._ingress_of(resource.kind.resource) is not Ingress.JOBS:
            raise CannotRead(
                place_of(file, decorator),
                f"the calls of a {resource.kind.shown} are HTTP requests, and remote() names no route",
                "write @NAME.get('/path'), with NAME being the endpoint's variable",
            )
        return resource

    def _route(self, file: str, decorator: ast.expr, call: ast.Call | None, member: Member) -> Route | None:
        jobs = self._ingress_of(member.resource.kind.resource) is Ingress.JOBS
        known = ["function"] if jobs else [*_VERBS, "route"]
        if member.name not in known or (call is None) != jobs:
            forms = " or ".join(f"@NAME.{name}" if jobs else f"@NAME.{name}(...)" for name in known)
            raise CannotRead(
                place_of(file, decorator), f"a {member.resource.kind.shown} cannot be used like this", f"write {forms}"
            )
        return None if call is None else self._read_route(file, call, member.name)

    def _read_route(self, file: str, call: ast.Call, name: str) -> Route:
        given = [self._evaluator.plain(file, node) for node in call.args]
        named = {word.arg: self._evaluator.plain(file, word.value) for word in call.keywords}
        wanted = ["method", "path"] if name == "route" else ["path"]
        values: dict[str | None, Any] = {**dict(zip(wanted, given, strict=False)), **named}
        if (
            len(given) > len(wanted)
            or set(values) != set(wanted)
            or not all(isinstance(v, str) for v in values.values())
        ):
            raise CannotRead(
                place_of(file, call),
                f"{name}() needs {' and '.join(wanted)} as text",
                "as in @NAME.get('/items/{item_id}')",
            )
        return Route(values.get("method", _VERBS.get(name, "")).upper(), values["path"])

    def _refuse_nested(self, file: str, outer: DefinitionNode) -> None:
        """Endpoints and their functions inside of functions exist only once those have run."""
        for node in _inside(outer):
            if isinstance(node, ast.Call) and self._is_resource_class(file, node.func):
                self._problems.add(
                    place_of(file, node),
                    f"an endpoint is declared inside of {outer.name}",
                    "declare it at module level",
                )
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and self._is_given(file, node):
                advice = "decorate the class" if isinstance(outer, ast.ClassDef) else "define it at module level"
                self._problems.add(
                    place_of(file, node),
                    f"{outer.name}.{node.name} is inside of {outer.name}: replicas cannot find it",
                    advice,
                )

    def _is_given(self, file: str, node: DefinitionNode) -> bool:
        for decorator in node.decorator_list:
            try:
                if self._given(file, decorator) is not None:
                    return True
            except CannotRead:
                continue
        return False


def _mentions(text: bytes, names: Iterable[bytes]) -> bool:
    if b"@" in text:
        return True
    for name in names:  # noqa: SIM110 - a generator for each of thousands of texts takes longer than the search
        if name in text:
            return True
    return False


def _inside(outer: DefinitionNode) -> Iterator[ast.AST]:
    for statement in outer.body:
        yield from nodes_of(statement)
