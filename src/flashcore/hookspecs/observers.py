"""Observers: hear of every transition after it was committed. A slow or raising observer delays nothing."""

from __future__ import annotations

from flashcore.hookspecs.markers import hookspec
from flashcore.model.events import Event

API = range(1, 2)


@hookspec
def flashcore_event(event: Event) -> None:
    """Called once per event, in the order of each deployment's log, from a thread that nothing waits for.

    After a crash between commit and call an event may be missed; the log has it.
    """
