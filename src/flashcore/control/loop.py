"""One deployment's loop: observe, decide, check, commit, act. The only writer of its records.

It is woken by what changed and by the clock, looks at what is rather than at what happened, and passes until a pass
changes nothing. Everything of one instant is seen by one pass. Commands of people run inside of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flashcore.control import drain, reconcile
from flashcore.control.acting import Acting
from flashcore.control.company import Company
from flashcore.control.consult import PartFailed, Question
from flashcore.control.draft import Draft
from flashcore.control.evidence import Evidence
from flashcore.control.pace import Pace
from flashcore.control.probing import can_be_asked
from flashcore.control.readmodel import DeploymentView
from flashcore.control.records import Records, records_in
from flashcore.control.sampling import Sampling
from flashcore.control.services import Services
from flashcore.control.sightings import Watcher
from flashcore.control.snapshot import Pass, Snapshot
from flashcore.control.store import Committed, LostLeadership, StaleWrite
from flashcore.control.traffic import route_of
from flashcore.control.views import view_of
from flashcore.hookspecs.providers import InstanceState, Provider, Running
from flashcore.model.errors import FlashcoreError, NotFound
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.replica import Phase, Replica

FIRST_RETRY = 1.0
LAST_RETRY = 30.0
"""Seconds between attempts at a pass that fails, because the store is away for instance."""

Command = Callable[[Draft], Any]

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Errand:
    """A command and who waits for it."""

    command: Command
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    errand: Errand
    result: Any
    error: Exception | None

    def deliver(self) -> None:
        """Tell who asked, unless they have gone away."""
        if self.errand.done.done():
            return
        if self.error is None:
            self.errand.done.set_result(self.result)
        else:
            self.errand.done.set_exception(self.error)


class DeploymentLoop:
    """Made by the controller, which wakes it; `run` is its task."""

    def __init__(self, records: Records, services: Services) -> None:
        self.endpoint = records.deployment.endpoint
        self.gone = asyncio.Event()
        """Set when nothing is left of the deployment."""
        self.bell = asyncio.Event()
        """Set at the next change, and replaced by another then."""
        self._records = records
        self._services = services
        self._company = Company(self.endpoint, services.parts, services.isolation)
        self._acting = Acting(self.endpoint, services)
        self._sampling = Sampling(self.endpoint, services, self._company)
        self._evidence = Evidence()
        self._began_at = services.clock.now()
        self._probe_trouble: str | None = None
        self._errands: list[Errand] = []
        self._next_wake: float | None = None
        self._woken = asyncio.Event()
        self._stumbles = 0
        self._pace = Pace()

    def wake(self) -> None:
        """Look again."""
        self._woken.set()

    async def command(self, command: Command) -> Any:
        """Run a command in the next pass, and return its result once it is committed. Raises what it raises."""
        errand = Errand(command, asyncio.get_running_loop().create_future())
        self._errands.append(errand)
        self.wake()
        return await errand.done

    def repeat_for(self, revision: RevisionId) -> bool:
        """Something of a revision runs that no record knows. Says whether the revision is known, and ended it then."""
        if revision not in self._records.revisions:
            return False
        self._acting.repeat_for(revision)
        self.wake()
        return True

    def knows(self, replica: ReplicaId) -> bool:
        """Whether there is a record of the replica."""
        return replica in self._records.replicas

    @property
    def view(self) -> DeploymentView:
        """The deployment as it is now."""
        now = self._services.clock.now()
        return view_of(self._snapshot(now), now, self._services.publisher.route(self.endpoint), self._next_wake)

    def publish(self) -> None:
        """Have gateways go on by what the store holds, before anything was looked at: what was well is trusted."""
        draft = Draft(self._snapshot(self._began_at), self._began_at, self._services.name_replica)
        self._services.publisher.put(self.endpoint, route_of(draft))

    def provider_of(self, replica: ReplicaId) -> Provider | None:
        """The provider that runs the replica, None for a replica that is not this deployment's."""
        known = self._records.replicas.get(replica)
        return self._services.watcher_of(self._provider_named_for(known)).provider if known else None

    @property
    def drains(self) -> bool:
        """Whether something gateways say may let a replica go."""
        return any(replica.phase is Phase.DRAINING for replica in self._records.replicas.values())

    async def run(self) -> None:
        """Pass for ever, or until nothing is left of the deployment."""
        while not self.gone.is_set():
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._settle()
                self._stumbles = 0
            except LostLeadership as lost:
                self._fail_errands(lost)
                self._services.lost(lost)
                return
            except Exception as error:  # noqa: BLE001  # what is wrong with one deployment must not take the others along
                self._stumble(error)

    async def _settle(self) -> None:
        """Pass until a pass changes nothing."""
        while await self._pass():
            rollout = self._records.deployment.rollout
            marker = (rollout.generation, rollout.furthest, rollout.state) if rollout else None
            await self._services.clock.sleep_until(self._pace.resume_at(self._services.clock.now(), marker))

    async def _pass(self) -> bool:
        """One pass; whether another should follow at once."""
        await self._sampling.sample(self._records)
        now = self._services.clock.now()
        draft = reconcile.begin(self._snapshot(now), now, self._services.name_replica)
        outcomes = [_run(errand, draft) for errand in self._errands]
        if not self._records.is_stored and not any(outcome.error is None for outcome in outcomes):
            self._deliver(outcomes)
            self._go()
            return False
        question = self._with_evidence(reconcile.ask(draft), draft)
        advice = None if question is None else await self._company.advise(draft.deployment, question)
        made = reconcile.conclude(draft, advice)
        try:
            committed = await self._commit(made)
        except StaleWrite:
            await self._reload()
            return True
        self._deliver(outcomes)
        await self._act(made, draft)
        return committed is not None and not made.destroyed

    def _with_evidence(self, question: Question | None, draft: Draft) -> Question | None:
        if question is None:
            return None
        return self._evidence.add_to(question, draft.deployment, self._services.dataplane.signals(self.endpoint))

    def _deliver(self, outcomes: list[Outcome]) -> None:
        """Tell those who asked. Their errands are the first ones; others may have come meanwhile."""
        self._errands = self._errands[len(outcomes) :]
        for outcome in outcomes:
            outcome.deliver()

    async def _commit(self, made: Pass) -> Committed | None:
        work = self._services.ledger.workspace(self._services.leadership)
        self._records.stage(work, made)
        committed = await work.commit()
        if committed is None:
            return None
        self._records.take(committed)
        self._services.announce(committed)
        self._ring()
        return committed

    async def _act(self, made: Pass, draft: Draft) -> None:
        services = self._services
        services.publisher.put(self.endpoint, made.route)
        revisions = {**draft.snapshot.revisions, **{revision.id: revision for revision in made.made}}
        self._acting.repeat_lost()
        await self._acting.act(made, revisions)
        finished = draft.snapshot.replicas.keys() - made.replicas.keys()
        self._acting.forget(finished, made.forgotten)
        services.publisher.forget(finished)
        if made.destroyed:
            services.publisher.put(self.endpoint, None)
            services.prober.forget(self.endpoint)
            self._set_alarm(None)
            self._go()
            return
        await self._follow()
        self._set_alarm(self._earliest(made))

    def _snapshot(self, now: float) -> Snapshot:
        services, records = self._services, self._records
        sightings = self._sightings()
        free = frozenset(
            replica.id
            for replica in records.replicas.values()
            if drain.is_released(replica, now, free=services.publisher.is_free(self.endpoint, replica.id))
        )
        return Snapshot(
            deployment=records.deployment,
            revisions=records.revisions,
            replicas=records.replicas,
            sightings=sightings,
            absent=self._acting.absent(free),
            judgements=services.prober.judgements(self.endpoint),
            stale=self._stale(sightings, now),
            released=free,
            hard_quota=any("quota" in watcher.provider.capabilities for watcher in self._watchers()),
            desired=self._sampling.desired,
            complaints=self._complaints(),
        )

    def _sightings(self) -> dict[ReplicaId, InstanceState]:
        seen: dict[ReplicaId, InstanceState] = {}
        for watcher in self._services.watchers.values():
            seen.update(watcher.seen(self.endpoint))
        return seen

    def _watchers(self) -> list[Watcher]:
        """Of the providers that run something of this deployment."""
        found: dict[str, Watcher] = {}
        for revision in {replica.revision for replica in self._records.replicas.values()}:
            known = self._records.revisions.get(revision)
            ref = known.content.template.provider if known else None
            name = ref.name if ref is not None else self._services.default_provider
            if name in self._services.watchers:
                found[name] = self._services.watchers[name]
        return [found[name] for name in sorted(found)]

    def _complaints(self) -> tuple[str, ...]:
        publisher = self._services.publisher
        found = [
            *(watcher.trouble for watcher in self._watchers()),
            *self._acting.troubles.values(),
            self._sampling.trouble,
            self._probe_trouble,
            publisher.trouble,
            *publisher.refusals(self.endpoint),
        ]
        return tuple(trouble for trouble in found if trouble)

    def _stale(self, sightings: dict[ReplicaId, InstanceState], now: float) -> frozenset[ReplicaId]:
        """Replicas that a leader before this one found well, and that this one has not seen for an interval."""
        if now < self._trust_ends():
            return frozenset()
        return frozenset(
            replica.id for replica in self._records.replicas.values() if replica.ready and replica.id not in sightings
        )

    def _trust_ends(self) -> float:
        return self._began_at + self._records.deployment.policy.health.interval

    async def _follow(self) -> None:
        """Have those replicas probed that can be asked."""
        deployment, sightings = self._records.deployment, self._sightings()
        targets: list[tuple[Replica, Running, Provider]] = []
        for replica in self._records.replicas.values():
            state = sightings.get(replica.id)
            if isinstance(state, Running) and can_be_asked(replica, state, deployment.policy):
                provider = self._services.watcher_of(self._provider_named_for(replica)).provider
                targets.append((replica, state, provider))
        self._probe_trouble = None
        if not targets:
            self._services.prober.forget(self.endpoint)
            return
        try:
            probe = await self._company.probe(deployment)
        except PartFailed as failed:
            self._probe_trouble = str(failed.problem)
        else:
            self._services.prober.follow(self.endpoint, deployment.policy, probe, targets)

    def _provider_named_for(self, replica: Replica) -> PartRef | None:
        known = self._records.revisions.get(replica.revision)
        return known.content.template.provider if known else None

    def _earliest(self, made: Pass) -> float | None:
        times = [made.wake_at, self._acting.retry_at, self._sampling.look_again]
        times += [drain.waits_until(replica) for replica in made.replicas.values() if replica.phase is Phase.DRAINING]
        times.append(self._trust_ends())
        now = self._services.clock.now()
        return min((time for time in times if time is not None and time > now), default=None)

    def _ring(self) -> None:
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()

    def _go(self) -> None:
        self.gone.set()
        self._ring()
        self._fail_errands(NotFound(f"{self.endpoint} is gone", endpoint=self.endpoint))

    def _set_alarm(self, when: float | None) -> None:
        self._next_wake = when
        self._services.alarms.set(self.endpoint, when)

    async def _reload(self) -> None:
        """Somebody else wrote, or an answer of the store was lost: begin again from what it holds."""
        found = records_in(await self._services.ledger.load()).get(self.endpoint)
        self._records = found if found is not None else Records(self._records.deployment)

    def _stumble(self, error: Exception) -> None:
        self._stumbles += 1
        wait = min(LAST_RETRY, FIRST_RETRY * 2.0 ** (self._stumbles - 1))
        if isinstance(error, FlashcoreError):
            _LOG.warning("%s: %s; trying again in %g s", self.endpoint, error.message, wait)
        else:
            _LOG.error("a pass over %s failed; trying again in %g s", self.endpoint, wait, exc_info=error)
        self._fail_errands(error)
        self._set_alarm(self._services.clock.now() + wait)

    def _fail_errands(self, error: Exception) -> None:
        self._deliver([Outcome(errand, None, error) for errand in self._errands])


def _run(errand: Errand, draft: Draft) -> Outcome:
    """What a command made of the draft, or why it was refused; a refused one has changed nothing."""
    try:
        return Outcome(errand, errand.command(draft), None)
    except FlashcoreError as error:
        return Outcome(errand, None, error)
