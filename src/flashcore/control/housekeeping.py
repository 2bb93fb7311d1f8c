"""What is done at intervals: ending what runs and is in no record, and forgetting old events."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping

from flashcore.control.loop import DeploymentLoop
from flashcore.control.services import Services
from flashcore.control.sightings import Watcher
from flashcore.control.store import LostLeadership
from flashcore.control.sweep import Sweeper
from flashcore.hookspecs.providers import Instance
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName

SWEEP = ("sweep",)
PRUNE = ("prune",)
"""Keys of alarms; no endpoint has such a name."""
PRUNE_EVERY = 3600.0
"""Seconds."""
KEEP_EVENTS = 10_000
KEEP_SECONDS = 7 * 86_400.0
"""Events beyond the newest KEEP_EVENTS that are older than this are forgotten."""
RETRY = 60.0
"""Seconds after which it is tried again, when the store is full or away."""

_LOG = logging.getLogger(__name__)


class Housekeeping:
    """Of one controller."""

    def __init__(self, services: Services, loops: Mapping[EndpointName, DeploymentLoop]) -> None:
        self._services = services
        self._loops = loops
        self._sweeper = Sweeper(services.clock)

    def begin(self) -> None:
        """Set the first alarm."""
        self._services.alarms.set(PRUNE, self._services.clock.now() + PRUNE_EVERY)

    def note_look(self, watcher: Watcher) -> None:
        """Anything that runs and is in no record is to end: by its deployment's loop, or by the sweeper."""
        strangers = watcher.orphans(self._knows)
        homeless = [orphan for orphan in strangers if not self._is_ended_by_its_loop(orphan.instance)]
        self._services.alarms.set(SWEEP, self._sweeper.note(watcher.name, homeless))

    async def do(self, key: Hashable) -> None:
        """What is due at an alarm. A store that is full or away is tried again later; raises LostLeadership."""
        due: dict[Hashable, Callable[[], Awaitable[None]]] = {SWEEP: self._sweep, PRUNE: self._prune}
        try:
            await due[key]()
        except LostLeadership:
            raise
        except FlashcoreError as error:
            _LOG.warning("housekeeping has to wait: %s", error.message)
            self._services.alarms.set(key, self._services.clock.now() + RETRY)

    def _knows(self, instance: Instance) -> bool:
        loop = self._loops.get(instance.endpoint)
        return loop is not None and loop.knows(instance.replica)

    def _is_ended_by_its_loop(self, instance: Instance) -> bool:
        loop = self._loops.get(instance.endpoint)
        return loop is not None and loop.repeat_for(instance.revision)

    async def _sweep(self) -> None:
        for watcher in self._services.watchers.values():
            self.note_look(watcher)
        events = await self._sweeper.sweep(self._services.watchers)
        work = self._services.ledger.workspace(self._services.leadership)
        for event in events:
            work.emit(event)
        committed = await work.commit()
        if committed is not None:
            self._services.announce(committed)
        for watcher in self._services.watchers.values():
            watcher.refresh()

    async def _prune(self) -> None:
        services = self._services
        before = self._services.clock.now() - KEEP_SECONDS
        more = 1
        while more:
            more = await services.ledger.journal.prune(services.leadership, keep=KEEP_EVENTS, before=before)
        services.alarms.set(PRUNE, self._services.clock.now() + PRUNE_EVERY)
