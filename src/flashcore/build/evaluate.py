"""The value of an expression, as far as it can be known without running anything.

Literals, names of constants here and in other modules of the project, arithmetic, f-strings, a few harmless built-in
functions, endpoints, and the declaration forms of plugins' parts. A variable of the environment is never read: its
default stands in for it, so that the same tree gives the same manifest everywhere, and the reference is noted.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from flashcore.build.literals import LITERALS, apply
from flashcore.build.lookup import HARMLESS, Declared, Lookup
from flashcore.build.modules import ModuleIndex
from flashcore.build.problems import Place, place_of
from flashcore.build.sources import Sources
from flashcore.build.values import (
    ADVICE,
    OPAQUE,
    CannotRead,
    EnvironmentReference,
    External,
    Member,
    ProjectModule,
    Resource,
    ResourceClass,
    Setting,
    shown,
)
from flashcore.model.declaration import Bounds, ProbePolicy, Volume
from flashcore.model.parts import PartRef

_FORMS: Mapping[str, Callable[..., Any]] = {
    "flashcore.Bounds": Bounds,
    "flashcore.PartRef": PartRef,
    "flashcore.ProbePolicy": ProbePolicy,
    "flashcore.Volume": Volume,
}


class Evaluator:
    """Values of expressions in the modules of one tree."""

    def __init__(self, sources: Sources, index: ModuleIndex, declared: Declared) -> None:
        self.names = Lookup(sources, index, declared, self.value)
        self._resources: dict[Place, Resource] = {}
        self.environment: set[EnvironmentReference] = set()
        """Variables that values were read from."""

    def value(self, file: str, node: ast.expr) -> Any:
        """The value of an expression in a file. Raises CannotRead."""
        try:
            match node:
                case ast.Name():
                    return self.names.name(file, node.id, node)
                case ast.Attribute():
                    return self._attribute(file, node)
                case ast.Call():
                    return self._call(file, node)
                case _ if type(node) in LITERALS:
                    return LITERALS[type(node)](self, file, node)
                case _:
                    raise CannotRead(place_of(file, node), f"{shown(node)} is only known when the file runs")
        except RecursionError:
            raise CannotRead(place_of(file, node), "it is nested too deeply") from None

    def plain(self, file: str, node: ast.expr) -> Any:
        """The same for a value that a declaration can hold. Raises CannotRead."""
        return self._plain(file, node, self.value(file, node))

    def setting(self, setting: Setting) -> Any:
        """What a setting was given. Raises CannotRead."""
        found = self.plain(setting.file, setting.node)
        return found if setting.key is None else found[setting.key]

    def resources(self) -> list[Resource]:
        """Every endpoint that was come upon, by place."""
        return [self._resources[place] for place in sorted(self._resources)]

    def _attribute(self, file: str, node: ast.Attribute) -> Any:
        owner = self.value(file, node.value)
        match owner:
            case External(path=path):
                return self.names.external(f"{path}.{node.attr}")
            case ProjectModule(found=found):
                return self.names.member(file, found, node.attr, node)
            case Resource():
                return Member(owner, node.attr)
            case _:
                raise CannotRead(place_of(file, node), f"{shown(node)} is only known when the file runs")

    def _call(self, file: str, node: ast.Call) -> Any:
        function = self.value(file, node.func)
        if isinstance(function, ResourceClass):
            return self._resource(file, node, function)
        part = self.names.part_of(function)
        if part is not None:
            args, options = self._arguments(file, node)
            return PartRef(part[1], tuple(args), options)
        if isinstance(function, External):
            return self._external_call(file, node, function.path)
        raise CannotRead(place_of(file, node), f"{shown(node.func)}() would have to be run")

    def _external_call(self, file: str, node: ast.Call, path: str) -> Any:
        if path in ("os.getenv", "os.environ.get"):
            return self._environment(file, node)
        known = _FORMS.get(path) or HARMLESS.get(path)
        if known is None:
            package = path.partition(".")[0]
            advice = f"if it is a part, install the plugin that declares it ({package}); otherwise {ADVICE}"
            raise CannotRead(place_of(file, node), f"{path}() would have to be run", advice, package)
        args, options = self._arguments(file, node)
        return apply(file, node, known, *args, **options)

    def _environment(self, file: str, node: ast.Call) -> Any:
        args, options = self._arguments(file, node)
        name = args[0] if args else options.get("key")
        default = args[1] if len(args) > 1 else options.get("default")
        if not isinstance(name, str):
            raise CannotRead(place_of(file, node), "the variable's name is no text")
        self.environment.add(EnvironmentReference(name, default, place_of(file, node)))
        return default

    def _resource(self, file: str, node: ast.Call, kind: ResourceClass) -> Resource:
        place = place_of(file, node)
        if place not in self._resources:
            self._resources[place] = self._declared_at(file, node, kind)
        return self._resources[place]

    def _declared_at(self, file: str, node: ast.Call, kind: ResourceClass) -> Resource:
        if len(node.args) > 1 or any(isinstance(item, ast.Starred) for item in node.args):
            raise CannotRead(
                place_of(file, node), f"{kind.shown} takes one positional argument, its name", "write NAME=VALUE"
            )
        settings = dict(kind.defaults)
        for keyword in node.keywords:
            if keyword.arg is not None:
                settings[keyword.arg] = Setting(file, keyword.value)
                continue
            unpacked = apply(file, keyword.value, dict, self.plain(file, keyword.value))
            settings |= {str(key): Setting(file, keyword.value, key) for key in unpacked}
        name = Setting(file, node.args[0]) if node.args else settings.pop("name", None)
        return Resource(kind, place_of(file, node), name, settings)

    def _arguments(self, file: str, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
        args: list[Any] = []
        for item in node.args:
            if isinstance(item, ast.Starred):
                args.extend(apply(file, item.value, list, self.plain(file, item.value)))
            else:
                args.append(self.plain(file, item))
        options: dict[str, Any] = {}
        for keyword in node.keywords:
            found = self.plain(file, keyword.value)
            options |= apply(file, keyword.value, dict, found) if keyword.arg is None else {keyword.arg: found}
        return args, options

    def _plain(self, file: str, node: ast.expr, value: Any) -> Any:
        part = self.names.part_of(value)
        if part is not None:  # the class itself, as in strategy=Rolling
            return PartRef(part[1])
        if isinstance(value, OPAQUE):
            raise CannotRead(place_of(file, node), f"{shown(node)} is no value that a setting can hold")
        if isinstance(value, list | tuple | set):
            return type(value)(self._plain(file, node, item) for item in value)
        if isinstance(value, dict):
            return {key: self._plain(file, node, item) for key, item in value.items()}
        return value
