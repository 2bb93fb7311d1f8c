"""What a name of a module means: its own binding, or what it imported, here or in other modules of the project."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import flashcore
from flashcore.build.bindings import Assigned, Binding, Defined, Imported, Unclear
from flashcore.build.modules import Found, ModuleIndex
from flashcore.build.problems import place_of
from flashcore.build.sources import Sources
from flashcore.build.syntax import Unparsable
from flashcore.build.values import (
    OPAQUE,
    CannotRead,
    Definition,
    External,
    ProjectModule,
    ResourceClass,
    Setting,
)
from flashcore.client.settings import setting_names

Declared = Mapping[str, tuple[str, str]]
"""Extension point and name of a part, by the import path that declares it."""

HARMLESS: Mapping[str, Callable[..., Any]] = {
    f"builtins.{function.__name__}": function
    for function in (bool, dict, float, int, len, list, max, min, round, set, sorted, str, sum, tuple)
}
"""Built-in functions that the build calls."""


class Lookup:
    """Names of the modules of one tree. `value` reads the expressions that they are bound to."""

    def __init__(
        self, sources: Sources, index: ModuleIndex, declared: Declared, value: Callable[[str, ast.expr], Any]
    ) -> None:
        self._sources = sources
        self._index = index
        self._declared = declared
        self._value = value
        self._known: dict[tuple[str, str], Any] = {}
        self._under_way: set[tuple[str, str]] = set()

    def name(self, file: str, name: str, node: ast.AST) -> Any:
        """What a name means in a file. Raises CannotRead, at `node` where there is no such name."""
        key = (file, name)
        if key not in self._known:
            if key in self._under_way:
                raise CannotRead(place_of(file, node), f"{name} is defined by itself")
            self._under_way.add(key)
            try:
                self._known[key] = self._look_up(file, name, node)
            except CannotRead as error:
                self._known[key] = error
            finally:
                self._under_way.discard(key)
        found = self._known[key]
        if isinstance(found, CannotRead):
            raise found
        return found

    def member(self, file: str, found: Found, name: str, node: ast.AST) -> Any:
        """What an attribute of a module of the project means. Raises CannotRead."""
        if found.path is not None and self._has(found.path, name):
            return self.name(found.path, name, node)
        child = self._index.child(found, name)
        if child is not None:
            return ProjectModule(child)
        if found.path is None:
            raise CannotRead(place_of(file, node), f"{found.name} has no {name}", "correct the import")
        return self.name(found.path, name, node)

    def external(self, path: str) -> Any:
        """What an import path outside of the project means."""
        if path.startswith("flashcore.") and path.count(".") > 1:
            # However deep it was imported from, it is the public name that plugins know.
            path = f"flashcore.{path.rpartition('.')[2]}"
        found = External(path)
        part = self.part_of(found)
        if part is not None and part[0] == "resource_types":
            return ResourceClass(part[1], path.rpartition(".")[2])
        return found

    def part_of(self, value: Any) -> tuple[str, str] | None:
        """Extension point and name of the part that a class declares."""
        if isinstance(value, External):
            return self._declared.get(value.declared)
        if isinstance(value, Definition):
            module = self._index.name_of(value.file).name.replace("/", ".")
            return self._declared.get(f"{module}:{value.defined.name}")
        return None

    def module(self, file: str, imported: Imported) -> Found | None:
        """The project's module that an import names, None if it is none of the project's."""
        if imported.level:
            return self._index.find_relative(imported.module, imported.level, file)
        return self._index.find(imported.module, file)

    def _offers(self, file: str, name: str, seen: set[str]) -> bool:
        """Whether `from FILE import *` binds a name, which may have come there in the same way."""
        if self._has(file, name):
            return True
        code = self._sources.code(file)
        seen.add(file)
        for star in () if isinstance(code, Unparsable) else code.names.stars:
            found = self.module(file, star)
            if found is None and star.module == "flashcore" and name in flashcore.__all__:
                return True
            path = None if found is None else found.path
            if path is not None and path not in seen and self._offers(path, name, seen):
                return True
        return False

    def _has(self, file: str, name: str) -> bool:
        code = self._sources.code(file)
        return not isinstance(code, Unparsable) and name in code.names.by_name

    def _look_up(self, file: str, name: str, node: ast.AST) -> Any:
        code = self._sources.code(file)
        if isinstance(code, Unparsable):
            raise CannotRead(code.place, code.reason, code.advice)
        bindings = code.names.by_name.get(name)
        if bindings:
            return self._one_of(file, name, bindings)
        for star in code.names.stars:
            found = self.module(file, star)
            if found is not None and found.path is not None and not name.startswith("_"):
                if self._offers(found.path, name, {file}):
                    return self.name(found.path, name, node)
            elif found is None and star.module == "flashcore" and name in flashcore.__all__:
                return self.external(f"flashcore.{name}")
        if f"builtins.{name}" in HARMLESS:
            return External(f"builtins.{name}")
        raise CannotRead(place_of(file, node), f"there is no {name} at the level of the module")

    def _one_of(self, file: str, name: str, bindings: list[Binding]) -> Any:
        unclear = next((binding for binding in bindings if isinstance(binding, Unclear)), None)
        if unclear is not None:
            raise CannotRead(place_of(file, unclear.node), f"{name} has no one value: {unclear.reason}")
        if len(bindings) == 1:
            return self._bound(file, bindings[0])
        values = [self._or_none(file, binding) for binding in bindings]
        # `try: from flashcore import remote` with a stand-in below `except ImportError`: what is ours counts.
        ours = [value for value in values if _is_ours(value)]
        if len(ours) == 1:
            return ours[0]
        if not any(isinstance(value, OPAQUE) or value is None for value in values) and _all_equal(values):
            return values[0]
        raise CannotRead(
            place_of(file, bindings[-1].node),
            f"{name} is defined in {len(bindings)} places, and which one counts is only known when the file runs",
            "define it once",
        )

    def _or_none(self, file: str, binding: Binding) -> Any:
        try:
            return self._bound(file, binding)
        except CannotRead:
            return None

    def _bound(self, file: str, binding: Binding) -> Any:
        match binding:
            case Imported():
                return self._imported(file, binding)
            case Assigned(expression=expression):
                return self._value(file, expression)
            case Defined():
                return self._defined(file, binding)
            case Unclear(node=node, reason=reason):
                raise CannotRead(place_of(file, node), reason)

    def _imported(self, file: str, imported: Imported) -> Any:
        found = self.module(file, imported)
        if found is None and imported.level:
            path = "." * imported.level + imported.module
            raise CannotRead(place_of(file, imported.node), f"the project has no {path}", "correct the import")
        if found is None:
            name = imported.module if imported.attribute is None else f"{imported.module}.{imported.attribute}"
            return self.external(name)
        if imported.attribute is None:
            return ProjectModule(found)
        return self.member(file, found, imported.attribute, imported.node)

    def _defined(self, file: str, defined: Defined) -> Any:
        definition = Definition(file, defined)
        node = None if defined.is_function else defined.node
        if not isinstance(node, ast.ClassDef):
            return definition
        part = self.part_of(definition)
        if part is not None and part[0] == "resource_types":
            return ResourceClass(part[1], node.name)
        parents = (self._resource_class(file, base) for base in node.bases)
        parent = next((parent for parent in parents if parent is not None), None)
        return definition if parent is None else _subclass(file, node, parent)

    def _resource_class(self, file: str, node: ast.expr) -> ResourceClass | None:
        try:
            value = self._value(file, node)
        except CannotRead:
            return None
        return value if isinstance(value, ResourceClass) else None


def _subclass(file: str, node: ast.ClassDef, parent: ResourceClass) -> ResourceClass:
    defaults = dict(parent.defaults)
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in setting_names():
                defaults[name] = Setting(file, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in setting_names():
                defaults[name] = Setting(file, value)
            case ast.FunctionDef(name="__init__"):
                raise CannotRead(
                    place_of(file, statement),
                    f"{node.name}.__init__ would have to be run to know the endpoint",
                    "set defaults as class attributes, as in `gpu = 'any'`",
                )
            case _:
                pass
    return ResourceClass(parent.resource, node.name, defaults)


def _is_ours(value: Any) -> bool:
    return isinstance(value, ResourceClass) or (isinstance(value, External) and value.path.startswith("flashcore."))


def _all_equal(values: list[Any]) -> bool:
    return all(type(value) is type(values[0]) and value == values[0] for value in values)
