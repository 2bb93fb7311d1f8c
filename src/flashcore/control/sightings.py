"""What providers report, kept by endpoint; asked again when one says that something changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flashcore.hookspecs.providers import Clock, Gone, Instance, InstanceState, Provider, Stopping
from flashcore.model.names import EndpointName, ReplicaId, RevisionId

FIRST_RETRY = 1.0
LAST_RETRY = 30.0
"""Seconds between attempts to reach a provider that cannot be reached."""
POLL = 60.0
"""Seconds after which a provider is looked at though it told of no change."""

PAUSE_FACTOR = 3.0
"""A look is followed by a pause so many times as long as it took, ..."""
LONGEST_LOOK = 0.02
"""... as far as it took so many seconds: a provider that answers slowly keeps nobody busy."""

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
        self.looked = 0
        """Number of the last look that gave an answer."""
        self._instances: dict[ReplicaId, Instance] = {}
        self._seen: dict[EndpointName, Seen] = {}
        self._revisions: Counter[RevisionId] = Counter()
        self._unexamined: dict[ReplicaId, Instance] = {}
        """Those that are new or different, and those that nobody knew before."""
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
        return self._seen.get(endpoint, {})

    def has(self, revision: RevisionId) -> bool:
        """Whether there is anything of a revision."""
        return self._revisions[revision] > 0

    def orphans(self, known: Callable[[Instance], bool]) -> tuple[Orphan, ...]:
        """What runs, unknown, and not on its way out.

        Who was known once is asked about again only when it looks different, or at a thorough look: there may be tens
        of thousands, and every change asks.
        """
        self._unexamined = {
            replica: instance
            for replica, instance in self._unexamined.items()
            if not isinstance(instance.state, Stopping | Gone) and not known(instance)
        }
        return tuple(Orphan(self.name, instance) for instance in self._unexamined.values())

    async def look(self) -> None:
        """Ask the provider what there is. One that cannot be reached leaves the last view as it is."""
        self.taken += 1
        number, before = self.taken, self.trouble
        asking, self._asking = self._asking, set()
        try:
            instances = _instances(await self.provider.observe())
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything; nothing is then known, and that is said
            self.trouble = f"provider {self.name!r} cannot be asked: {error}"
        else:
            self.trouble = None
            self._take(instances)
            self.looked = number
            self._looked(self)
        for endpoint in {*asking, *self._seen} if self.trouble != before else asking:
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
                try:
                    async with asyncio.timeout(POLL):
                        await self._due.wait()
                except TimeoutError:
                    self._unexamined = dict(self._instances)
            else:
                await self._clock.sleep_until(self._clock.now() + retry)
                retry = min(LAST_RETRY, 2 * retry)
            self._due.clear()
            began = self._clock.now()
            await self.look()
            # Each look sees everything: where there is much to see, changes that follow closely are seen together.
            took = min(LONGEST_LOOK, self._clock.now() - began)
            await self._clock.sleep_until(self._clock.now() + PAUSE_FACTOR * took)

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
        before, self._instances = self._instances, {instance.replica: instance for instance in instances}
        different = [instance for instance in instances if _differs(instance, before.get(instance.replica))]
        gone = [before[replica] for replica in before.keys() - self._instances.keys()]
        touched: dict[EndpointName, dict[ReplicaId, InstanceState]] = {}
        for instance in gone:
            _own(touched, self._seen, instance.endpoint).pop(instance.replica, None)
            self._unexamined.pop(instance.replica, None)
        for instance in different:
            _own(touched, self._seen, instance.endpoint)[instance.replica] = instance.state
            self._unexamined[instance.replica] = instance
            self._revisions[instance.revision] += instance.replica not in before
        self._revisions.subtract(instance.revision for instance in gone)
        self._seen.update(touched)
        for endpoint, seen in touched.items():
            if not seen:
                del self._seen[endpoint]
            self._changed(endpoint)


def _instances(answer: object) -> tuple[Instance, ...]:
    """The answer, if it is one. Raises TypeError: what is anything else would be met where nobody expects it."""
    if not isinstance(answer, tuple):
        raise TypeError(f"observe() must give a tuple of Instance, not {type(answer).__name__}")
    for one in answer:
        if not isinstance(one, Instance):
            raise TypeError(f"observe() must give a tuple of Instance, and {one!r} is none")
    return answer


def _differs(instance: Instance, before: Instance | None) -> bool:
    """Most are the very same as before: telling that must be quick."""
    return before is None or (before.state is not instance.state and before.state != instance.state)


def _own(
    touched: dict[EndpointName, dict[ReplicaId, InstanceState]],
    seen: Mapping[EndpointName, Seen],
    endpoint: EndpointName,
) -> dict[ReplicaId, InstanceState]:
    """What is seen of an endpoint, to be changed: who was given the old one goes on with the old one."""
    if endpoint not in touched:
        touched[endpoint] = dict(seen.get(endpoint, {}))
    return touched[endpoint]
