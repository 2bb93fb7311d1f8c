"""Calling observing and amending hooks: each plugin by itself, so that one's failure is its own and has its name.

pluggy's own way of calling gives a list of results and no word of whose they are, and stops at the first exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pluggy import HookImpl

from flashcore.registry.hook_table import HookTable
from flashcore.registry.reports import Origin


@dataclass(frozen=True, slots=True)
class Called:
    """What one plugin's implementation of a hook gave: a value, or the exception that it ended with."""

    origin: Origin
    value: Any = None
    failure: BaseException | None = None


def implementations(table: HookTable, hook: str) -> tuple[HookImpl, ...]:
    """Implementations of a hook in the order in which they are called: last registered first, `tryfirst` heeded."""
    return tuple(reversed(getattr(table.hook, hook).get_hookimpls()))


def call_one(implementation: HookImpl, origin: Origin, hook: str, arguments: Mapping[str, Any]) -> Called:
    """Call one implementation with those of the arguments that it declares."""
    positional = [arguments[name] for name in implementation.argnames]
    named = {name: arguments[name] for name in implementation.kwargnames if name in arguments}
    try:
        return Called(origin, implementation.function(*positional, **named))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its own failure
        error.add_note(f"in {hook} of {origin}")
        return Called(origin, failure=error)


def call_each(table: HookTable, origins: Mapping[str, Origin], hook: str, **arguments: Any) -> Iterator[Called]:
    """Call every implementation of `hook`, one at a time as the iterator is read. `origins` is by pluggy's name."""
    for implementation in implementations(table, hook):
        yield call_one(implementation, origins[implementation.plugin_name], hook, arguments)
