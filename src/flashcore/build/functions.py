"""A definition in the source to its entry in the manifest."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from flashcore.build.annotations import schema_of
from flashcore.build.evaluate import Evaluator
from flashcore.build.syntax import children_of
from flashcore.build.values import CannotRead, Definition
from flashcore.model.manifest import FunctionEntry, FunctionKind, MethodEntry, Parameter, ParameterKind, Result, Route

Function = ast.FunctionDef | ast.AsyncFunctionDef


def entry_of(definition: Definition, evaluator: Evaluator, route: Route | None = None) -> FunctionEntry:
    """The entry of a function or class. What it calls is filled in when all endpoints are known."""
    node = definition.node
    if isinstance(node, ast.ClassDef):
        return _class_entry(definition, node, evaluator)
    return FunctionEntry(
        name=node.name,
        module=definition.file,
        qualified_name=node.name,
        kind=kind_of(node),
        parameters=tuple(parameters_of(node.args)),
        result=result_of(node),
        doc=first_line(node),
        route=route,
        line=node.lineno,
    )


def _class_entry(definition: Definition, node: ast.ClassDef, evaluator: Evaluator) -> FunctionEntry:
    methods = _methods(definition, evaluator, set())
    constructor = methods.get("__init__")
    return FunctionEntry(
        name=node.name,
        module=definition.file,
        qualified_name=node.name,
        kind=FunctionKind.CLASS,
        parameters=() if constructor is None else _without_self(constructor),
        methods=tuple(
            MethodEntry(name, kind_of(method), _without_self(method), first_line(method), result_of(method))
            for name, method in sorted(methods.items())
            if not name.startswith("_")
        ),
        doc=first_line(node),
        line=node.lineno,
    )


def _methods(definition: Definition, evaluator: Evaluator, seen: set[ast.ClassDef]) -> dict[str, Function]:
    """Methods by name, those of bases in the project included; properties are none."""
    node = definition.node
    if not isinstance(node, ast.ClassDef) or node in seen:
        return {}
    seen.add(node)
    found: dict[str, Function] = {}
    for base in reversed(node.bases):
        try:
            value = evaluator.value(definition.file, base)
        except CannotRead:
            continue
        if isinstance(value, Definition):
            found |= _methods(value, evaluator, seen)
    for statement in node.body:
        if isinstance(statement, Function):
            if _is_property(statement):
                found.pop(statement.name, None)
            else:
                found[statement.name] = statement
    return found


def _is_property(node: Function) -> bool:
    names = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return not names.isdisjoint({"property", "cached_property", "setter", "deleter", "abstractproperty"})


def kind_of(node: Function) -> FunctionKind:
    """Whether calling it gives a value, a coroutine, or items one by one."""
    yields = any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in _own_nodes(node))
    if isinstance(node, ast.AsyncFunctionDef):
        return FunctionKind.ASYNC_GENERATOR if yields else FunctionKind.ASYNC_FUNCTION
    return FunctionKind.GENERATOR if yields else FunctionKind.FUNCTION


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function's own body, without those of functions inside it."""
    pending: list[ast.AST] = list(getattr(node, "body", []))
    while pending:
        inner = pending.pop()
        yield inner
        if not isinstance(inner, Function | ast.ClassDef | ast.Lambda):
            pending.extend(children_of(inner))


def parameters_of(arguments: ast.arguments) -> Iterator[Parameter]:
    """All parameters, in order."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults.extend(arguments.defaults)
    for position, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        only = position < len(arguments.posonlyargs)
        yield _parameter(
            argument, ParameterKind.POSITIONAL_ONLY if only else ParameterKind.POSITIONAL_OR_KEYWORD, default
        )
    if arguments.vararg:
        yield _parameter(arguments.vararg, ParameterKind.VAR_POSITIONAL)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, ParameterKind.KEYWORD_ONLY, default)
    if arguments.kwarg:
        yield _parameter(arguments.kwarg, ParameterKind.VAR_KEYWORD)


def _parameter(argument: ast.arg, kind: ParameterKind, default: ast.expr | None = None) -> Parameter:
    annotation = None if argument.annotation is None else ast.unparse(argument.annotation)
    shown = None if default is None else ast.unparse(default)
    return Parameter(argument.arg, kind, annotation, shown, schema_of(argument.annotation))


def result_of(node: Function) -> Result | None:
    """What it gives; None without an annotation."""
    return None if node.returns is None else Result(ast.unparse(node.returns), schema_of(node.returns))


def _without_self(method: Function) -> tuple[Parameter, ...]:
    names = {ast.unparse(decorator) for decorator in method.decorator_list}
    found = tuple(parameters_of(method.args))
    return found if "staticmethod" in names else found[1:]


def first_line(node: Function | ast.ClassDef) -> str:
    """The first line of the docstring, empty without one."""
    doc = ast.get_docstring(node) or ""
    return doc.partition("\n")[0].strip()
