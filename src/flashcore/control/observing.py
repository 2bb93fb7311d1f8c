"""What one deployment's loop sees: its records, and of the world what others have found out."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.control import drain
from flashcore.control.acting import Acting
from flashcore.control.company import Company
from flashcore.control.consult import PartFailed
from flashcore.control.probing import Asked, can_be_asked
from flashcore.control.records import Records
from flashcore.control.sampling import Sampling
from flashcore.control.services import Services
from flashcore.control.sightings import Seen, Watcher
from flashcore.control.snapshot import Snapshot
from flashcore.hookspecs.probes import ProbeTarget
from flashcore.hookspecs.providers import InstanceState, Provider, Running
from flashcore.model.deployment import Watch
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.replica import Phase, Replica


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """A replica that is probed, and what that was decided by."""

    replica: Replica
    state: InstanceState
    watch: Watch
    asked: Asked

    def is_of(self, replica: Replica, state: InstanceState | None, watch: Watch) -> bool:
        """Whether nothing has changed since. Most have not, so their values need not be compared."""
        return self.replica is replica and self.state is state and self.watch == watch


class Observing:
    """Puts snapshots together, and has replicas probed."""

    def __init__(self, endpoint: EndpointName, services: Services, company: Company) -> None:
        self._endpoint = endpoint
        self._services = services
        self._company = company
        self._began_at = services.clock.now()
        self._probe_trouble: str | None = None
        self._outdated: tuple[int, Seen, frozenset[ReplicaId]] = (-1, {}, frozenset())
        """Of which replicas nothing was seen, at which change of the records, and by which sightings."""
        self._followed: dict[ReplicaId, _Followed] = {}

    def snapshot(self, records: Records, acting: Acting, sampling: Sampling, now: float) -> Snapshot:
        """Everything that a pass may know."""
        services, sightings = self._services, self._sightings()
        watchers = self._watchers(records)
        free = self._released(records, now) if records.drains else frozenset()
        return Snapshot(
            deployment=records.deployment,
            revisions=records.revisions,
            replicas=records.replicas,
            sightings=sightings,
            absent=acting.absent(free),
            judgements=services.prober.judgements(self._endpoint),
            stale=self._stale(records, sightings, now),
            released=free,
            hard_quota=any("quota" in watcher.provider.capabilities for watcher in watchers),
            desired=sampling.desired,
            complaints=self._complaints(watchers, acting, sampling),
        )

    def standing(self, records: Records, now: float) -> Snapshot:
        """The records and whose are outdated: what people are shown, and what needs no look at the world."""
        stale = self._stale(records, self._sightings(), now)
        return Snapshot(records.deployment, records.revisions, records.replicas, stale=stale)

    async def follow(self, records: Records) -> None:
        """Have those replicas probed that can be asked."""
        sightings = self._sightings()
        watches = {revision: records.deployment.watch_of(revision) for revision in records.used}
        before, self._followed = self._followed, {}
        self._probe_trouble = None
        for replica in records.replicas.values():
            state, watch = sightings.get(replica.id), watches[replica.revision]
            known = before.get(replica.id)
            if known is not None and known.is_of(replica, state, watch):
                self._followed[replica.id] = known
            elif isinstance(state, Running) and can_be_asked(replica, state, watch):
                await self._begin_to_follow(replica, state, watch, records)
        if self._followed != before:
            self._services.prober.follow(self._endpoint, [one.asked for one in self._followed.values()])

    async def _begin_to_follow(self, replica: Replica, state: Running, watch: Watch, records: Records) -> None:
        try:
            probe = await self._company.probe(watch.probe)
        except PartFailed as failed:
            self._probe_trouble = str(failed.problem)
            return
        headers = self._services.surroundings.probe_headers(replica.revision)
        target = ProbeTarget(self._endpoint, replica.id, state, self.provider_of(replica, records), headers)
        self._followed[replica.id] = _Followed(replica, state, watch, Asked(replica, target, watch, probe))

    def provider_of(self, replica: Replica, records: Records) -> Provider:
        """The provider that runs it. Raises ConfigurationError when that is not set up here any more."""
        return self._services.watcher_of(_named_by(replica.revision, records)).provider

    def providers(self, records: Records) -> tuple[Provider, ...]:
        """Those of all revisions that are known, each once. Raises ConfigurationError as above."""
        found = [self._services.watcher_of(_named_by(revision, records)).provider for revision in records.revisions]
        return tuple({id(provider): provider for provider in found}.values())

    def trust_ends(self, records: Records) -> float:
        """Until when a replica is taken for well because a leader before this one found it so."""
        return self._began_at + records.deployment.policy.health.interval

    def _released(self, records: Records, now: float) -> frozenset[ReplicaId]:
        return frozenset(
            replica.id
            for replica in records.replicas.values()
            if replica.phase is Phase.DRAINING and drain.is_released(replica, now, free=self._is_free(replica.id))
        )

    def _is_free(self, replica: ReplicaId) -> bool:
        """Whether no gateway sends it anything any more; if one does, its next word on that wakes the loop."""
        publisher = self._services.publisher
        is_free = publisher.is_free(self._endpoint, replica)
        if not is_free:
            publisher.await_free(self._endpoint, replica)
        return is_free

    def _stale(self, records: Records, sightings: Seen, now: float) -> frozenset[ReplicaId]:
        if now < self.trust_ends(records):
            return frozenset()
        changes, seen, stale = self._outdated
        if changes != records.changes or seen is not sightings:
            stale = frozenset(one.id for one in records.replicas.values() if one.ready and one.id not in sightings)
            self._outdated = (records.changes, sightings, stale)
        return stale

    def _sightings(self) -> Seen:
        watchers = tuple(self._services.watchers.values())
        if len(watchers) == 1:
            return watchers[0].seen(self._endpoint)
        seen: dict[ReplicaId, InstanceState] = {}
        for watcher in watchers:
            seen.update(watcher.seen(self._endpoint))
        return seen

    def _watchers(self, records: Records) -> list[Watcher]:
        """Of the providers that run something of this deployment."""
        refs = [_named_by(revision, records) for revision in records.used]
        names = sorted({ref.name if ref is not None else self._services.default_provider for ref in refs})
        return [self._services.watchers[name] for name in names if name in self._services.watchers]

    def _complaints(self, watchers: list[Watcher], acting: Acting, sampling: Sampling) -> tuple[str, ...]:
        publisher = self._services.publisher
        found = [
            *(watcher.trouble for watcher in watchers),
            *acting.troubles.values(),
            sampling.trouble,
            self._probe_trouble,
            publisher.trouble,
            *publisher.refusals(self._endpoint),
        ]
        return tuple(trouble for trouble in found if trouble)


def _named_by(revision: RevisionId, records: Records) -> PartRef | None:
    known = records.revisions.get(revision)
    return known.content.template.provider if known else None
