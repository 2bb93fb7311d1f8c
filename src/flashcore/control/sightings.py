"""What providers report, kept by endpoint; asked again when one says that something changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flashcore.hookspecs.providers import Clock, Gone, Instance, InstanceState, Provider, Stopping
from flashcore.model.names import EndpointName, ReplicaId, RevisionId

FIRST_RETRY = 1.0
LAST_RETRY = 30.0
"""Seconds between attempts to reach a provider that cannot be reached."""
POLL = 60.0
"""Seconds after which a provider is looked at though it told of no change."""

Seen = Mapping[ReplicaId, InstanceState]


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something of ours that runs and that nobody may know."""

    provider: str
    instance: Instance


class Watcher:
    """The view of one provider. `changed` is told which endpoint's replicas look different, `looked` of each look."""

    def __init__(
        self,
        name: str,
        provider: Provider,
        clock: Clock,
        changed: Callable[[EndpointName], None],
        looked: Callable[[Watcher], None],
    ) -> None:
        self.name = name
        self.provider = provider
        self.trouble: str | None = None
        """Why it cannot be asked at present."""
        self.taken = 0
        """Number of the last look that began; a replica that was let go after it may still be in it."""
        self.seen_by: Mapping[EndpointName, Seen] = {}
        self.looked = 0
        """Number of the last look that gave an answer."""
        self.instances: tuple[Instance, ...] = ()
        self.revisions: frozenset[RevisionId] = frozenset()
        """Revisions of which there is anything."""
        self._clock = clock
        self._changed = changed
        self._looked = looked
        self._due = asyncio.Event()
        self._asking: set[EndpointName] = set()

    def refresh(self, *endpoints: EndpointName) -> None:
        """Look again soon, and tell these endpoints, whatever is seen."""
        self._asking.update(endpoints)
        self._due.set()

    def seen(self, endpoint: EndpointName) -> Seen:
        """The replicas of an endpoint as they were last seen."""
        return self.seen_by.get(endpoint, {})

    def orphans(self, known: Callable[[Instance], bool]) -> tuple[Orphan, ...]:
        """What runs, unknown, and not on its way out."""
        return tuple(
            Orphan(self.name, instance)
            for instance in self.instances
            if not isinstance(instance.state, Stopping | Gone) and not known(instance)
        )

    async def look(self) -> None:
        """Ask the provider what there is. One that cannot be reached leaves the last view as it is."""
        self.taken += 1
        number, before = self.taken, self.trouble
        asking, self._asking = self._asking, set()
        try:
            instances = await self.provider.observe()
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything; nothing is then known, and that is said
            self.trouble = f"provider {self.name!r} cannot be asked: {error}"
        else:
            self.trouble = None
            self._take(instances)
            self.looked = number
            self._looked(self)
        for endpoint in {*asking, *self.seen_by} if self.trouble != before else asking:
            self._changed(endpoint)

    async def run(self) -> None:
        """Keep the view up to date, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        retry = FIRST_RETRY
        while True:
            if self.trouble is None:
                retry = FIRST_RETRY
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._due.wait()
            else:
                await self._clock.sleep_until(self._clock.now() + retry)
                retry = min(LAST_RETRY, 2 * retry)
            self._due.clear()
            await self.look()

    async def _listen(self) -> None:
        while True:
            # What changed before it was listened to is seen by the look that this asks for.
            self._due.set()
            try:
                async for _ in self.provider.changes():
                    self._due.set()
            except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is asked at intervals instead
                self.trouble = f"provider {self.name!r} tells of no changes: {error}"
            await self._clock.sleep_until(self._clock.now() + FIRST_RETRY)

    def _take(self, instances: tuple[Instance, ...]) -> None:
        grouped: dict[EndpointName, dict[ReplicaId, InstanceState]] = {}
        for instance in instances:
            grouped.setdefault(instance.endpoint, {})[instance.replica] = instance.state
        before, self.seen_by, self.instances = self.seen_by, grouped, instances
        self.revisions = frozenset(instance.revision for instance in instances)
        for endpoint in {*before, *grouped}:
            if before.get(endpoint) != grouped.get(endpoint):
                self._changed(endpoint)
