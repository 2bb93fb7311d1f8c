"""How often what happened, for who watches numbers and not the log."""

from __future__ import annotations

from collections import Counter

from flashcore.model.events import Event

_MOST_SERIES = 10_000
"""Of transitions: endpoints come and go, and what is counted of them stays."""


class Transitions:
    """Counts events by endpoint, kind and reason since this process started. Told of each after its commit."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def note(self, event: Event) -> None:
        """Count one."""
        key = (event.endpoint or "", event.kind, str(event.data.get("code", "")))
        if key in self.counts or len(self.counts) < _MOST_SERIES:
            self.counts[key] += 1
