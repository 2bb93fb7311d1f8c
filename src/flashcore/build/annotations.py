"""The JSON Schema of what a parameter takes or a function gives, from its annotation, as far as that says it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_PLAIN: Mapping[str, Schema] = {
    "Any": {},
    "None": {"type": "null"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "dict": {"type": "object"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "list": {"type": "array"},
    "object": {},
    "set": {"type": "array", "uniqueItems": True},
    "str": {"type": "string"},
    "tuple": {"type": "array"},
    "UUID": {"type": "string", "format": "uuid"},
}
_SAME: Mapping[str, str] = {
    "Dict": "dict",
    "FrozenSet": "set",
    "Iterable": "list",
    "List": "list",
    "Mapping": "dict",
    "MutableMapping": "dict",
    "Sequence": "list",
    "Set": "set",
    "Tuple": "tuple",
    "frozenset": "set",
}
_STREAMED = frozenset({"AsyncGenerator", "AsyncIterable", "AsyncIterator", "Generator", "Iterator"})
"""Of these the schema is that of one item."""


def schema_of(annotation: ast.expr | None) -> Schema | None:
    """The schema that an annotation means; None where there is none, or JSON has no words for it."""
    match annotation:
        case None:
            return None
        case ast.Constant(value=None):
            return _PLAIN["None"]
        case ast.Constant(value=str() as text):
            return _quoted(text)
        case ast.Name() | ast.Attribute():
            name = _name(annotation)
            return _PLAIN.get(_SAME.get(name, name))
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _any_of([left, right])
        case ast.Subscript(value=(ast.Name() | ast.Attribute()) as value, slice=inner):
            return _generic(_name(value), inner)
        case _:
            return None


def _quoted(text: str) -> Schema | None:
    try:
        return schema_of(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _generic(name: str, inner: ast.expr) -> Schema | None:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    same = _SAME.get(name, name)
    if name == "Optional":
        return _any_of([*parts, ast.Constant(None)])
    if name == "Union":
        return _any_of(parts)
    if name == "Literal":
        return _literal(parts)
    if name == "Annotated" or name in _STREAMED:
        return schema_of(parts[0])
    if same in ("list", "set"):
        return {**_PLAIN[same], **_items(schema_of(parts[0]))}
    if same == "dict" and len(parts) == 2:
        values = schema_of(parts[1])
        return {**_PLAIN["dict"], **({} if not values else {"additionalProperties": values})}
    return _tuple(parts) if same == "tuple" else None


def _items(schema: Schema | None) -> Schema:
    return {"items": schema} if schema else {}


def _tuple(parts: list[ast.expr]) -> Schema:
    if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
        return {"type": "array", **_items(schema_of(parts[0]))}
    schemas = [schema_of(part) or {} for part in parts]
    return {"type": "array", "prefixItems": schemas, "minItems": len(parts), "maxItems": len(parts)}


def _literal(parts: list[ast.expr]) -> Schema | None:
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    plain = all(value is None or isinstance(value, str | int | bool) for value in values)
    return {"enum": values} if plain and len(values) == len(parts) else None


def _any_of(parts: list[ast.expr]) -> Schema | None:
    found: list[Schema] = []
    for part in parts:
        schema = schema_of(part)
        if schema is None:
            return None
        found.extend(schema["anyOf"] if [*schema] == ["anyOf"] else [schema])
    return {"anyOf": found}
