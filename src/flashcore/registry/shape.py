"""Whether what a reference names looks as its extension point asks, as far as that shows without making the part."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

from flashcore.hookspecs import ExtensionPoint


def shortcoming(point: ExtensionPoint, target: object) -> str:
    """What is missing, as in `has no method decide`; empty when nothing is to be seen."""
    if not point.protocol:
        return _no_command(target)
    if not callable(target):
        return "cannot be called"
    protocol = getattr(importlib.import_module(point.module), point.protocol)
    if not isinstance(target, type) or "__call__" in vars(protocol):
        return ""  # a function makes it, or the contract is about the call itself: only using it shows more
    missing = [name for name in _methods(protocol) if not hasattr(target, name)]
    return f"has no method {' and no '.join(missing)}" if missing else ""


def _methods(protocol: type) -> Iterator[str]:
    for cls in protocol.__mro__:
        if cls.__module__ not in ("typing", "builtins"):
            yield from (name for name, value in vars(cls).items() if inspect.isfunction(value) and name[0] != "_")


def _no_command(target: object) -> str:
    import click

    return "" if isinstance(target, click.Command) else f"is a {type(target).__name__}, not a click.Command"
