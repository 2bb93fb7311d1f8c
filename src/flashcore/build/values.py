"""What expressions can mean beside plain values (numbers, text, lists, dicts, tuples, None)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashcore.build.bindings import Defined
from flashcore.build.bindings import Definition as DefinitionNode
from flashcore.build.modules import Found
from flashcore.build.problems import Place, place_of


@dataclass(frozen=True, slots=True)
class External:
    """Something of a package that is not the project's, by its import path as in `flashcore.QueueEndpoint`."""

    path: str

    @property
    def declared(self) -> str:
        """The path as plugins declare it, as in `flashcore:QueueEndpoint`."""
        module, _, name = self.path.rpartition(".")
        return f"{module}:{name}"


@dataclass(frozen=True, slots=True)
class ProjectModule:
    """A module or package of the project."""

    found: Found


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A function or class of the project, at module level."""

    file: str
    defined: Defined

    @property
    def node(self) -> DefinitionNode:
        """Its code. Raises CannotRead where it cannot be parsed."""
        return self.defined.node


@dataclass(frozen=True, slots=True, eq=False)
class ResourceClass:
    """A class of endpoints: a plugin's, or the project's own below one; then it has defaults for settings."""

    resource: str
    shown: str
    defaults: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A setting as it was written; `key` where it is an item of a dict that was unpacked."""

    file: str
    node: ast.expr
    key: str | None = None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return place_of(self.file, self.node)


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """An endpoint as it was declared. There is one for each place in the project where one is declared."""

    kind: ResourceClass
    place: Place
    name: Setting | None
    settings: Mapping[str, Setting]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """An attribute of an endpoint, as in `api.get`."""

    resource: Resource
    name: str


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentReference:
    """A variable that a setting is read from, with the default that stands in for it."""

    variable: str
    default: Any
    place: Place


ADVICE = (
    'write a literal, a constant of a module, or os.environ.get("NAME", "default"); or let the build import the file: '
    'scan = "import" in flashcore.toml'
)


class CannotRead(Exception):
    """An expression whose value is not known without running the project, or without running `package`."""

    def __init__(self, place: Place, why: str, advice: str = ADVICE, package: str | None = None) -> None:
        super().__init__(f"{place}: {why}")
        self.place = place
        self.why = why
        self.advice = advice
        self.package = package


OPAQUE = (External, ProjectModule, Definition, ResourceClass, Resource, Member)
"""Values that no operator or built-in function is applied to."""


def shown(node: ast.expr) -> str:
    """An expression as messages show it."""
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
