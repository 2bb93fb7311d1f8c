"""The import statements of a file, as its code shows them; which files they mean is `graph`'s to say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from flashcore.build.bindings import Imported, Names, names_of
from flashcore.build.syntax import nodes_of

_BY_NAME = frozenset(
    {
        "__import__",
        "importlib.import_module",
        "importlib.resources.files",
        "importlib.util.find_spec",
        "pkgutil.get_data",
        "runpy.run_module",
    }
)
"""Calls whose first argument names a module."""

_ANYTHING = frozenset(
    {
        "importlib.util.spec_from_file_location",
        "pkgutil.iter_modules",
        "pkgutil.walk_packages",
        "runpy.run_path",
    }
)
"""Calls that may import any file."""

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """`import module`, or `from module import attribute`; `level` counts the leading dots."""

    line: int
    column: int
    module: str
    level: int = 0
    attribute: str | None = None
    optional: bool = False
    """Whether the program does without it: it stands in a `try`, or is there for the type checker."""
    computed: bool = False
    """Which module it is, only running it would tell."""

    @property
    def imported(self) -> Imported:
        """What it binds."""
        return Imported(ast.Pass(lineno=self.line, col_offset=self.column), self.module, self.level, self.attribute)


def statements_of(code: ast.Module, data: bytes) -> tuple[ImportStatement, ...]:
    """Every import of a file, inside of functions too, and calls that import by name; `data` is the file's content."""
    found = list(statements_in(code))
    if may_call(data):
        names = names_of(code)
        calls = (node for node in nodes_of(code) if isinstance(node, ast.Call))
        found.extend(statement for call in calls for statement in _called(names, call))
    return tuple(found)


def statements_in(code: ast.Module) -> Iterator[ImportStatement]:
    """Every import statement, inside of functions too."""
    return _in_block(code, optional=False)


def may_call(data: bytes) -> bool:
    """Whether the content of a file may hold calls that import by name."""
    return b"importlib" in data or b"__import__" in data or b"pkgutil" in data or b"runpy" in data


def _in_block(node: ast.AST, *, optional: bool) -> Iterator[ImportStatement]:
    """Imports are statements, so that expressions need not be looked at."""
    for block in _BLOCKS:
        for statement in getattr(node, block, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from _written(statement, optional=optional)
            elif hasattr(statement, "body"):
                attempted = isinstance(statement, ast.Try) and bool(statement.handlers)
                yield from _in_block(statement, optional=optional or attempted or _is_type_checking(statement))


def _written(node: ast.Import | ast.ImportFrom, *, optional: bool) -> Iterator[ImportStatement]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield ImportStatement(node.lineno, node.col_offset, alias.name, optional=optional)
        else:
            module = node.module or ""
            yield ImportStatement(node.lineno, node.col_offset, module, node.level, alias.name, optional)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"


def _called(names: Names, node: ast.Call) -> Iterator[ImportStatement]:
    called = _dotted(names, node.func)
    if called in _ANYTHING:
        yield ImportStatement(node.lineno, node.col_offset, "", computed=True)
    elif called in _BY_NAME:
        match node.args:
            case [ast.Constant(value=str() as name)]:
                yield ImportStatement(node.lineno, node.col_offset, name)
            case _:
                yield ImportStatement(node.lineno, node.col_offset, "", computed=True)


def _dotted(names: Names, function: ast.expr) -> str:
    """A called function by its import path, where a module-level import says so."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    parts.append(function.id)
    binding = next(iter(names.by_name.get(function.id, [])), None)
    if isinstance(binding, Imported) and not binding.level:
        parts[-1] = binding.module if binding.attribute is None else f"{binding.module}.{binding.attribute}"
    return ".".join(reversed(parts))
