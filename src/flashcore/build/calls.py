"""Which endpoints a function calls, as far as the source shows: directly, or through the project's other functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from flashcore.build.bindings import Assigned, Binding, Defined, Imported, Unclear
from flashcore.build.lookup import Lookup
from flashcore.build.modules import Found, ModuleIndex
from flashcore.build.outline import Unread
from flashcore.build.problems import Problems
from flashcore.build.sources import Sources
from flashcore.build.syntax import Unparsable, nodes_of
from flashcore.build.values import CannotRead
from flashcore.model.names import EndpointName

_WORD = re.compile(rb"[\w\x80-\xff]+")

Name: TypeAlias = tuple[str, str]
"""A name at the level of a module: the file, and the name."""


@dataclass(slots=True)
class CallGraph:
    """Who speaks of whom. A name of an endpoint's function anywhere in the code counts as a call of it."""

    sources: Sources
    index: ModuleIndex
    names: Lookup
    endpoints: Mapping[Name, EndpointName]
    """The endpoint of each function and class that belongs to one."""
    problems: Problems
    _spoken_of: dict[Name, tuple[Name, ...]] = field(default_factory=dict)

    def calls(self, start: Name) -> tuple[EndpointName, ...]:
        """The other endpoints that a function or class reaches, sorted."""
        found: set[EndpointName] = set()
        seen, pending = {start}, list(self._speaks_of(start))
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.endpoints:
                found.add(self.endpoints[name])  # what that one calls in turn, it calls in its own replica
            else:
                pending.extend(self._speaks_of(name))
        return tuple(sorted(found - {self.endpoints.get(start)}))

    def _speaks_of(self, name: Name) -> tuple[Name, ...]:
        if name not in self._spoken_of:
            self._spoken_of[name] = tuple(dict.fromkeys(self._look(name)))
        return self._spoken_of[name]

    def _look(self, name: Name) -> Iterator[Name]:
        file, own = name
        for binding in self._bindings(file, own):
            match binding:
                case Defined() as defined:
                    yield from self._in_definition(file, defined)
                case Assigned(expression=expression):
                    yield from self._in_code(file, expression)
                case Imported():
                    target = self._imported(file, binding)
                    if isinstance(target, tuple):
                        yield target
                case Unclear():
                    pass

    def _in_definition(self, file: str, defined: Defined) -> Iterator[Name]:
        if defined.unread is not None and not self._may_speak(file, defined.unread):
            return
        try:
            node = defined.node
        except CannotRead as error:
            self.problems.add(error.place, error.why, error.advice)
            return
        yield from self._in_code(file, node)

    def _may_speak(self, file: str, unread: Unread) -> bool:
        """Whether its text holds any name of its module's but its own; if not, it need not be parsed."""
        code = self.sources.code(file)
        if isinstance(code, Unparsable) or code.names.stars or b"import" in unread.text:
            return True
        words = {word.decode(errors="replace") for word in _WORD.findall(unread.text)}
        return not words.isdisjoint(code.names.by_name.keys() - {unread.name})

    def _bindings(self, file: str, name: str) -> list[Binding]:
        code = self.sources.code(file)
        return [] if isinstance(code, Unparsable) else code.names.by_name.get(name, [])

    def _in_code(self, file: str, node: ast.AST) -> Iterator[Name]:
        nodes = list(nodes_of(node))
        local = dict(_local_imports(nodes))
        for inner in nodes:
            if isinstance(inner, ast.Name | ast.Attribute):
                target = self._follow(file, _chain(inner), local)
                if target is not None:
                    yield target

    def _follow(self, file: str, chain: list[str], local: Mapping[str, Imported]) -> Name | None:
        """What `a.b.c` speaks of, going through modules."""
        if not chain:
            return None
        target = self._named(file, chain[0], local)
        for attribute in chain[1:]:
            if not isinstance(target, Found):
                break
            target = self._member(target, attribute)
        return target if isinstance(target, tuple) else None

    def _named(self, file: str, name: str, local: Mapping[str, Imported]) -> Name | Found | None:
        if name in local:
            return self._imported(file, local[name])
        bindings = self._bindings(file, name)
        if bindings and isinstance(bindings[0], Imported):
            return self._imported(file, bindings[0])
        return (file, name) if bindings else self._starred(file, name)

    def _starred(self, file: str, name: str) -> Name | None:
        code = self.sources.code(file)
        for star in [] if isinstance(code, Unparsable) else code.names.stars:
            found = self.names.module(file, star)
            if found is not None and found.path is not None and self._bindings(found.path, name):
                return found.path, name
        return None

    def _imported(self, file: str, imported: Imported) -> Name | Found | None:
        found = self.names.module(file, imported)
        if found is None or imported.attribute is None:
            return found
        return self._member(found, imported.attribute)

    def _member(self, found: Found, attribute: str) -> Name | Found | None:
        if found.path is not None and self._bindings(found.path, attribute):
            return found.path, attribute
        return self.index.child(found, attribute)


def _local_imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, Imported]]:
    for inner in nodes:
        match inner:
            case ast.Import(names=names):
                for alias in names:
                    yield (
                        alias.asname or alias.name.partition(".")[0],
                        Imported(inner, alias.name if alias.asname else alias.name.partition(".")[0]),
                    )
            case ast.ImportFrom(names=names, module=module, level=level):
                for alias in names:
                    yield alias.asname or alias.name, Imported(inner, module or "", level, alias.name)
            case _:
                pass


def _chain(node: ast.expr) -> list[str]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []
