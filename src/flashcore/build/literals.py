"""Literals, and what is computed from them: arithmetic, comparisons, f-strings, items."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flashcore.build.problems import place_of
from flashcore.build.values import CannotRead, External, shown
from flashcore.model.parts import PartRef

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.BitOr: operator.or_,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.NotEq: operator.ne,
    ast.NotIn: lambda item, container: item not in container,
}
_CONVERSIONS: Mapping[int, Callable[[Any], str]] = {ord("r"): repr, ord("s"): str, ord("a"): ascii}

_LONGEST = 100_000
"""Items or characters that a repetition may make: a project cannot make the build eat the machine's memory."""


class Reader(Protocol):
    """What knows the values of the parts of an expression."""

    def value(self, file: str, node: ast.expr) -> Any:
        """The value of an expression. Raises CannotRead."""
        ...

    def plain(self, file: str, node: ast.expr) -> Any:
        """The same for a value that a declaration can hold. Raises CannotRead."""
        ...


def apply(file: str, node: ast.expr, operation: Callable[..., Any] | None, *args: Any, **options: Any) -> Any:
    """The result of an operation; what it raises becomes CannotRead at `node`."""
    if operation is None:
        raise CannotRead(place_of(file, node), f"{shown(node)} is not computed by the build")
    try:
        return operation(*args, **options)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise CannotRead(place_of(file, node), f"{shown(node)}: {error}", "correct it") from error


def _sequence(reader: Reader, file: str, node: ast.List | ast.Tuple | ast.Set) -> Any:
    items: list[Any] = []
    for item in node.elts:
        if isinstance(item, ast.Starred):
            items.extend(apply(file, item.value, list, reader.plain(file, item.value)))
        else:
            items.append(reader.value(file, item))
    make: Callable[[list[Any]], Any] = set if isinstance(node, ast.Set) else list
    return tuple(items) if isinstance(node, ast.Tuple) else apply(file, node, make, items)


def _dict(reader: Reader, file: str, node: ast.Dict) -> Any:
    found: dict[Any, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        if key is None:
            found.update(apply(file, item, dict, reader.plain(file, item)))
        else:
            name = reader.plain(file, key)
            apply(file, key, hash, name)
            found[name] = reader.value(file, item)
    return found


def _unary(reader: Reader, file: str, node: ast.UnaryOp) -> Any:
    return apply(file, node, _UNARY.get(type(node.op)), reader.plain(file, node.operand))


def _binary(reader: Reader, file: str, node: ast.BinOp) -> Any:
    left, right = reader.plain(file, node.left), reader.plain(file, node.right)
    if isinstance(node.op, ast.Mult) and _size(left, right) > _LONGEST:
        raise CannotRead(place_of(file, node), f"{shown(node)} is too long")
    if isinstance(node.op, ast.Mod) and isinstance(left, str | bytes):
        raise CannotRead(place_of(file, node), "text formatted by % is not read", "write an f-string")
    return apply(file, node, _BINARY.get(type(node.op)), left, right)


def _boolean(reader: Reader, file: str, node: ast.BoolOp) -> Any:
    found: Any = None
    for item in node.values:
        found = reader.plain(file, item)
        if bool(found) == isinstance(node.op, ast.Or):
            return found
    return found


def _comparison(reader: Reader, file: str, node: ast.Compare) -> Any:
    left = reader.plain(file, node.left)
    for operation, comparator in zip(node.ops, node.comparators, strict=True):
        right = reader.plain(file, comparator)
        if not apply(file, node, _COMPARISONS[type(operation)], left, right):
            return False
        left = right
    return True


def _choice(reader: Reader, file: str, node: ast.IfExp) -> Any:
    return reader.value(file, node.body if reader.plain(file, node.test) else node.orelse)


def _item(reader: Reader, file: str, node: ast.Subscript) -> Any:
    if reader.value(file, node.value) == External("os.environ"):
        name = reader.plain(file, node.slice)
        raise CannotRead(
            place_of(file, node),
            f"the build does not read the environment, so {name} has no value here",
            f'write os.environ.get("{name}", "default"), or name it in secrets=[...] to have it in replicas',
        )
    return apply(file, node, operator.getitem, reader.plain(file, node.value), reader.plain(file, node.slice))


def _text(reader: Reader, file: str, node: ast.JoinedStr) -> Any:
    return "".join(str(reader.value(file, part)) for part in node.values)


def _formatted(reader: Reader, file: str, node: ast.FormattedValue) -> Any:
    found = reader.plain(file, node.value)
    if isinstance(found, PartRef):
        raise CannotRead(place_of(file, node), f"{shown(node.value)} is no text")
    convert = _CONVERSIONS.get(node.conversion)
    how = "" if node.format_spec is None else str(reader.value(file, node.format_spec))
    if sum(letter.isdigit() for letter in how) > 3:
        raise CannotRead(place_of(file, node), f"the format {how!r} is too wide")
    return apply(file, node, format, found if convert is None else convert(found), how)


def _size(left: Any, right: Any) -> int:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | bytes | list | tuple) and isinstance(times, int):
            return len(many) * times
    return 0


LITERALS: Mapping[type[ast.expr], Callable[[Reader, str, Any], Any]] = {
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.Constant: lambda _reader, _file, node: node.value,
    ast.Dict: _dict,
    ast.FormattedValue: _formatted,
    ast.IfExp: _choice,
    ast.JoinedStr: _text,
    ast.List: _sequence,
    ast.Set: _sequence,
    ast.Subscript: _item,
    ast.Tuple: _sequence,
    ast.UnaryOp: _unary,
}
"""How each kind of expression is read that needs nothing but the values of its parts."""
