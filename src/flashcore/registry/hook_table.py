"""The pluggy tables of one registry: hooks, their specifications, their implementations."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType

import pluggy
from pluggy import HookimplOpts

from flashcore.hookspecs import ExtensionPoint, HookKind
from flashcore.hookspecs.markers import PROJECT
from flashcore.registry.near import near_matches
from flashcore.registry.rejection import Rejected, broken, incompatible
from flashcore.registry.reports import Origin

PREFIX = f"{PROJECT}_"
_MARK = f"{PROJECT}_impl"


@dataclass(frozen=True, slots=True)
class Implementation:
    """A plugin's function for a hook."""

    point: ExtensionPoint
    function: FunctionType


class HookTable(pluggy.PluginManager):
    """Looks at names that begin with `flashcore_` alone; pluggy by itself examines every attribute of a module."""

    def __init__(self, points: Iterable[ExtensionPoint]) -> None:
        super().__init__(PROJECT)
        self.points: Mapping[str, ExtensionPoint] = {point.hook: point for point in points}
        for module in dict.fromkeys(point.module for point in self.points.values()):
            self.add_hookspecs(importlib.import_module(module))

    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        """The options of an implementation, None for what is none."""
        return super().parse_hookimpl_opts(plugin, name) if name.startswith(PREFIX) else None

    def admit(self, origin: Origin, module: ModuleType) -> tuple[Implementation, ...]:
        """Register what a plugin implements, all or none, and return it. Raises Rejected, which says what to do.

        Everything is checked before pluggy sees the module, so there is never anything pending in its tables.
        """
        found = tuple(self._checked(module))
        for name in self.points.keys() & vars(module).keys():
            if _is_hook_without_mark(vars(module)[name], module):
                raise broken(f"{name} is not marked as a hook", "put @hookimpl of flashcore.plugin above it")
        try:
            self.register(module, name=origin.key)
        except pluggy.PluginValidationError as error:
            raise broken(" ".join(str(error).split()), "correct the hook's arguments") from error
        except ValueError as error:
            reason = f"the module {module.__name__} is another plugin's hooks module already"
            raise broken(reason, "remove one of the two entry points") from error
        return found

    def expel(self, origin: Origin) -> None:
        """Take a plugin's implementations out again."""
        if self.has_plugin(origin.key):
            self.unregister(name=origin.key)

    def _checked(self, module: ModuleType) -> Iterator[Implementation]:
        for name, function in _marked(module):
            options = vars(function)[_MARK]
            hook = options.get("specname") or name
            if hook in self.points:
                self._check(name, hook, function)
                yield Implementation(self.points[hook], function)
            elif not options.get("optionalhook"):
                raise _unknown(hook, self.points)

    def _check(self, name: str, hook: str, function: FunctionType) -> None:
        options = vars(function)[_MARK]
        if not name.startswith(PREFIX):
            raise broken(f"the hook function {name} must have a name that begins with {PREFIX}", f"call it {hook}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise broken(f"{hook} is implemented as a wrapper; hooks are called one by one", "write a plain function")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise broken(
                f"{hook} is an async def; hooks are called outside of the event loop",
                "write a plain def; the part that it offers may have async methods",
            )
        if self.points[hook].kind is HookKind.REGISTRY and inspect.isgeneratorfunction(function):
            raise broken(f"{hook} is a generator; it must return a mapping", "return one dict instead of yielding")


def _marked(module: ModuleType) -> Iterable[tuple[str, FunctionType]]:
    # Not getattr: a module may make attributes as they are asked for, and would then import what it was lazy about.
    for name, value in vars(module).items():
        if type(value) is FunctionType and _MARK in value.__dict__:
            yield name, value


def _is_hook_without_mark(value: object, module: ModuleType) -> bool:
    return type(value) is FunctionType and _MARK not in value.__dict__ and value.__module__ == module.__name__


def _unknown(hook: str, known: Iterable[str]) -> Rejected:
    # The prefix, which all share, would make everything look near.
    near = near_matches(hook.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known])
    reason = f"it implements {hook}, which this flashcore does not have"
    if not near:
        return incompatible(reason, "pip install --upgrade flashcore-framework")
    meant = f"{PREFIX}{near[0]}"
    return incompatible(f"{reason}, did you mean {meant!r}?", f"call it {meant}, or upgrade flashcore-framework")
