"""One deployment's loop: observe, decide, check, commit, act. The only writer of its records.

It is woken by what changed and by the clock, looks at what is rather than at what happened, and passes until a pass
changes nothing. Everything of one instant is seen by one pass. Commands of people run inside of it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from flashcore.control import drain, reconcile
from flashcore.control.acting import Acting
from flashcore.control.company import Company
from flashcore.control.consult import Question
from flashcore.control.draft import Draft
from flashcore.control.errands import Command, Errands
from flashcore.control.evidence import Evidence
from flashcore.control.observing import Observing
from flashcore.control.pace import Pace, breather
from flashcore.control.readmodel import DeploymentView
from flashcore.control.records import Records, records_in
from flashcore.control.sampling import Sampling
from flashcore.control.services import Services
from flashcore.control.snapshot import Pass, Snapshot
from flashcore.control.store import Committed, LostLeadership, StaleWrite
from flashcore.control.traffic import route_of
from flashcore.control.views import view_of
from flashcore.hookspecs.providers import Provider
from flashcore.model.errors import FlashcoreError, NotFound
from flashcore.model.names import ReplicaId, RevisionId
from flashcore.model.replica import Phase

FIRST_RETRY = 1.0
LAST_RETRY = 30.0
"""Seconds between attempts at a pass that fails, because the store is away for instance."""

_LOG = logging.getLogger(__name__)


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
        self._observing = Observing(self.endpoint, services, self._company)
        self._errands = Errands()
        self._next_wake: float | None = None
        self._shown: tuple[object, DeploymentView] | None = None
        self._woken = asyncio.Event()
        self._stumbles = 0
        self._pace = Pace()

    def wake(self) -> None:
        """Look again."""
        self._woken.set()

    async def command(self, command: Command) -> Any:
        """Run a command in the next pass, and return its result once it is committed. Raises what it raises."""
        done = self._errands.add(command)
        self.wake()
        return await done

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
        snapshot, route = self._observing.standing(self._records, now), self._services.publisher.route(self.endpoint)
        # Asked far more often than anything changes.
        about = (self._records.changes, snapshot.stale, self._next_wake)
        if self._shown is None or self._shown[0] != about or self._shown[1].route is not route:
            self._shown = (about, view_of(snapshot, now, route, self._next_wake))
        return self._shown[1]

    def publish(self) -> None:
        """Have gateways go on by what the store holds, before anything was looked at: what was well is trusted."""
        now = self._services.clock.now()
        draft = Draft(self._snapshot(now), now, self._services.name_replica)
        self._services.publisher.put(self.endpoint, route_of(draft))

    def provider_of(self, replica: ReplicaId) -> Provider | None:
        """The provider that runs the replica, None for a replica that is not this deployment's."""
        known = self._records.replicas.get(replica)
        return self._observing.provider_of(known, self._records) if known else None

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Who runs the replicas, and ran those that have ended."""
        return self._observing.providers(self._records)

    async def run(self) -> None:
        """Pass for ever, or until nothing is left of the deployment."""
        while not self.gone.is_set():
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._settle()
                self._stumbles = 0
                await self._breathe()
            except LostLeadership as lost:
                self._errands.fail(lost)
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

    async def _breathe(self) -> None:
        clock, pause = self._services.clock, breather(len(self._records.replicas))
        if pause:
            await clock.sleep_until(clock.now() + pause)

    async def _pass(self) -> bool:
        """One pass; whether another should follow at once."""
        await self._sampling.sample(self._records)
        now = self._services.clock.now()
        draft = reconcile.begin(self._snapshot(now), now, self._services.name_replica)
        outcomes = self._errands.run(draft)
        if not self._records.is_stored and not any(outcome.error is None for outcome in outcomes):
            self._errands.deliver(outcomes)
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
        self._errands.deliver(outcomes)
        await self._act(made, draft)
        return committed is not None and not made.destroyed

    def _with_evidence(self, question: Question | None, draft: Draft) -> Question | None:
        if question is None:
            return None
        return self._evidence.add_to(question, draft.deployment, self._services.dataplane.signals(self.endpoint))

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
            services.publisher.forget_endpoint(self.endpoint)
            services.prober.forget(self.endpoint)
            self._set_alarm(None)
            self._go()
            return
        await self._observing.follow(self._records)
        self._set_alarm(self._earliest(made))

    def _snapshot(self, now: float) -> Snapshot:
        return self._observing.snapshot(self._records, self._acting, self._sampling, now)

    def _earliest(self, made: Pass) -> float | None:
        times = [made.wake_at, self._acting.retry_at, self._sampling.look_again]
        times += [drain.waits_until(replica) for replica in made.replicas.values() if replica.phase is Phase.DRAINING]
        times.append(self._observing.trust_ends(self._records))
        now = self._services.clock.now()
        return min((time for time in times if time is not None and time > now), default=None)

    def _ring(self) -> None:
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()

    def _go(self) -> None:
        self.gone.set()
        self._ring()
        self._errands.fail(NotFound(f"{self.endpoint} is gone", endpoint=self.endpoint))

    def _set_alarm(self, when: float | None) -> None:
        self._next_wake = when
        self._services.alarms.set(self.endpoint, when)

    async def _reload(self) -> None:
        """Somebody else wrote, or an answer of the store was lost: begin again from what it holds."""
        services = self._services
        found = records_in(await services.ledger.load(at_least=services.leadership.newest)).get(self.endpoint)
        before = self._records.changes
        self._records = found if found is not None else Records(self._records.deployment)
        # Whoever remembers what it made of the last change must not take this for the same.
        self._records.changes += before

    def _stumble(self, error: Exception) -> None:
        self._stumbles += 1
        wait = min(LAST_RETRY, FIRST_RETRY * 2.0 ** (self._stumbles - 1))
        if isinstance(error, FlashcoreError):
            _LOG.warning("%s: %s; trying again in %g s", self.endpoint, error.message, wait)
        else:
            _LOG.error("a pass over %s failed; trying again in %g s", self.endpoint, wait, exc_info=error)
        self._errands.fail(error)
        self._set_alarm(self._services.clock.now() + wait)
