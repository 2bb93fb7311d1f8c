"""What replicas are at for gateways that this one has replaced: counted as theirs until it ends.

Nobody can ask those for their numbers any more. So what they finish is counted here: of the last one what came after it
made room, of those before it what comes from now on, as the one between has told of the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from flashcore.gateway.retired import Rest, Retired, held_by_all, retired_gateways
from flashcore.gateway.routes import Routes
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, RevisionId
from flashcore.model.table import SideSignals
from flashcore.presence import Presence, read_presence

LOOK_AGAIN = 0.25
"""Seconds between two looks: so much later a replica has room again for what waits here."""


class Predecessors:
    """Those of one gateway. There is never another one: nobody is replaced but by who comes later."""

    def __init__(self, layout: Layout, routes: Callable[[], Routes]) -> None:
        self.retired: tuple[Retired, ...] = ()
        self.finished: dict[tuple[EndpointName, RevisionId], SideSignals] = {}
        """What they have finished since, beside what is in flight there."""
        self._seen: dict[Presence, Rest] | None = None
        self._layout = layout
        self._routes = routes

    def look(self) -> None:
        """Have replicas count for as busy as they are."""
        self.retired = retired_gateways(self._layout)
        self._count_finished()
        held = held_by_all(self.retired)
        for service in self._routes().http.values():
            service.hold_elsewhere(held.get(service.name, {}))

    async def watch(self) -> None:
        """Look again and again, until none of them is left."""
        while self.retired:
            await asyncio.sleep(LOOK_AGAIN)
            self.look()

    def _count_finished(self) -> None:
        if self._seen is None:
            last = read_presence(self._layout.gateway_file)  # until this one has written down its own
            self._seen = {
                one.presence: one.before if one.before and last and one.presence.pid == last.pid else one.rest
                for one in self.retired
            }
        for one in self.retired:
            before = dict(_sides(self._seen.get(one.presence, one.rest)))
            for key, side in _sides(one.rest):
                finished = self.finished.get(key, SideSignals(side.revision))
                earlier = before.get(key, SideSignals(side.revision))
                self.finished[key] = SideSignals(
                    side.revision,
                    requests=finished.requests + side.requests - earlier.requests,
                    failures=finished.failures + side.failures - earlier.failures,
                )
            self._seen[one.presence] = one.rest


def _sides(rest: Rest) -> Iterator[tuple[tuple[EndpointName, RevisionId], SideSignals]]:
    for endpoint, signals in rest.signals.items():
        for side in signals.sides:
            yield (endpoint, side.revision), side
