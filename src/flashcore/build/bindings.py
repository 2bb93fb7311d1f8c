"""What the names of a module are bound to, as its code shows it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from flashcore.build.outline import Unread

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """`import module as name`, or `from module import attribute as name`; `level` counts the leading dots."""

    node: ast.AST
    module: str
    level: int = 0
    attribute: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """`name = expression`."""

    node: ast.AST
    expression: ast.expr


class Defined:
    """`def name` or `class name`. One that was left out at first is parsed when its code is asked for."""

    __match_args__ = ("node",)

    def __init__(self, known: Definition | Unread, read: Callable[[Unread], Definition] | None = None) -> None:
        self._known = known
        self._read = read
        self.unread = known if isinstance(known, Unread) else None
        """Its text, if it was left out at first."""

    @property
    def name(self) -> str:
        """The name that it has where it stands."""
        return self._known.name

    @property
    def is_function(self) -> bool:
        """Whether it is one, and no class."""
        if isinstance(self._known, Unread):
            return not self._known.text.startswith(b"class")
        return not isinstance(self._known, ast.ClassDef)

    @property
    def node(self) -> Definition:
        """Its code. Raises CannotRead where it cannot be parsed."""
        if isinstance(self._known, Unread):
            if self._read is None:
                raise LookupError(self._known.name)
            self._known = self._read(self._known)
        return self._known


@dataclass(frozen=True, slots=True, eq=False)
class Unclear:
    """Bound in a way that has no one value: by a loop, more than once, piece by piece."""

    node: ast.AST
    reason: str


Binding: TypeAlias = Imported | Assigned | Defined | Unclear


@dataclass(slots=True)
class Names:
    """The names of one module. `stars` are its `from module import *`."""

    by_name: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[Imported] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    """Functions and classes of module level, also those below `if` and `try`, that were read."""
    unread: list[Defined] = field(default_factory=list)
    """Those that were not, in the order in which they stand there."""
    telling: list[str] = field(default_factory=list)
    """Names that may be bound to something else than a function of the module's own."""
    expressions: list[ast.expr] = field(default_factory=list)
    """Values that are assigned or computed at module level."""

    def add(self, name: str, binding: Binding) -> None:
        """Note that a name is bound."""
        self.by_name.setdefault(name, []).append(binding)


def names_of(
    code: ast.Module, unread: Iterable[Unread] = (), read: Callable[[Unread], Definition] | None = None
) -> Names:
    """Read the bindings of a module. `unread` are the definitions that `code` lacks; `read` parses one of them."""
    names = Names()
    for statement in module_level(code.body):
        _bind(names, statement)
    names.telling.extend(names.by_name)
    for left_out in unread:
        defined = Defined(left_out, read)
        if not defined.is_function and left_out.name not in names.by_name:
            names.telling.append(left_out.name)
        names.unread.append(defined)
        names.add(left_out.name, defined)
    return names


def module_level(body: list[ast.stmt], *, loop: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements that run when the module is imported, each with whether it is in a loop."""
    for statement in body:
        yield statement, loop
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        repeated = loop or isinstance(statement, ast.For | ast.While | ast.AsyncFor)
        for inner in ("body", "orelse", "finalbody"):
            yield from module_level(getattr(statement, inner, []), loop=repeated)
        for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
            yield from module_level(part.body, loop=repeated)


def _bind(names: Names, found: tuple[ast.stmt, bool]) -> None:
    statement, loop = found
    match statement:
        case ast.Import():
            _bind_import(names, statement)
        case ast.ImportFrom():
            _bind_import_from(names, statement)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            names.definitions.append(statement)
            names.add(statement.name, Defined(statement))
        case ast.Assign(targets=targets, value=value):
            names.expressions.append(value)
            for target in targets:
                _bind_target(names, target, value, loop=loop)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            names.expressions.append(value)
            _bind_target(names, target, value, loop=loop)
        case ast.AugAssign(target=ast.Name(id=name)):
            names.add(name, Unclear(statement, "it is changed in place"))
        case ast.For(target=target) | ast.AsyncFor(target=target):
            _bind_loop_target(names, target)
        case ast.Expr(value=value):
            names.expressions.append(value)
        case _:
            pass


def _bind_import(names: Names, statement: ast.Import) -> None:
    for alias in statement.names:
        if alias.asname:
            names.add(alias.asname, Imported(statement, alias.name))
        else:
            top = alias.name.partition(".")[0]
            names.add(top, Imported(statement, top))


def _bind_import_from(names: Names, statement: ast.ImportFrom) -> None:
    for alias in statement.names:
        imported = Imported(statement, statement.module or "", statement.level, alias.name)
        if alias.name == "*":
            names.stars.append(imported)
        else:
            names.add(alias.asname or alias.name, imported)


def _bind_target(names: Names, target: ast.expr, value: ast.expr, *, loop: bool) -> None:
    match target, value:
        case ast.Name(id=name), _:
            names.add(name, Unclear(value, "it is assigned in a loop") if loop else Assigned(target, value))
        case ((ast.Tuple(elts=left) | ast.List(elts=left)), (ast.Tuple(elts=right) | ast.List(elts=right))) if _pairs(
            left, right
        ):
            for inner_target, inner_value in zip(left, right, strict=True):
                _bind_target(names, inner_target, inner_value, loop=loop)
        case _:
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.add(node.id, Unclear(node, "it is unpacked from something else"))


def _pairs(left: list[ast.expr], right: list[ast.expr]) -> bool:
    return len(left) == len(right) and not any(isinstance(item, ast.Starred) for item in (*left, *right))


def _bind_loop_target(names: Names, target: ast.expr) -> None:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            names.add(node.id, Unclear(node, "it is the variable of a loop"))
